//! What the tests of every crate share: generated graphs and tensors, comparison, shared data,
//! and other programs as oracles.
//!
//! Everything generated is a function of a seed, so that a failing case is named by a number. A
//! test that needs something the machine lacks calls [`skip`] and returns.

mod catalogue;
mod compare;
mod compose;
mod generate;
mod litert;
mod locate;
pub mod nas_bench_201;
mod nats;
mod npy;
mod operators;
mod python;
#[cfg(unix)]
mod servers;

pub use catalogue::{OperatorCase, operator_cases};
pub use compare::{assert_close, max_abs_diff, relative_error};
pub use compose::random_chain;
pub use generate::{
    ALL_LAYERS, Layer, random_graph, random_graph_of, random_inputs, random_tensor,
    randomise_statistics,
};
pub use litert::{IntegerSteps, Kernels, LiteRt, LiteRtCase, integer_steps, largest_step};
pub use locate::{files_below, shared_data, workspace_root};
pub use nats::NatsServer;
pub use npy::{read_npy, write_npy};
pub use operators::{Case, Family};
pub use python::Python;
#[cfg(unix)]
pub use servers::{OTHER_SERVERS, OtherServer, Served};

/// Says on standard output that a test did not run, and what it needs.
pub fn skip(needs: &str) {
    println!("skipped: needs {needs}");
}

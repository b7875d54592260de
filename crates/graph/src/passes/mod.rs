//! Rewrites that keep the function a graph computes.
//!
//! Each pass returns how often it applied, and leaves a graph without unused nodes or values that
//! passes [`Graph::validate`]. Value ids change; the order and names of inputs and outputs do not.
//! [`all`] lists them; [`canonicalise`] runs them until nothing changes, and [`check`] measures
//! what they did to the results.

mod canonical;
mod check;
mod fold_batch_norm;
mod fold_constants;
mod pad_into_conv;
mod remove_identities;
mod remove_unused;
#[allow(dead_code)]
mod rewrite;

pub use canonical::{Applied, Pass, all, canonicalise, simplify};
pub use check::{Difference, check};
pub use fold_batch_norm::fold_batch_norm;
pub use fold_constants::fold_constants;
pub use pad_into_conv::pad_into_conv;
pub use remove_identities::remove_identities;
pub use remove_unused::remove_unused;

use crate::{Graph, Result};

/// Removes the nodes at `gone`, ascending, and what nothing uses any more, and checks the graph.
fn tidy(graph: &mut Graph, gone: &[usize]) -> Result<()> {
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        gone.binary_search(&(index - 1)).is_err()
    });
    graph.remove_unused();
    graph.validate()
}

//! Rewrites that keep the function a graph computes.
//!
//! Each pass returns how often it applied, and leaves a graph without unused nodes or values that
//! passes [`Graph::validate`]. Value ids change; the order and names of inputs and outputs do not.
//! [`all`] lists them; [`canonicalise`] runs them until nothing changes, and [`check`] measures
//! what they did to the results. [`simplify`] leaves weights as they are, for graphs to be trained.

mod absorb;
mod activations;
mod canonical;
mod check;
mod clamps;
mod fold_affine;
mod fold_batch_norm;
mod fold_constants;
mod formula;
mod gemm;
mod global_pool;
mod integers;
mod layer_norm;
mod pad_into_conv;
mod pointwise;
mod qdq;
mod remove_identities;
mod remove_unused;
mod reshapes;
pub(crate) mod rewrite;
mod share;
mod shuffles;
mod transposes;

pub use activations::{gelu, hard_sigmoid, hard_swish, mish, silu};
pub use canonical::{Applied, Pass, all, canonicalise, canonicalise_with, simplify};
pub use check::{Difference, check};
pub use clamps::{clamps, leaky_relu};
pub use fold_affine::fold_affine;
pub use fold_batch_norm::fold_batch_norm;
pub use fold_constants::fold_constants;
pub use gemm::join_gemm;
pub use global_pool::global_pool;
pub use integers::move_integers;
pub use layer_norm::{layer_norm, norm_affine};
pub use pad_into_conv::pad_into_conv;
pub use pointwise::pointwise;
pub use qdq::{expose_clamps, remove_requantise};
pub use remove_identities::remove_identities;
pub use remove_unused::remove_unused;
pub use reshapes::merge_reshapes;
pub use share::share_equal;
pub use shuffles::{channel_shuffle, depth_to_space};
pub use transposes::merge_transposes;

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

/// Ends a sweep that rewrote nodes in place: sorts what was appended, removes what nobody reads
/// any more, checks the graph. `count` is how many rewrites it made, and comes back.
fn finish(graph: &mut Graph, count: usize) -> Result<usize> {
    if count > 0 {
        graph.sort()?;
        graph.remove_unused();
        graph.validate()?;
    }
    Ok(count)
}

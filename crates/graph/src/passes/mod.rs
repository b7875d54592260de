//! Rewrites that keep the function a graph computes.
//!
//! Each pass returns how often it applied, and leaves a graph without unused nodes or values that
//! passes [`Graph::validate`]. Value ids change; the order and names of inputs and outputs do not.

mod fold_batch_norm;

pub use fold_batch_norm::fold_batch_norm;

use crate::{Graph, Result};

/// Removes the nodes at `gone`, and what nothing uses any more, and checks the graph.
fn tidy(graph: &mut Graph, gone: &[usize]) -> Result<()> {
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        !gone.contains(&(index - 1))
    });
    graph.remove_unused();
    graph.validate()
}

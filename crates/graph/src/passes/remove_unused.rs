//! Nodes whose results nobody reads.

use crate::{Graph, Result};

/// Removes nodes that no output of the graph depends on, and stored tensors that nothing reads.
/// Returns how many nodes went.
pub fn remove_unused(graph: &mut Graph) -> Result<usize> {
    let before = graph.nodes.len();
    graph.remove_unused();
    Ok(before - graph.nodes.len())
}

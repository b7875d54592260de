//! The float graph that is calibrated and quantised.

use edgecut_graph::{Graph, passes};

use crate::Result;

/// A copy of `graph` in canonical form: BatchNorm and factors folded into the layers, activations,
/// means and shuffles as the one operator that they mean. Folding after calibration would make the
/// recorded ranges those of other values. It computes the same function up to rounding.
/// Idempotent.
///
/// # Errors
/// Where the graph is not valid.
pub fn prepare(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    passes::canonicalise(&mut graph)?;
    Ok(graph)
}

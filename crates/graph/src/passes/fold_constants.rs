//! What depends on constants alone can be computed once.

use crate::limits::MAX_FOLDED_ELEMENTS;
use crate::{Graph, Op, Result, Tensor};

/// Computes every node whose inputs are all constants, and returns how many were replaced by
/// their result. Kept are QuantizeLinear and DequantizeLinear, since a stored 8-bit weight is what
/// a quantised model is about, and nodes that compute an output of the graph.
///
/// All results together may have as many elements as the graph stores, and
/// [`MAX_FOLDED_ELEMENTS`] more; a node whose result would not fit is kept. So a small file cannot
/// ask for much memory, while any real weight can be transposed.
pub fn fold_constants(graph: &mut Graph) -> Result<usize> {
    let stored: usize = graph.values().iter().flat_map(|v| &v.constant).map(Tensor::len).sum();
    let mut budget = stored.saturating_add(MAX_FOLDED_ELEMENTS);
    let mut folded = vec![];
    for index in 0..graph.nodes.len() {
        if let Some(results) = evaluate(graph, index, &mut budget)? {
            let outputs = graph.nodes[index].outputs.clone();
            for (output, tensor) in outputs.into_iter().zip(results) {
                graph.set_constant(output, tensor);
            }
            folded.push(index);
        }
    }
    super::tidy(graph, &folded)?;
    Ok(folded.len())
}

/// Results of the node at `index`, taken off `budget`, or `None` where the node is kept.
fn evaluate(graph: &Graph, index: usize, budget: &mut usize) -> Result<Option<Vec<Tensor>>> {
    let node = &graph.nodes[index];
    let inputs: Vec<Option<&Tensor>> =
        node.inputs.iter().map(|i| i.and_then(|id| graph.constant(id))).collect();
    let computed = node.inputs.iter().zip(&inputs).any(|(id, t)| id.is_some() && t.is_none());
    let kept = matches!(node.op, Op::Quantize { .. } | Op::Dequantize { .. })
        || node.outputs.iter().any(|&o| graph.is_output(o));
    let mut len = 0usize;
    for &output in &node.outputs {
        len = len.saturating_add(graph.value(output).shape.len_with(1, &node.name)?);
    }
    if computed || kept || len > *budget {
        return Ok(None);
    }
    *budget -= len;
    // What fails, such as a division by zero, is left to fail where it is run, if ever it is.
    Ok(crate::interpret::run_node(graph, node, &inputs).ok())
}

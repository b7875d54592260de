//! What depends on constants alone can be computed once.

use crate::limits::MAX_FOLDED_ELEMENTS;
use crate::{Graph, Op, Result, Tensor};

/// Computes every node whose inputs are all constants, and returns how many were replaced by
/// their result. Kept are QuantizeLinear and DequantizeLinear, since a stored 8-bit weight is what
/// a quantised model is about; nodes that compute an output of the graph; and nodes whose result
/// is larger than their inputs and than [`MAX_FOLDED_ELEMENTS`].
pub fn fold_constants(graph: &mut Graph) -> Result<usize> {
    let mut folded = vec![];
    for index in 0..graph.nodes.len() {
        if let Some(results) = evaluate(graph, index)? {
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

/// Results of the node at `index`, or `None` where it is kept.
fn evaluate(graph: &Graph, index: usize) -> Result<Option<Vec<Tensor>>> {
    let node = &graph.nodes[index];
    let constants: Option<Vec<&Tensor>> =
        node.inputs.iter().flatten().map(|&id| graph.constant(id)).collect();
    let Some(constants) = constants else { return Ok(None) };
    let kept = matches!(node.op, Op::Quantize { .. } | Op::Dequantize { .. })
        || node.outputs.iter().any(|&o| graph.is_output(o));
    let largest = constants.iter().map(|t| t.len()).max().unwrap_or(0);
    let len = graph.value(node.output()).shape.len_with(1, &node.name)?;
    if kept || len > largest.max(MAX_FOLDED_ELEMENTS) {
        return Ok(None);
    }
    let inputs: Vec<Option<&Tensor>> =
        node.inputs.iter().map(|i| i.and_then(|id| graph.constant(id))).collect();
    crate::interpret::run_node(graph, node, &inputs).map(Some)
}

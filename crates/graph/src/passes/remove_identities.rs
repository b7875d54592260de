//! Nodes that return their input: what exporters leave behind, and what other passes make.

use crate::{Graph, Node, Op, Reduction, Result, Unary};

/// Removes nodes that return their input unchanged, and returns how many. A node that computes an
/// output of the graph stays, so that the output keeps its name.
pub fn remove_identities(graph: &mut Graph) -> Result<usize> {
    let mut removed = vec![];
    for index in 0..graph.nodes.len() {
        let node = graph.nodes[index].clone();
        if is_identity(graph, &node)? && !graph.is_output(node.output()) {
            graph.replace_uses(node.output(), node.input(0)?);
            removed.push(index);
        }
    }
    super::tidy(graph, &removed)?;
    Ok(removed.len())
}

fn is_identity(graph: &Graph, node: &Node) -> Result<bool> {
    Ok(match &node.op {
        Op::Reshape { .. } | Op::Flatten { .. } => {
            graph.value(node.input(0)?).shape == graph.value(node.output()).shape
        }
        Op::Transpose { perm } => perm.iter().enumerate().all(|(i, &p)| i == p),
        Op::Squeeze { axes } | Op::Unsqueeze { axes } => axes.is_empty(),
        Op::Pad { before, after, .. } => before.iter().chain(after).all(|&n| n == 0),
        // Every element of a dimension, in steps of one, is the dimension.
        Op::Slice { .. } => graph.value(node.input(0)?).shape == graph.value(node.output()).shape,
        Op::Concat { .. } => node.inputs.len() == 1,
        Op::Unary(Unary::Clip { min, max }) => *min == f32::NEG_INFINITY && *max == f32::INFINITY,
        Op::Reduce { kind: Reduction::Mean, axes, .. } => axes.is_empty(),
        _ => false,
    })
}

//! Nodes that return their input: what exporters leave behind, and what other passes make.

use super::rewrite::{redirect, with_scalar};
use crate::{Binary, DType, Graph, Node, Op, Reduction, Result, Unary, ValueId};

/// Removes nodes that return their input unchanged, and returns how many. A node that computes an
/// output of the graph stays, so that the output keeps its name.
pub fn remove_identities(graph: &mut Graph) -> Result<usize> {
    let mut alias: Vec<ValueId> = graph.value_ids().collect();
    let mut removed = vec![];
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Some(x) = same_as(graph, node) else { continue };
        let output = node.output();
        let (from, to) = (graph.value(x), graph.value(output));
        if from.shape == to.shape && from.dtype == to.dtype && !graph.is_output(output) {
            // Nodes come in topological order, so that what x stands for is known.
            alias[output.index()] = alias[x.index()];
            removed.push(index);
        }
    }
    redirect(graph, &alias);
    super::tidy(graph, &removed)?;
    Ok(removed.len())
}

/// The input whose elements `node` returns, in order, under whatever shape.
fn same_as(graph: &Graph, node: &Node) -> Option<ValueId> {
    let x = node.input(0).ok()?;
    let dims = graph.value(x).shape.dims();
    let is = match &node.op {
        Op::Reshape { .. } | Op::Flatten { .. } => true,
        // Every element of a dimension, in steps of one, is the dimension; nothing is repeated
        // where the shape stays.
        Op::Slice { .. } | Op::Expand { .. } | Op::Tile { .. } => true,
        Op::Squeeze { axes } | Op::Unsqueeze { axes } => axes.is_empty(),
        Op::Transpose { perm } => perm.iter().enumerate().all(|(i, &p)| i == p),
        Op::Pad { before, after, .. } => before.iter().chain(after).all(|&n| n == 0),
        Op::Concat { .. } => node.inputs.len() == 1,
        Op::Cast { to } => graph.value(x).dtype == *to,
        Op::Unary(Unary::Clip { min, max }) => {
            let float = graph.value(x).dtype == DType::F32;
            float && *min == f32::NEG_INFINITY && *max == f32::INFINITY
        }
        Op::Reduce { kind, axes, .. } => {
            let joins = matches!(
                kind,
                Reduction::Mean
                    | Reduction::Sum
                    | Reduction::Prod
                    | Reduction::Max
                    | Reduction::Min
            );
            joins && axes.iter().all(|&a| dims.get(a).and_then(|d| d.fixed()) == Some(1))
        }
        Op::MaxPool(pool) | Op::AveragePool(pool) => {
            let window = &pool.window;
            window.kernel == [1; 2] && window.strides == [1; 2] && window.pads == [0; 4]
        }
        Op::Binary(_) => return neutral(graph, node),
        _ => false,
    };
    is.then_some(x)
}

/// The operand that a number leaves as it is: `x + 0`, `x * 1` and their inverses.
fn neutral(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (function, x, number, first) = with_scalar(graph, node)?;
    let is = match function {
        Binary::Add => number == 0.0,
        Binary::Sub => number == 0.0 && !first,
        Binary::Mul => number == 1.0,
        Binary::Div | Binary::Pow => number == 1.0 && !first,
        _ => false,
    };
    is.then_some(x)
}

//! Operators between dequantised values that could as well work on the integers.

use super::qdq::{per_tensor, same_parameters};
use super::rewrite::{Names, View, add_before};
use crate::{Graph, Node, Op, Result, ValueId};

/// Moves Dequantize behind operators that only move or select elements: reshapes, slices, shuffles,
/// concatenations of values of one scale, maxima over windows. They then work on the integers, a
/// quarter of the bytes, and a Quantize behind them often becomes redundant. Returns how many.
/// Exact: dequantisation is the same rising function of every element.
pub fn move_integers(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut names = Names::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let Some(Integers { inputs, dequantize }) = integers(graph, &view, root) else { continue };
        let node = &graph.nodes[root];
        let (op, stem) = (node.op.clone(), format!("{}.integers", node.name));
        let Some(moved) = add_before(graph, &mut names, &stem, op, &inputs) else { continue };
        let Node { op, inputs: operands, .. } = graph.nodes[dequantize].clone();
        graph.nodes[root].op = op;
        graph.nodes[root].inputs = [vec![Some(moved)], operands[1..].to_vec()].concat();
        count += 1;
    }
    super::finish(graph, count)
}

/// What a node would read instead, and the node that dequantises it.
struct Integers {
    inputs: Vec<ValueId>,
    dequantize: usize,
}

fn integers(graph: &Graph, view: &View, root: usize) -> Option<Integers> {
    let node = &graph.nodes[root];
    let moves = match &node.op {
        // The maximum of nothing is not an integer.
        Op::MaxPool(pool) => pool.meets_data(),
        Op::Concat { .. } => true,
        op => op.only_moves(),
    };
    if !moves || node.inputs.is_empty() {
        return None;
    }
    let (mut inputs, mut dequantize) = (vec![], None);
    for &input in &node.inputs {
        let (index, maker) = view.node(graph, input?)?;
        let same = match dequantize {
            Some(first) => same_parameters(graph, &graph.nodes[first], maker),
            None => same_parameters(graph, maker, maker),
        };
        let dequantises = matches!(maker.op, Op::Dequantize { .. });
        if !dequantises || !per_tensor(graph, maker) || !same {
            return None;
        }
        let integers = maker.input(0).ok()?;
        let alike = inputs
            .first()
            .is_none_or(|&first: &ValueId| graph.value(first).dtype == graph.value(integers).dtype);
        if !alike || !graph.value(integers).dtype.is_quantised() {
            return None;
        }
        dequantize = dequantize.or(Some(index));
        inputs.push(integers);
    }
    Some(Integers { inputs, dequantize: dequantize? })
}

//! Weights that 4 bits are enough for.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::{Data, Graph, Node, Op, Tensor, ValueId};

/// The first operator set whose DequantizeLinear reads int4.
pub(super) const OPSET: i64 = 21;

/// Fewer elements than this are not worth the newer operator set.
const FEWEST: usize = 64;

/// The int8 weights that are stored as int4: all of their elements are from -8 to 7, and nobody but
/// DequantizeLinear reads them, with a zero point of 0. Weights of 8 bits reach further in every
/// channel.
pub(super) fn weights(graph: &Graph) -> HashSet<ValueId> {
    let consumers = graph.consumers();
    let is_weight = |&id: &ValueId| {
        let readers = &consumers[id.index()];
        graph.constant(id).is_some_and(fits)
            && !graph.is_output(id)
            && !readers.is_empty()
            && readers.iter().all(|&reader| dequantises(graph, &graph.nodes[reader], id))
    };
    graph.value_ids().filter(is_weight).collect()
}

/// The graph without the zero points of `weights`: one of 0 is what is meant without, and one of
/// another type may serve other weights too.
pub(super) fn plain<'g>(graph: &'g Graph, weights: &HashSet<ValueId>) -> Cow<'g, Graph> {
    if weights.is_empty() {
        return Cow::Borrowed(graph);
    }
    let mut graph = graph.clone();
    for node in &mut graph.nodes {
        if node.inputs[..].first().copied().flatten().is_some_and(|id| weights.contains(&id)) {
            node.inputs.truncate(2);
        }
    }
    Cow::Owned(graph)
}

fn fits(tensor: &Tensor) -> bool {
    let Data::I8(values) = tensor.data() else { return false };
    tensor.rank() >= 2 && values.len() >= FEWEST && values.iter().all(|v| (-8..8).contains(v))
}

/// Whether a node dequantises `id`, whose zero point is 0.
fn dequantises(graph: &Graph, node: &Node, id: ValueId) -> bool {
    let once = node.inputs.iter().filter(|&&input| input == Some(id)).count() == 1;
    let zero = match node.inputs.get(2).copied().flatten() {
        None => true,
        Some(zero) => matches!(
            graph.constant(zero).map(Tensor::data),
            Some(Data::I8(zeros)) if zeros.iter().all(|&z| z == 0)
        ),
    };
    matches!(node.op, Op::Dequantize { .. }) && once && node.inputs[0] == Some(id) && zero
}

//! What the pattern passes share: who computes and who reads a value, and rewriting a node.
//!
//! A pattern ends in one node, its root. The root takes over the meaning of the whole pattern and
//! keeps its output value, so that readers, names and outputs of the graph need no change, and a
//! rewrite is right even where another reader keeps the inner nodes alive. What nobody reads any
//! more is removed after the sweep. Whether the inner nodes are private decides only whether a
//! rewrite is worth it.

use std::collections::HashSet;

use crate::infer::infer_node;
use crate::{Binary, Graph, Node, Op, Tensor, ValueId};

/// Producers and readers of all values at the start of a sweep. A rewrite in place leaves
/// producers true, and readers at worst outdated: a pattern missed now is found in the next round.
pub(super) struct View {
    producers: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
}

impl View {
    pub(super) fn new(graph: &Graph) -> View {
        View { producers: graph.producers(), readers: graph.consumers() }
    }

    /// Index of the node that computes `id`.
    pub(super) fn producer(&self, id: ValueId) -> Option<usize> {
        self.producers.get(id.index()).copied().flatten()
    }

    /// The node that computes `id`, and its index.
    pub(super) fn node<'g>(&self, graph: &'g Graph, id: ValueId) -> Option<(usize, &'g Node)> {
        let index = self.producer(id)?;
        Some((index, graph.nodes.get(index)?))
    }

    /// Whether one node alone reads `id`, once, and the graph does not return it.
    pub(super) fn is_private(&self, graph: &Graph, id: ValueId) -> bool {
        self.readers.get(id.index()).is_some_and(|r| r.len() == 1) && !graph.is_output(id)
    }

    /// Whether nobody but `root` and `inner` themselves reads what the nodes `inner` compute.
    pub(super) fn encloses(&self, graph: &Graph, root: usize, inner: &[usize]) -> bool {
        inner.iter().flat_map(|&i| &graph.nodes[i].outputs).all(|&id| {
            !graph.is_output(id)
                && self.readers[id.index()].iter().all(|r| *r == root || inner.contains(r))
        })
    }
}

/// Gives the node at `root` this operator and these inputs, which must be its ancestors. False,
/// with nothing changed, where its output would not keep type and shape.
pub(super) fn become_op(graph: &mut Graph, root: usize, op: Op, inputs: &[ValueId]) -> bool {
    let old = &graph.nodes[root];
    let inputs = inputs.iter().map(|&id| Some(id)).collect();
    let new = Node { name: old.name.clone(), op, inputs, outputs: old.outputs.clone() };
    let keeps = infer_node(graph, &new).is_ok_and(|results| {
        results.len() == new.outputs.len()
            && results.iter().zip(&new.outputs).all(|((dtype, shape), &id)| {
                let value = graph.value(id);
                value.dtype == *dtype && value.shape == *shape
            })
    });
    if keeps {
        graph.nodes[root] = new;
    }
    keeps
}

/// Makes every reader of each value read what `alias` maps it to, the graph's outputs excepted.
/// `alias` is indexed by value and already resolved: no target is itself mapped elsewhere.
pub(super) fn redirect(graph: &mut Graph, alias: &[ValueId]) {
    for id in graph.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten()) {
        if let Some(&target) = alias.get(id.index()) {
            *id = target;
        }
    }
}

/// Names of values and of nodes that are in use, so that a pass which makes many stays linear.
pub(crate) struct Names {
    values: HashSet<String>,
    nodes: HashSet<String>,
}

impl Names {
    pub(crate) fn new(graph: &Graph) -> Names {
        Names {
            values: graph.values().iter().map(|v| v.name.clone()).collect(),
            nodes: graph.nodes.iter().map(|n| n.name.clone()).collect(),
        }
    }

    /// A value name that starts with `stem`, and is in use from here on.
    pub(crate) fn value(&mut self, stem: &str) -> String {
        fresh(&mut self.values, stem)
    }

    /// A node name that starts with `stem`, and is in use from here on.
    pub(crate) fn node(&mut self, stem: &str) -> String {
        fresh(&mut self.nodes, stem)
    }
}

fn fresh(taken: &mut HashSet<String>, stem: &str) -> String {
    let mut name = stem.to_string();
    let mut number = 0;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{stem}_{number}");
    }
    name
}

/// Adds a node in front of the node at `root`, which may then read its result. It is appended:
/// the caller sorts the graph at the end of its sweep, so that indices stay valid until then.
/// `None` where the operator does not fit its inputs.
pub(super) fn add_before(
    graph: &mut Graph,
    names: &mut Names,
    stem: &str,
    op: Op,
    inputs: &[ValueId],
) -> Option<ValueId> {
    let inputs = inputs.iter().map(|&id| Some(id)).collect();
    let mut node = Node { name: names.node(stem), op, inputs, outputs: vec![] };
    for (dtype, shape) in infer_node(graph, &node).ok()? {
        let output = graph.add_value(names.value(stem), dtype, shape);
        node.outputs.push(output);
    }
    let first = node.outputs.first().copied();
    graph.nodes.push(node);
    first
}

/// The operands of a node of this binary function.
pub(super) fn operands(node: &Node, function: Binary) -> Option<(ValueId, ValueId)> {
    match node.inputs.as_slice() {
        [Some(a), Some(b)] if node.op == Op::Binary(function) => Some((*a, *b)),
        _ => None,
    }
}

/// The only element of a float32 constant.
pub(super) fn scalar(graph: &Graph, id: ValueId) -> Option<f64> {
    match graph.constant(id)?.f32s().ok()? {
        [value] => Some(f64::from(*value)),
        _ => None,
    }
}

/// A binary node of one computed operand and one number: function, operand, number, and whether
/// the number is the first operand.
pub(super) fn with_scalar(graph: &Graph, node: &Node) -> Option<(Binary, ValueId, f64, bool)> {
    let Op::Binary(function) = node.op else { return None };
    let (a, b) = operands(node, function)?;
    match (graph.constant(a).is_some(), scalar(graph, b), scalar(graph, a)) {
        (false, Some(number), _) => Some((function, a, number, false)),
        (true, None, Some(number)) if graph.constant(b).is_none() => {
            Some((function, b, number, true))
        }
        _ => None,
    }
}

/// Whether two numbers agree to a part in a million: constants that exporters round differently.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1e-3)
}

/// Whether two constants hold the same bits under the same type and shape.
pub(super) fn same_tensor(a: &Tensor, b: &Tensor) -> bool {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return false;
    }
    match (a.f32s(), b.f32s()) {
        (Ok(a), Ok(b)) => a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits()),
        _ => a.data() == b.data(),
    }
}

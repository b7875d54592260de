//! What a step of the quantised graph takes along behind its first node, unrounded.
//!
//! A sum and an activation that alone read a layer's result are computed on its sums, in float
//! before the one rounding to bytes: three roundings become one, and no tensor is written between.

use edgecut_graph::{Binary, Graph, Op, ValueId};

use super::kinds::{fuses, is_weighted};
use super::{Placement, Ranges};

/// What steps are formed from.
pub(crate) struct Context<'a> {
    pub graph: &'a Graph,
    pub placement: Placement,
    /// Names of nodes that stay float.
    pub excluded: &'a [String],
    pub ranges: Ranges<'a>,
    /// Readers of each value.
    pub consumers: Vec<Vec<usize>>,
    /// By value index: whether it reaches the outputs through nothing that needs bytes.
    pub tail: Vec<bool>,
}

impl Context<'_> {
    /// Nodes behind the one at `head` that belong to its step, in order: the addition of a value
    /// that is there already, and one activation. Runtimes that want every operator between bytes
    /// get only the clamps, which saturation computes. `ready` tells, by value index, what earlier
    /// steps compute.
    pub fn chain(&self, head: usize, ready: &[bool]) -> Vec<usize> {
        let node = &self.graph.nodes[head];
        let fused = self.placement == Placement::Fused && is_weighted(&node.op);
        let (mut chain, mut result) = (vec![], node.output());
        let adds = |&add: &usize| fused && self.adds(add, result, ready);
        if let Some(add) = self.sole_reader(result).filter(adds) {
            chain.push(add);
            result = self.graph.nodes[add].output();
        }
        let activates = |&reader: &usize| {
            let op = &self.graph.nodes[reader].op;
            op.clamp_bounds().is_some() || (fused && fuses(op))
        };
        chain.extend(self.sole_reader(result).filter(activates));
        chain
    }

    /// Whether the node at `index` adds something that is there already to `result`.
    fn adds(&self, index: usize, result: ValueId, ready: &[bool]) -> bool {
        let node = &self.graph.nodes[index];
        let &[Some(a), Some(b)] = &node.inputs[..] else { return false };
        let other = if a == result { b } else { a };
        let same = self.graph.value(other).shape == self.graph.value(result).shape;
        let ready = ready[other.index()] && self.graph.constant(other).is_none();
        let wanted = !self.excluded.contains(&node.name);
        node.op == Op::Binary(Binary::Add) && a != b && same && ready && wanted
    }

    /// The node that alone reads `value`, which the graph does not return.
    fn sole_reader(&self, value: ValueId) -> Option<usize> {
        match self.consumers[value.index()][..] {
            [reader] if !self.graph.is_output(value) => Some(reader),
            _ => None,
        }
    }
}

//! Constants: those stored in the model, and nodes that depend on nothing else.

use edgecut_graph::limits::MAX_FOLDED_ELEMENTS;
use edgecut_graph::{Node, Op, Tensor, ValueId, interpret};

use super::{Lowering, count};
use crate::Result;

impl Lowering<'_> {
    /// Whether the value is known at compile time.
    pub(super) fn is_constant(&self, value: ValueId) -> bool {
        let held = &self.held[value.index()];
        held.constant.is_some() || held.deferred.is_some()
    }

    /// The tensor of a constant or folded value, in ONNX order.
    pub(super) fn constant(&mut self, value: ValueId) -> Result<Option<Tensor>> {
        if let Some(tensor) = &self.held[value.index()].constant {
            return Ok(Some(tensor.clone()));
        }
        let Some(index) = self.held[value.index()].deferred else { return Ok(None) };
        let tensor = self.evaluate(&self.graph.nodes[index])?.swap_remove(0);
        self.held[value.index()].constant = Some(tensor.clone());
        Ok(Some(tensor))
    }

    /// The tensor of an optional input: the outer `None` where it is not a constant.
    pub(super) fn optional_constant(
        &mut self,
        node: &Node,
        index: usize,
    ) -> Result<Option<Option<Tensor>>> {
        match node.inputs.get(index).copied().flatten() {
            None => Ok(Some(None)),
            Some(value) => Ok(self.constant(value)?.map(Some)),
        }
    }

    /// Evaluates a node whose inputs are all constants, unless its result is much larger than they
    /// are (a hostile broadcast). Returns whether it did.
    pub(super) fn fold(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        if !node.inputs.iter().flatten().all(|&v| self.is_constant(v)) {
            return Ok(false);
        }
        let len = |v: ValueId| count(&self.shape(v));
        let read = node.inputs.iter().flatten().map(|&v| len(v)).sum::<usize>();
        let written = node.outputs.iter().map(|&v| len(v)).sum::<usize>();
        if written > read && written > MAX_FOLDED_ELEMENTS {
            return Ok(false);
        }
        if matches!(node.op, Op::Dequantize { .. }) {
            self.held[node.output().index()].deferred = Some(index);
            return Ok(true);
        }
        for (output, tensor) in node.outputs.iter().zip(self.evaluate(node)?) {
            self.held[output.index()].constant = Some(tensor);
        }
        Ok(true)
    }

    /// The outputs of a node of constants.
    fn evaluate(&mut self, node: &Node) -> Result<Vec<Tensor>> {
        let tensors = node.inputs.iter().map(|input| match input {
            Some(value) => self.constant(*value),
            None => Ok(None),
        });
        let tensors = tensors.collect::<Result<Vec<Option<Tensor>>>>()?;
        let borrowed: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        Ok(interpret::run_node(self.graph, node, &borrowed)?)
    }
}

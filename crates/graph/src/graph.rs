//! The graph: values, and nodes in topological order that compute some values from others.
//!
//! Values are identified by index, not by name, so a pass can rename, add and drop without string
//! look-ups. Constants are values that carry a tensor.
//!
//! Invariants, checked by [`Graph::validate`]: node inputs are graph inputs, constants or outputs
//! of earlier nodes; every value has at most one producer; the graph's outputs exist; every
//! value's type and shape are what [`crate::infer`] derives.

use std::collections::BTreeMap;

use crate::{DType, GraphError, Op, Result, Shape, Tensor};

/// Index of a value in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Position in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Something that a node computes, the caller supplies, or the model stores.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name, unique in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents in ONNX order (NCHW for images).
    pub shape: Shape,
    /// The stored tensor of a constant.
    pub constant: Option<Tensor>,
}

/// One operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name, unique in the graph.
    pub name: String,
    /// Operator and attributes.
    pub op: Op,
    /// Inputs in the operator's order; `None` where an optional one is absent.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs in the operator's order.
    pub outputs: Vec<ValueId>,
}

impl Node {
    /// The input at `index`; an error naming the node where it is absent.
    pub fn input(&self, index: usize) -> Result<ValueId> {
        self.inputs
            .get(index)
            .copied()
            .flatten()
            .ok_or_else(|| self.error(format!("input {index} is missing")))
    }

    /// The only (or first) output.
    pub fn output(&self) -> ValueId {
        self.outputs[0]
    }

    /// An error that names this node.
    pub fn error(&self, problem: impl Into<String>) -> GraphError {
        GraphError::Node { node: self.name.clone(), op: self.op.name(), problem: problem.into() }
    }
}

/// A model: typed values, and nodes in topological order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Name of the model.
    pub name: String,
    /// What the caller supplies, in order. Constants are never inputs.
    pub inputs: Vec<ValueId>,
    /// What the graph returns, in order.
    pub outputs: Vec<ValueId>,
    /// Nodes; each comes after those whose outputs it reads.
    pub nodes: Vec<Node>,
    /// Free-form facts that travel with the model (ONNX `metadata_props`), such as the
    /// preprocessing of its input under `edgecut.preprocess` and the class names under
    /// `edgecut.classes`.
    pub metadata: BTreeMap<String, String>,
    values: Vec<Value>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// All values, indexed by [`ValueId::index`]. Some may be unused after a pass.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The value `id`, to be changed.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.index()]
    }

    /// Ids of all values.
    pub fn value_ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// The value called `name`.
    pub fn find_value(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|v| v.name == name).map(|i| ValueId(i as u32))
    }

    /// Adds a value. The name must not be in use.
    pub fn add_value(&mut self, name: impl Into<String>, dtype: DType, shape: Shape) -> ValueId {
        self.values.push(Value { name: name.into(), dtype, shape, constant: None });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Adds an input.
    pub fn add_input(&mut self, name: impl Into<String>, dtype: DType, shape: Shape) -> ValueId {
        let id = self.add_value(name, dtype, shape);
        self.inputs.push(id);
        id
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let id = self.add_value(name, tensor.dtype(), Shape::fixed(tensor.shape()));
        self.values[id.index()].constant = Some(tensor);
        id
    }

    /// Lets go of the tensors of all constants. The graph keeps its structure and can no longer be
    /// run or written.
    pub fn forget_constants(&mut self) {
        self.values.iter_mut().for_each(|value| value.constant = None);
    }

    /// The tensor of a constant, or `None` for any other value.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.value(id).constant.as_ref()
    }

    /// The float32 elements of the constant at `node`'s input `index`; an error that names the
    /// node where it is absent, computed, or of another type.
    pub fn constant_f32s(&self, node: &Node, index: usize) -> Result<&[f32]> {
        let id = node.input(index)?;
        let tensor = self.constant(id).ok_or_else(|| {
            node.error(format!("input {index} ('{}') must be a constant", self.value(id).name))
        })?;
        tensor.f32s().map_err(|e| node.error(format!("input {index}: {e}")))
    }

    /// Replaces the tensor of a constant by another, type and shape included.
    pub fn set_constant(&mut self, id: ValueId, tensor: Tensor) {
        let value = &mut self.values[id.index()];
        value.dtype = tensor.dtype();
        value.shape = Shape::fixed(tensor.shape());
        value.constant = Some(tensor);
    }

    /// A value name that starts with `stem` and is not in use.
    pub fn unique_name(&self, stem: &str) -> String {
        let taken = |name: &str| self.values.iter().any(|v| v.name == name);
        if !taken(stem) {
            return stem.to_string();
        }
        (1..).map(|i| format!("{stem}_{i}")).find(|name| !taken(name)).expect("endless range")
    }

    /// Appends a node, infers its output's type and shape, and returns the first output. Inputs must
    /// be ready (topological order).
    pub fn add_node(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[Option<ValueId>],
    ) -> Result<ValueId> {
        let name = name.into();
        let mut node = Node { name: name.clone(), op, inputs: inputs.to_vec(), outputs: vec![] };
        for (dtype, shape) in crate::infer::infer_node(self, &node)? {
            let output = self.add_value(self.unique_name(&name), dtype, shape);
            node.outputs.push(output);
        }
        let first = node.output();
        self.nodes.push(node);
        Ok(first)
    }

    /// Index of the node that computes each value; `None` for inputs and constants.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers[output.index()] = Some(index);
            }
        }
        producers
    }

    /// Indices of the nodes that read each value, in order; a node that reads it twice counts
    /// twice. Graph outputs are not counted: see [`Graph::is_output`].
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![vec![]; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten() {
                consumers[input.index()].push(index);
            }
        }
        consumers
    }

    /// Whether the graph returns this value.
    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.contains(&id)
    }

    /// Makes every reader of `old`, and the graph's outputs, use `new` instead.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        let slots = self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten());
        for slot in slots.chain(self.outputs.iter_mut()) {
            if *slot == old {
                *slot = new;
            }
        }
    }

    /// Removes nodes whose results nobody uses, and values that nobody mentions. Ids change:
    /// returns the new id of each old value.
    pub fn remove_unused(&mut self) -> Vec<Option<ValueId>> {
        let mut live = vec![false; self.values.len()];
        self.outputs.iter().for_each(|o| live[o.index()] = true);
        let mut keep = vec![false; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            keep[index] = node.outputs.iter().any(|o| live[o.index()]);
            if keep[index] {
                node.inputs
                    .iter()
                    .flatten()
                    .chain(&node.outputs)
                    .for_each(|v| live[v.index()] = true);
            }
        }
        self.inputs.iter().for_each(|i| live[i.index()] = true);
        let mut flags = keep.into_iter();
        self.nodes.retain(|_| flags.next().expect("one flag a node"));
        self.compact(&live)
    }

    fn compact(&mut self, live: &[bool]) -> Vec<Option<ValueId>> {
        let mut next = 0;
        let map: Vec<Option<ValueId>> = live
            .iter()
            .map(|&l| {
                l.then(|| {
                    next += 1;
                    ValueId(next - 1)
                })
            })
            .collect();
        let mut flags = live.iter();
        self.values.retain(|_| *flags.next().expect("one flag a value"));
        let renumber = |id: &mut ValueId| *id = map[id.index()].expect("live value");
        for node in &mut self.nodes {
            node.inputs.iter_mut().flatten().chain(&mut node.outputs).for_each(renumber);
        }
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(renumber);
        map
    }

    /// Puts the nodes in topological order, stable where the order is free. Fails, naming a node,
    /// where there is a cycle or an input that nothing computes.
    pub fn sort(&mut self) -> Result<()> {
        let mut ready: Vec<bool> = self.values.iter().map(|v| v.constant.is_some()).collect();
        self.inputs.iter().for_each(|i| ready[i.index()] = true);
        let consumers = self.consumers();
        let waits = |node: &Node, ready: &[bool]| {
            node.inputs.iter().flatten().filter(|v| !ready[v.index()]).count()
        };
        let mut missing: Vec<usize> = self.nodes.iter().map(|n| waits(n, &ready)).collect();
        // A heap of node indices keeps the order stable and the sort O(n log n).
        let mut heap: std::collections::BinaryHeap<std::cmp::Reverse<usize>> =
            (0..self.nodes.len()).filter(|&i| missing[i] == 0).map(std::cmp::Reverse).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(std::cmp::Reverse(index)) = heap.pop() {
            order.push(index);
            for output in &self.nodes[index].outputs {
                if std::mem::replace(&mut ready[output.index()], true) {
                    continue;
                }
                for &reader in &consumers[output.index()] {
                    missing[reader] -= 1;
                    if missing[reader] == 0 {
                        heap.push(std::cmp::Reverse(reader));
                    }
                }
            }
        }
        if order.len() < self.nodes.len() {
            let stuck = missing.iter().position(|&m| m > 0).unwrap_or(0);
            return Err(self.nodes[stuck].error("its inputs form a cycle or are never computed"));
        }
        let mut nodes: Vec<Option<Node>> =
            std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order.into_iter().map(|i| nodes[i].take().expect("each node once")).collect();
        Ok(())
    }

    /// Checks the invariants of the graph.
    pub fn validate(&self) -> Result<()> {
        let mut defined: Vec<bool> = self.values.iter().map(|v| v.constant.is_some()).collect();
        self.inputs.iter().for_each(|i| defined[i.index()] = true);
        for node in &self.nodes {
            if let Some(v) = node.inputs.iter().flatten().find(|v| !defined[v.index()]) {
                return Err(
                    node.error(format!("reads '{}' before it is computed", self.value(*v).name))
                );
            }
            self.validate_outputs(node)?;
            for output in &node.outputs {
                if std::mem::replace(&mut defined[output.index()], true) {
                    return Err(
                        node.error(format!("'{}' is computed twice", self.value(*output).name))
                    );
                }
            }
        }
        match self.outputs.iter().find(|o| !defined[o.index()]) {
            Some(o) => Err(GraphError::Malformed {
                place: format!("output '{}'", self.value(*o).name),
                problem: "no node computes it".into(),
            }),
            None => Ok(()),
        }
    }

    fn validate_outputs(&self, node: &Node) -> Result<()> {
        let inferred = crate::infer::infer_node(self, node)?;
        if inferred.len() != node.outputs.len() {
            let (has, needs) = (node.outputs.len(), inferred.len());
            return Err(node.error(format!("has {has} outputs, needs {needs}")));
        }
        for (&output, (dtype, shape)) in node.outputs.iter().zip(inferred) {
            let value = self.value(output);
            if value.dtype != dtype || value.shape != shape {
                return Err(node.error(format!(
                    "output '{}' is declared {} {}, computed {dtype} {shape}",
                    value.name, value.dtype, value.shape
                )));
            }
        }
        Ok(())
    }
}

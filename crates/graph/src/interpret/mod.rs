//! A plain reference implementation of every operator: what the fast kernels are checked against.
//!
//! Loops follow the ONNX definitions in NCHW, one small function an operator. Dot products, means
//! and normalisations accumulate in float64 and are rounded once: a product of two float32 is
//! exact there, so that the result is within one rounding of the true one and an oracle for any
//! order of summation. Everything is single-threaded; the only concession to speed is that the
//! innermost loops are contiguous and skip padding.

mod arrange;
mod conv;
mod dispatch;
mod element;
mod elementwise;
mod index;
mod integer;
mod lines;
mod matmul;
mod norm;
mod order;
mod pool;
mod quantize;
mod reduce;
mod resize;
mod softmax;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{DType, Dim, Graph, GraphError, Node, Result, Shape, Tensor, ValueId};
use element::Element;
use elementwise::Broadcast;
pub use resize::{Taps, nearest, taps};

/// Runs `graph` on `inputs`, in the order of [`Graph::inputs`], and returns its outputs in the
/// order of [`Graph::outputs`]. Symbolic extents take their size from the inputs; one name must
/// mean one size. Fails, naming the input with what was expected and given, where they do not fit.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    run_with(graph, inputs, &mut |_, _| {})
}

/// As [`run`]; `visit` sees every input and every computed value, in order of computation.
/// Values are dropped after their last reader.
pub fn run_with(
    graph: &Graph,
    inputs: &[Tensor],
    visit: &mut dyn FnMut(ValueId, &Tensor),
) -> Result<Vec<Tensor>> {
    check_inputs(graph, inputs)?;
    let mut tensors: Vec<Option<Tensor>> =
        graph.values().iter().map(|v| v.constant.clone()).collect();
    for (&id, tensor) in graph.inputs.iter().zip(inputs) {
        visit(id, tensor);
        tensors[id.index()] = Some(tensor.clone());
    }
    let last = last_readers(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let results = {
            let args: Vec<Option<&Tensor>> =
                node.inputs.iter().map(|i| i.and_then(|id| tensors[id.index()].as_ref())).collect();
            run_node(graph, node, &args)?
        };
        for (&output, result) in node.outputs.iter().zip(results) {
            visit(output, &result);
            tensors[output.index()] = Some(result);
        }
        for id in node.inputs.iter().flatten().chain(&node.outputs) {
            if last[id.index()].is_none_or(|reader| reader <= index) && !graph.is_output(*id) {
                tensors[id.index()] = None;
            }
        }
    }
    graph.outputs.iter().map(|&id| output(graph, id, &tensors)).collect()
}

/// Runs one node of `graph`. `inputs` are in the operator's order: `None` stands for an optional
/// input that is absent, or for a constant of the graph. Inputs are checked against the operator
/// as [`crate::infer`] does, on their actual shapes.
pub fn run_node(graph: &Graph, node: &Node, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
    let args: Vec<Option<&Tensor>> = (0..node.inputs.len().max(inputs.len()))
        .map(|i| {
            let given = inputs.get(i).copied().flatten();
            let id = node.inputs.get(i).copied().flatten();
            given.or_else(|| id.and_then(|id| graph.constant(id)))
        })
        .collect();
    let outputs = concrete_outputs(node, &args)?;
    let results = dispatch::compute(&Args { node, tensors: args, outputs: &outputs })?;
    outputs.iter().zip(results).map(|((_, shape), data)| Tensor::new(&shape[..], data)).collect()
}

/// Type and shape of the outputs for these actual inputs: shape inference on a graph that holds
/// nothing but them.
fn concrete_outputs(node: &Node, args: &[Option<&Tensor>]) -> Result<Vec<(DType, Vec<usize>)>> {
    let mut scratch = Graph::default();
    let inputs = args
        .iter()
        .map(|arg| arg.map(|t| scratch.add_value("", t.dtype(), Shape::fixed(t.shape()))))
        .collect();
    let stand_in = Node { name: node.name.clone(), op: node.op.clone(), inputs, outputs: vec![] };
    let outputs = crate::infer::infer_node(&scratch, &stand_in)?;
    Ok(outputs.into_iter().map(|(dtype, shape)| (dtype, shape.with_symbols(1))).collect())
}

/// The inputs of one node, checked against its operator, and what its outputs must be.
struct Args<'a> {
    node: &'a Node,
    tensors: Vec<Option<&'a Tensor>>,
    outputs: &'a [(DType, Vec<usize>)],
}

impl<'a> Args<'a> {
    /// Type of the first output.
    fn dtype(&self) -> DType {
        self.outputs[0].0
    }

    /// Shape of the first output.
    fn shape(&self) -> &'a [usize] {
        &self.outputs[0].1
    }

    /// Number of elements of the first output.
    fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Number of inputs.
    fn count(&self) -> usize {
        self.tensors.len()
    }

    fn tensor(&self, index: usize) -> Result<&'a Tensor> {
        self.optional(index).ok_or_else(|| self.node.error(format!("input {index} is missing")))
    }

    fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.tensors.get(index).copied().flatten()
    }

    /// The elements of input `index`, which must be of type `T`.
    fn elements<T: Element>(&self, index: usize) -> Result<&'a [T]> {
        let tensor = self.tensor(index)?;
        T::of(tensor).ok_or_else(|| self.node.error(format!("input {index} is {}", tensor.dtype())))
    }

    fn f32s(&self, index: usize) -> Result<&'a [f32]> {
        self.elements(index)
    }

    fn optional_f32s(&self, index: usize) -> Result<Option<&'a [f32]>> {
        self.optional(index).map(|_| self.f32s(index)).transpose()
    }

    /// Input `index` seen as one of shape `out`.
    fn broadcast(&self, index: usize, out: &[usize]) -> Result<Broadcast> {
        Ok(Broadcast::new(self.tensor(index)?.shape(), out))
    }

    /// The dimensions of input `index` before the last two, seen as `out`.
    fn outer_broadcast(&self, index: usize, out: &[usize]) -> Result<Broadcast> {
        let shape = self.tensor(index)?.shape();
        Ok(Broadcast::new(&shape[..shape.len() - 2], out))
    }
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<()> {
    if inputs.len() != graph.inputs.len() {
        return Err(GraphError::Shape {
            place: format!("graph '{}'", graph.name),
            problem: format!("needs {} inputs, got {}", graph.inputs.len(), inputs.len()),
        });
    }
    let mut sizes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for (&id, tensor) in graph.inputs.iter().zip(inputs) {
        let value = graph.value(id);
        if tensor.dtype() != value.dtype {
            let (found, expected) = (tensor.dtype(), value.dtype);
            return Err(GraphError::Type { name: value.name.clone(), found, expected });
        }
        let fits = value.shape.rank() == tensor.rank()
            && value.shape.dims().iter().zip(tensor.shape()).all(|(dim, &size)| match dim {
                Dim::Fixed(n) => *n == size,
                Dim::Symbol(name) => *sizes.entry(name).or_insert(size) == size,
            });
        if !fits {
            let known: Vec<String> =
                sizes.iter().map(|(name, n)| format!("{name} = {n}")).collect();
            let known =
                if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
            return Err(GraphError::Shape {
                place: format!("input '{}'", value.name),
                problem: format!("expected {}{known}, got {:?}", value.shape, tensor.shape()),
            });
        }
    }
    Ok(())
}

/// Index of the last node that reads each value.
fn last_readers(graph: &Graph) -> Vec<Option<usize>> {
    graph.consumers().into_iter().map(|readers| readers.last().copied()).collect()
}

fn output(graph: &Graph, id: ValueId, tensors: &[Option<Tensor>]) -> Result<Tensor> {
    tensors[id.index()].clone().ok_or_else(|| GraphError::Malformed {
        place: format!("output '{}'", graph.value(id).name),
        problem: "no node computes it".into(),
    })
}

#[cfg(test)]
mod tests;

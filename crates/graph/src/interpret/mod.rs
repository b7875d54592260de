//! A plain reference implementation of every operator: what the fast kernels are checked against.
//!
//! Loops follow the ONNX definitions in NCHW, one small function an operator. Dot products, means
//! and normalisations accumulate in float64 and are rounded once: a product of two float32 is
//! exact there, so that the result is within one rounding of the true one and an oracle for any
//! order of summation. Everything is single-threaded; the only concession to speed is that the
//! innermost loops are contiguous and skip padding.

mod arrange;
mod conv;
mod elementwise;
mod matmul;
mod pool;
mod quantize;
mod reduce;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    DType, Dim, Graph, GraphError, Node, Op, PadMode, Reduction, Result, Shape, Tensor, ValueId,
};

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
    let (dtype, shape) = concrete_output(node, &args)?;
    let result = apply(&Args { node, tensors: args }, dtype, &shape)?;
    Ok(vec![Tensor::new(shape, result)?])
}

/// Type and shape of the output for these actual inputs: shape inference on a graph that holds
/// nothing but them.
fn concrete_output(node: &Node, args: &[Option<&Tensor>]) -> Result<(DType, Vec<usize>)> {
    let mut scratch = Graph::default();
    let inputs = args
        .iter()
        .map(|arg| arg.map(|t| scratch.add_value("", t.dtype(), Shape::fixed(t.shape()))))
        .collect();
    let stand_in = Node { name: node.name.clone(), op: node.op.clone(), inputs, outputs: vec![] };
    let mut outputs = crate::infer::infer_node(&scratch, &stand_in)?;
    let (dtype, shape) = outputs.swap_remove(0);
    Ok((dtype, shape.with_symbols(1)))
}

/// The inputs of one node.
struct Args<'a> {
    node: &'a Node,
    tensors: Vec<Option<&'a Tensor>>,
}

impl<'a> Args<'a> {
    fn tensor(&self, index: usize) -> Result<&'a Tensor> {
        self.optional(index).ok_or_else(|| self.node.error(format!("input {index} is missing")))
    }

    fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.tensors.get(index).copied().flatten()
    }

    fn f32s(&self, index: usize) -> Result<&'a [f32]> {
        self.tensor(index)?.f32s().map_err(|e| self.node.error(format!("input {index}: {e}")))
    }

    fn optional_f32s(&self, index: usize) -> Result<Option<&'a [f32]>> {
        self.optional(index).map(|_| self.f32s(index)).transpose()
    }
}

/// Elements of the output. `out` is its shape and `dtype` its type; the inputs have been checked.
fn apply(args: &Args, dtype: DType, out: &[usize]) -> Result<crate::Data> {
    let x = args.tensor(0)?;
    Ok(match &args.node.op {
        Op::Conv(conv) => conv::conv(args, conv, out)?.into(),
        Op::Gemm(gemm) => matmul::gemm(args, gemm, out)?.into(),
        Op::MatMul => matmul::mat_mul(args, out)?.into(),
        Op::BatchNorm { epsilon, .. } => elementwise::batch_norm(args, *epsilon)?.into(),
        Op::Unary(function) => elementwise::unary(args.f32s(0)?, function).into(),
        Op::Binary(function) => elementwise::binary(args, *function, out)?.into(),
        Op::MaxPool(pool) => pool::max(x.shape(), args.f32s(0)?, pool, out).into(),
        Op::AveragePool(pool) => pool::average(x.shape(), args.f32s(0)?, pool, out).into(),
        Op::GlobalAveragePool => reduce::mean(x.shape(), args.f32s(0)?, &[2, 3]).into(),
        Op::Reduce { kind: Reduction::Mean, axes, .. } => {
            reduce::mean(x.shape(), args.f32s(0)?, axes).into()
        }
        Op::Softmax { axis } => reduce::softmax(x.shape(), args.f32s(0)?, *axis).into(),
        Op::Concat { axis } => arrange::concat(args, dtype, *axis)?,
        Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. } => {
            x.data().clone()
        }
        Op::Transpose { perm } => arrange::transpose(x, perm, out),
        Op::Slice { cuts } => arrange::slice(x, cuts, out),
        Op::Pad { before, mode: PadMode::Constant(value), .. } => {
            arrange::pad(x.shape(), args.f32s(0)?, before, *value, out).into()
        }
        Op::Quantize { axis } => quantize::quantize(args, *axis, dtype)?,
        Op::Dequantize { axis } => quantize::dequantize(args, *axis)?.into(),
        _ => return Err(args.node.error("has no reference implementation yet")),
    })
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

//! Quantised operators of one node each, in place of DequantizeLinear, the operator on floats and
//! QuantizeLinear: ONNX's QLinearConv and QLinearMatMul, and those of ONNX Runtime
//! (`com.microsoft`). What has no such operator stays as it is.

use crate::onnx::parts::filled;
use crate::onnx::proto::NodeProto;
use crate::op::{Binary, Gemm, Unary};
use crate::{DType, Data, Graph, Node, Op, Result, Tensor, ValueId, passes};

use super::form::Context;
use super::node::form;

/// The domain of ONNX Runtime's operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// `graph` with all on integers that only moves or selects elements: MaxPool, Reshape and their
/// like have 8-bit forms of their own. The same function, bit for bit.
pub(super) fn prepare(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    while passes::move_integers(&mut graph)? + passes::remove_requantise(&mut graph)? > 0 {}
    Ok(graph)
}

/// Which nodes of a graph are written as quantised operators.
#[derive(Default)]
pub(super) struct Fused {
    /// By node index: the operator in its place.
    made: Vec<Option<Quantised>>,
    /// By node index: whether such an operator computes it too.
    gone: Vec<bool>,
}

/// A quantised operator.
pub(super) struct Quantised {
    name: &'static str,
    /// The node on floats, which has its attributes.
    core: usize,
    inputs: Vec<Operand>,
}

#[derive(Clone)]
enum Operand {
    Value(ValueId),
    /// A zero point that the graph leaves out.
    Zero(Tensor),
    None,
}

/// What a Dequantize reads.
struct Codes {
    value: ValueId,
    scale: ValueId,
    zero: Operand,
    /// The dimension that several scales are for.
    axis: usize,
}

impl Fused {
    /// All that `graph` has a quantised operator for.
    pub fn of(graph: &Graph) -> Fused {
        let finder = Finder { graph, producers: graph.producers(), consumers: graph.consumers() };
        let mut fused = Fused {
            made: graph.nodes.iter().map(|_| None).collect(),
            gone: vec![false; graph.nodes.len()],
        };
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Some((made, chain)) = finder.requantised(node) {
                chain.into_iter().for_each(|i| fused.gone[i] = true);
                fused.made[index] = Some(made);
            }
        }
        // A product whose result stays float.
        for index in 0..graph.nodes.len() {
            if !fused.gone[index] {
                fused.made[index] = fused.made[index].take().or_else(|| finder.real_gemm(index));
            }
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            let unread = |&reader: &usize| fused.gone[reader] || fused.made[reader].is_some();
            if matches!(node.op, Op::Dequantize { .. }) && !graph.is_output(node.output()) {
                fused.gone[index] = finder.consumers[node.output().index()].iter().all(unread);
            }
        }
        fused
    }

    /// The operator in the place of node `index`.
    pub fn at(&self, index: usize) -> Option<&Quantised> {
        self.made.get(index)?.as_ref()
    }

    /// Whether node `index` is not written.
    pub fn is_gone(&self, index: usize) -> bool {
        self.gone.get(index).is_some_and(|gone| *gone)
    }

    /// Whether an operator of ONNX Runtime is among them.
    pub fn needs_microsoft(&self) -> bool {
        self.made.iter().flatten().any(|made| made.domain().is_some())
    }
}

impl Quantised {
    fn domain(&self) -> Option<&'static str> {
        (!matches!(self.name, "QLinearConv" | "QLinearMatMul")).then_some(MICROSOFT)
    }

    /// The values that it reads.
    pub fn values(&self) -> impl Iterator<Item = ValueId> {
        self.inputs.iter().filter_map(|input| match input {
            Operand::Value(id) => Some(*id),
            _ => None,
        })
    }

    /// The message, in the place of `ctx.node`.
    pub fn node(&self, ctx: &mut Context) -> Result<NodeProto> {
        let (graph, core) = (ctx.graph, &ctx.graph.nodes[self.core]);
        let mut inputs: Vec<String> = vec![];
        for input in &self.inputs {
            inputs.push(match input {
                Operand::Value(id) => graph.value(*id).name.clone(),
                Operand::Zero(zeros) => ctx.small.name("zero_point", zeros),
                Operand::None => String::new(),
            });
        }
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let output = graph.value(ctx.node.output()).name.clone();
        let context = &mut Context { graph, node: core, opset: ctx.opset, small: &mut *ctx.small };
        let mut attribute = form(context)?.attributes;
        attribute.retain(|a| a.name() != "beta");
        Ok(NodeProto {
            input: inputs,
            output: vec![output],
            name: Some(core.name.clone()),
            op_type: Some(self.name.into()),
            attribute,
            domain: self.domain().map(str::to_string),
        })
    }
}

struct Finder<'g> {
    graph: &'g Graph,
    producers: Vec<Option<usize>>,
    consumers: Vec<Vec<usize>>,
}

impl Finder<'_> {
    /// The operator that `node`, a Quantize, ends, and the nodes that it computes too.
    fn requantised(&self, node: &Node) -> Option<(Quantised, Vec<usize>)> {
        let Op::Quantize { .. } = node.op else { return None };
        let [real, scale, zero] = [0, 1, 2].map(|i| node.input(i).ok());
        let y = [Operand::Value(scale?), Operand::Value(zero?)];
        self.one(scale?)?;
        let mut core = self.only(real?)?;
        let mut chain = vec![core];
        if let Some((low, high)) = self.graph.nodes[core].op.clamp_bounds() {
            if !self.saturates(scale?, zero?, low, high)? {
                return None;
            }
            core = self.only(self.graph.nodes[core].input(0).ok()?)?;
            chain.push(core);
        }
        let dtype = self.graph.value(node.output()).dtype;
        let (name, inputs) = self.operator(&self.graph.nodes[core], y, dtype)?;
        Some((Quantised { name, core, inputs }, chain))
    }

    /// Name and inputs of the quantised form of `node`, whose result has the scale and zero point
    /// `y` and the type `dtype`, as its inputs must have too.
    fn operator(
        &self,
        node: &Node,
        y: [Operand; 2],
        dtype: DType,
    ) -> Option<(&'static str, Vec<Operand>)> {
        let tensor = |i| self.tensor(node, i).filter(|_| self.dtype(node, i) == Some(dtype));
        let unary = |name| Some((name, [&tensor(0)?[..], &y].concat()));
        let binary = |name| Some((name, [&tensor(0)?[..], &tensor(1)?, &y].concat()));
        match &node.op {
            Op::Conv(_) => {
                let (x, w) = (tensor(0)?, self.weights(node, 0)?);
                Some(("QLinearConv", [&x[..], &w, &y, &[self.bias(node, 1.0)?]].concat()))
            }
            Op::MatMul => {
                let columns = self.graph.value(node.input(1).ok()?).shape.rank().checked_sub(1)?;
                let (a, b) = (tensor(0)?, self.weights(node, columns).or_else(|| tensor(1))?);
                Some(("QLinearMatMul", [&a[..], &b, &y].concat()))
            }
            Op::Gemm(gemm) => {
                tensor(0)?;
                Some(("QGemm", [&self.gemm(node, gemm)?[..], &y].concat()))
            }
            Op::Binary(Binary::Add) => binary("QLinearAdd"),
            Op::Binary(Binary::Mul) => binary("QLinearMul"),
            Op::Unary(Unary::Sigmoid) => unary("QLinearSigmoid"),
            Op::Unary(Unary::LeakyRelu { .. }) => unary("QLinearLeakyRelu"),
            Op::GlobalAveragePool => unary("QLinearGlobalAveragePool"),
            Op::AveragePool(pool) if pool.window.dilations == [1, 1] => unary("QLinearAveragePool"),
            Op::Concat { .. } => {
                let parts = (0..node.inputs.len()).map(tensor);
                let parts = parts.collect::<Option<Vec<_>>>()?;
                Some(("QLinearConcat", [&y[..], &parts.concat()].concat()))
            }
            _ => None,
        }
    }

    /// The product at `index`, if its result is float and its operands are not.
    fn real_gemm(&self, index: usize) -> Option<Quantised> {
        let node = &self.graph.nodes[index];
        let Op::Gemm(gemm) = &node.op else { return None };
        Some(Quantised { name: "QGemm", core: index, inputs: self.gemm(node, gemm)? })
    }

    fn gemm(&self, node: &Node, gemm: &Gemm) -> Option<Vec<Operand>> {
        if gemm.trans_a || gemm.beta != 1.0 {
            return None;
        }
        let columns = if gemm.trans_b { 0 } else { 1 };
        let (a, b) = (self.tensor(node, 0)?, self.weights(node, columns)?);
        Some([&a[..], &b, &[self.bias(node, gemm.alpha)?]].concat())
    }

    /// Input `index` of `node`, with one scale.
    fn tensor(&self, node: &Node, index: usize) -> Option<[Operand; 3]> {
        let codes = self.codes(node, index)?;
        self.one(codes.scale)?;
        Some([Operand::Value(codes.value), Operand::Value(codes.scale), codes.zero])
    }

    /// The type of what is dequantised for input `index` of `node`.
    fn dtype(&self, node: &Node, index: usize) -> Option<DType> {
        Some(self.graph.value(self.codes(node, index)?.value).dtype)
    }

    /// The stored second input of `node`, with one scale or one for each extent of `axis`.
    fn weights(&self, node: &Node, axis: usize) -> Option<[Operand; 3]> {
        let codes = self.codes(node, 1)?;
        let scales = self.graph.constant(codes.scale)?.len();
        self.graph.constant(codes.value).filter(|_| scales == 1 || codes.axis == axis)?;
        Some([Operand::Value(codes.value), Operand::Value(codes.scale), codes.zero])
    }

    /// The int32 bias of `node`, whose scale must be that of the products.
    fn bias(&self, node: &Node, alpha: f32) -> Option<Operand> {
        let Some(id) = node.inputs.get(2).copied().flatten() else { return Some(Operand::None) };
        let bias = &self.graph.nodes[self.producers[id.index()]?];
        let stored = |node: &Node, i: usize| self.graph.constant(node.input(i).ok()?);
        let scales = |node: &Node| Some(stored(node, 1)?.f32s().ok()?.to_vec());
        let factor =
            |i: usize| scales(&self.graph.nodes[self.producers[node.input(i).ok()?.index()]?]);
        let (x, w, found) = (factor(0)?, factor(1)?, scales(bias)?);
        let at = |of: &[f32], i: usize| if of.len() == 1 { of[0] } else { of[i] };
        let product = |i: usize| x[0] * alpha * at(&w, i);
        let lengths = [w.len(), found.len()];
        let all = lengths.into_iter().max().unwrap_or(0);
        let fits = lengths.into_iter().all(|len| len == 1 || len == all)
            && (0..all).all(|i| product(i) == at(&found, i));
        let is_zero = match bias.inputs.get(2).copied().flatten() {
            Some(zero) => self.graph.constant(zero)?.to_i64().ok()?.iter().all(|&z| z == 0),
            None => true,
        };
        let is_bias = matches!(bias.op, Op::Dequantize { .. })
            && stored(bias, 0)?.dtype() == DType::I32
            && is_zero;
        (is_bias && fits).then_some(Operand::Value(bias.input(0).ok()?))
    }

    fn codes(&self, node: &Node, index: usize) -> Option<Codes> {
        let maker = &self.graph.nodes[self.producers[node.input(index).ok()?.index()]?];
        let Op::Dequantize { axis } = maker.op else { return None };
        let (value, scale) = (maker.input(0).ok()?, maker.input(1).ok()?);
        let dtype = self.graph.value(value).dtype;
        let zero = match maker.inputs.get(2).copied().flatten() {
            Some(zero) => Operand::Value(zero),
            None => {
                Operand::Zero(filled(self.graph.value(scale).shape.to_fixed()?, dtype, 0.0).ok()?)
            }
        };
        dtype.is_quantised().then_some(Codes { value, scale, zero, axis })
    }

    /// The node that computes `id`, where one other node alone reads that.
    fn only(&self, id: ValueId) -> Option<usize> {
        let alone = self.consumers[id.index()].len() == 1 && !self.graph.is_output(id);
        self.producers[id.index()].filter(|_| alone)
    }

    /// Whether `scale` is a stored number for the whole tensor.
    fn one(&self, scale: ValueId) -> Option<f32> {
        let scale = self.graph.constant(scale)?.f32s().ok()?;
        (scale.len() == 1).then(|| scale[0])
    }

    /// Whether quantisation itself ends at both bounds: it rises with its argument, so it is enough
    /// that they become the lowest and the highest code.
    fn saturates(&self, scale: ValueId, zero: ValueId, low: f32, high: f32) -> Option<bool> {
        let scale = self.one(scale)?;
        let (zero, lowest, highest) = match self.graph.constant(zero)?.data() {
            Data::U8(zero) => (f32::from(*zero.first()?), 0.0, 255.0),
            Data::I8(zero) => (f32::from(*zero.first()?), -128.0, 127.0),
            _ => return None,
        };
        let code = |x: f32| (x / scale).round_ties_even() + zero;
        Some(code(low) <= lowest && code(high) >= highest)
    }
}

//! Functions of single elements, of broadcast operands, and softmax.

use edgecut_graph::{Binary, DType, Node, Op, Unary};
use edgecut_kernels::elementwise::{Binary as Pair, Unary as Single};

use super::super::Extent;
use super::Compiler;
use super::values::looks_learned;
use crate::error::{Result, TrainError};
use crate::grad::{
    Argument, Clamp, Detached, Function, Layer, Pairs, Select, Side, Softmax, Source,
};
use crate::params::{Kind, Layout};

impl Compiler<'_> {
    pub fn unary(&mut self, node: &Node, function: &Unary) -> Result<()> {
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        let x = self.input(node, 0)?;
        let layer = match node.op.clamp_bounds() {
            Some((low, high)) if low >= high || low.is_nan() || high.is_nan() => {
                return Err(TrainError::unsupported(node, format!("bounds {low} to {high}")));
            }
            Some((low, high)) => Layer::Clamp(Clamp { low, high }),
            None => Layer::Operator(Box::new(Function(single(function)))),
        };
        self.push(node, layer, &[x], x.pixels);
        Ok(())
    }

    pub fn binary(&mut self, index: usize, function: Binary) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        let Some(op) = pair(function) else { return self.detached(node) };
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        let out = self.shape(node.output());
        let (to, learned) = self.broadcast_order(node, &[0, 1])?;
        let mut inputs = vec![];
        let mut sides = vec![];
        for i in 0..2 {
            let id = node.input(i)?;
            let (source, from) = match self.seen[id.index()] {
                Some(seen) => {
                    inputs.push(seen);
                    (Source::Input(inputs.len() - 1), seen.pixels)
                }
                None => (self.operand(index, i, function, learned)?, None),
            };
            let map = self.broadcast_map((&self.shape(id), from), (&out, to));
            sides.push(Side { source, map });
        }
        let Ok(sides) = <[Side; 2]>::try_from(sides) else { return Ok(()) };
        self.operator(node, Pairs::new(op, self.batch, sides), &inputs, to);
        Ok(())
    }

    /// A constant side of a function of two. It is trained where it looks like weights: several
    /// numbers behind a layer with weights, that are added, multiplied or a slope.
    fn operand(
        &mut self,
        index: usize,
        input: usize,
        function: Binary,
        learned: bool,
    ) -> Result<Source> {
        let node = &self.graph.nodes[index];
        let id = node.input(input)?;
        let Some(tensor) = self.constants[id.index()].clone() else {
            let name = &self.graph.value(id).name;
            let problem = format!("input '{name}' must depend on the image");
            return Err(TrainError::unsupported(node, problem));
        };
        let values = tensor.to_f32();
        let kind = match function {
            Binary::Add | Binary::Sub => Some(Kind::Bias),
            Binary::Mul | Binary::PRelu => Some(Kind::Scale),
            Binary::Div if input == 1 => Some(Kind::Scale),
            _ => None,
        };
        let stored = self.source.constant(id).is_some();
        match kind.filter(|_| learned && stored && looks_learned(&values)) {
            Some(kind) => {
                let layout = Layout::plain(values.len());
                Ok(Source::Param(self.param(index, input, kind, layout)?))
            }
            None => Ok(Source::Fixed(values)),
        }
    }

    /// The order in which the result of broadcasting lies: that of the first operand that has its
    /// size. And whether weights lie before it.
    fn broadcast_order(&self, node: &Node, inputs: &[usize]) -> Result<(Option<Extent>, bool)> {
        let out = self.shape(node.output());
        let mut order = None;
        let mut learned = false;
        for &i in inputs {
            let id = node.input(i)?;
            let Some(seen) = self.seen[id.index()] else { continue };
            learned |= seen.learned;
            if order.is_none() && self.shape(id) == out {
                order = Some(seen.pixels);
            }
        }
        Ok((order.flatten(), learned))
    }

    pub fn select(&mut self, node: &Node) -> Result<()> {
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        let out = self.shape(node.output());
        let (to, _) = self.broadcast_order(node, &[1, 2, 0])?;
        let mut inputs = vec![];
        for i in 0..3 {
            inputs.push(self.input(node, i)?);
        }
        let maps = [0, 1, 2].map(|i| {
            let shape = node.input(i).map(|id| self.shape(id)).unwrap_or_default();
            self.broadcast_map((&shape, inputs[i].pixels), (&out, to))
        });
        self.operator(node, Select::new(self.batch, maps), &inputs, to);
        Ok(())
    }

    pub fn softmax(&mut self, node: &Node, axis: usize, log: bool) -> Result<()> {
        let shape = self.shape(node.input(0)?);
        let x = self.input(node, 0)?;
        // Channels are neighbours where they are last.
        if let Some(e) = x.pixels.filter(|e| axis == 1 && shape == [1, e.c, e.h, e.w]) {
            self.operator(node, Softmax { len: e.c, inner: 1, log }, &[x], x.pixels);
            return Ok(());
        }
        let x = self.rows(node, 0)?;
        let (len, inner) = (shape[axis], shape[axis + 1..].iter().product());
        self.operator(node, Softmax { len, inner, log }, &[x], None);
        Ok(())
    }

    /// An operator whose result has no gradient by its nature: integers, booleans, positions.
    pub fn detached(&mut self, node: &Node) -> Result<()> {
        let floats = |value| self.graph.value(value).dtype == DType::F32;
        let natural = !floats(node.output())
            || matches!(node.op, Op::Hardmax { .. } | Op::OneHot { .. })
            || !node.input(0).is_ok_and(floats) && !matches!(node.op, Op::Dequantize { .. });
        let several = node.outputs.iter().filter(|o| !self.consumers[o.index()].is_empty()).count();
        if !natural || several > 1 || matches!(node.op, Op::TopK { .. }) {
            return Err(TrainError::unsupported(node, "it has no gradient"));
        }
        let (mut inputs, mut arguments) = (vec![], vec![]);
        for (i, id) in node.inputs.iter().enumerate() {
            arguments.push(match *id {
                None => Argument::Absent,
                Some(id) => match self.constant(id).cloned() {
                    Some(tensor) => Argument::Constant(tensor),
                    None => {
                        inputs.push(self.rows(node, i)?);
                        Argument::Computed(self.graph.value(id).dtype, self.shape(id))
                    }
                },
            });
        }
        let operator = Detached::new(node.clone(), arguments, self.len(node.output()));
        self.operator(node, operator, &inputs, None);
        Ok(())
    }
}

/// The kernel of a function of one element.
fn single(function: &Unary) -> Single {
    match *function {
        Unary::Relu => Single::RELU,
        Unary::Clip { min, max } => Single::Clamp(min, max),
        Unary::LeakyRelu { alpha } => Single::LeakyRelu(alpha),
        Unary::Sigmoid => Single::Sigmoid,
        Unary::HardSigmoid { alpha, beta } => Single::HardSigmoid(alpha, beta),
        Unary::HardSwish => Single::HardSwish,
        Unary::Silu => Single::Silu,
        Unary::Mish => Single::Mish,
        Unary::Gelu { tanh: false } => Single::Gelu,
        Unary::Gelu { tanh: true } => Single::GeluTanh,
        Unary::Elu { alpha } => Single::Elu(alpha),
        Unary::Selu { alpha, gamma } => Single::Selu(alpha, gamma),
        Unary::Celu { alpha } => Single::Celu(alpha),
        Unary::ThresholdedRelu { alpha } => Single::ThresholdedRelu(alpha),
        Unary::Shrink { bias, lambda } => Single::Shrink(bias, lambda),
        Unary::Softplus => Single::Softplus,
        Unary::Softsign => Single::Softsign,
        Unary::Tanh => Single::Tanh,
        Unary::Erf => Single::Erf,
        Unary::Exp => Single::Exp,
        Unary::Log => Single::Log,
        Unary::Sqrt => Single::Sqrt,
        Unary::Reciprocal => Single::Reciprocal,
        Unary::Abs => Single::Abs,
        Unary::Neg => Single::Neg,
        Unary::Sign => Single::Sign,
        Unary::Floor => Single::Floor,
        Unary::Ceil => Single::Ceil,
        Unary::Round => Single::Round,
        Unary::Sin => Single::Sin,
        Unary::Cos => Single::Cos,
    }
}

/// The kernel of a function of two elements; `None` for those of integers.
fn pair(function: Binary) -> Option<Pair> {
    Some(match function {
        Binary::Add => Pair::Add,
        Binary::Sub => Pair::Sub,
        Binary::Mul => Pair::Mul,
        Binary::Div => Pair::Div,
        Binary::Pow => Pair::Pow,
        Binary::Max => Pair::Max,
        Binary::Min => Pair::Min,
        Binary::Fmod => Pair::Fmod,
        Binary::PRelu => Pair::PRelu,
        Binary::Mod => return None,
    })
}

//! Operators of ONNX Runtime (`com.microsoft`, version 1): what its quantiser and its optimiser
//! write. Quantised ones become Dequantize, the operator on floats and Quantize.

use super::Family;
use super::elementwise::{gelu, scaled_swish};
use super::norm::joint_softmax;
use super::pool::{average, global_average};
use super::quantize::{self, Quantised, real_bias, requantised};
use super::window::{Convolution, convolution};
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Binary, Gemm, Op, Unary};
use crate::{Result, ValueId};

pub(super) const OPERATORS: &Family = &[
    ("BiasGelu", |im, n| biased_gelu(im, n, false)),
    ("DequantizeLinear", quantize::dequantize),
    ("FastGelu", |im, n| biased_gelu(im, n, true)),
    ("FusedConv", fused_conv),
    ("Gelu", gelu),
    ("QGemm", qgemm),
    ("QLinearAdd", |im, n| qlinear_binary(im, n, Binary::Add)),
    ("QLinearAveragePool", qlinear_average_pool),
    ("QLinearConcat", qlinear_concat),
    ("QLinearGlobalAveragePool", qlinear_global_average_pool),
    ("QLinearLeakyRelu", |im, n| {
        let alpha = n.float("alpha", 0.01)?;
        qlinear_unary(im, n, Unary::LeakyRelu { alpha })
    }),
    ("QLinearMul", |im, n| qlinear_binary(im, n, Binary::Mul)),
    ("QLinearSigmoid", |im, n| qlinear_unary(im, n, Unary::Sigmoid)),
    ("QLinearSoftmax", qlinear_softmax),
    ("QuantizeLinear", quantize::quantize),
    ("QuickGelu", |im, n| {
        let alpha = n.float("alpha", 1.702)?;
        let x = n.value(im, 0)?;
        scaled_swish(im, n, x, alpha)
    }),
];

/// Inputs: a, b, y each with scale and zero point (y without a value).
fn qlinear_binary(im: &mut Importer, node: &mut NodeIn, function: Binary) -> Result<Meaning> {
    node.values(im, 8)?;
    let (a, b) = (Quantised::of(im, node, 0)?, Quantised::of(im, node, 3)?);
    let dtype = node.dtype(im, a.value);
    let (real_a, real_b) = (a.real(im, node, 0)?, b.real(im, node, 0)?);
    let real = im.binary(node, function, real_a, real_b)?;
    requantised(im, node, real, 6, dtype)
}

/// Inputs: x and y each with scale and zero point (y without a value). `op` stands between.
fn qlinear(
    im: &mut Importer,
    node: &mut NodeIn,
    op: impl FnOnce(&mut Importer, &mut NodeIn, ValueId) -> Result<Meaning>,
) -> Result<Meaning> {
    node.values(im, 5)?;
    let x = Quantised::of(im, node, 0)?;
    let dtype = node.dtype(im, x.value);
    let real = x.real(im, node, 0)?;
    let meaning = op(im, node, real)?;
    let real = im.settle(node, meaning)?;
    requantised(im, node, real, 3, dtype)
}

fn qlinear_unary(im: &mut Importer, node: &mut NodeIn, function: Unary) -> Result<Meaning> {
    qlinear(im, node, |_, _, x| Ok(Meaning::Op(Op::Unary(function), vec![Some(x)])))
}

/// Attribute `opset` says which softmax is meant: over one axis from 13 on, over all from `axis` on
/// before.
fn qlinear_softmax(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let (axis, opset) = (node.int("axis", -1)?, node.int("opset", 0)?);
    qlinear(im, node, |im, node, x| {
        let axis = node.axis(axis, node.shape(im, x).rank())?;
        match opset {
            13.. => Ok(Meaning::Op(Op::Softmax { axis }, vec![Some(x)])),
            _ => joint_softmax(im, node, x, axis, |axis| Op::Softmax { axis }),
        }
    })
}

fn channels_first(node: &mut NodeIn) -> Result<()> {
    match node.flag("channels_last", false)? {
        true => Err(node.unsupported("channels_last = 1: only [n, c, h, w] is supported")),
        false => Ok(()),
    }
}

fn qlinear_average_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    channels_first(node)?;
    qlinear(im, node, |im, node, x| {
        let (image, op) = average(im, node, x)?;
        image.apply(im, node, op, vec![Some(image.id)])
    })
}

fn qlinear_global_average_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    channels_first(node)?;
    qlinear(im, node, |im, node, x| Ok(Meaning::Op(global_average(im, node, x)?, vec![Some(x)])))
}

/// Inputs: scale and zero point of y, then each x with its scale and zero point.
fn qlinear_concat(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let count = node.proto.input.len();
    if count < 5 || count % 3 != 2 {
        return Err(node.malformed(format!("has {count} inputs, needs 2 and 3 for each part")));
    }
    let mut parts = vec![];
    for index in (2..count).step_by(3) {
        let part = Quantised::of(im, node, index)?;
        parts.push(Some(part.real(im, node, 0)?));
    }
    let first = node.value(im, 2)?;
    let axis = node.int("axis", 0)?;
    let axis = node.axis(axis, node.shape(im, first).rank())?;
    let real = im.emit(node, "concat", Op::Concat { axis }, &parts)?;
    let dtype = node.dtype(im, first);
    requantised(im, node, real, 0, dtype)
}

/// Inputs: a and b each with scale and zero point, optional int32 c with the scale of the products,
/// optional scale and zero point of y, without which y is float32.
fn qgemm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 9)?;
    let alpha = node.float("alpha", 1.0)?;
    let (trans_a, trans_b) = (node.flag("transA", false)?, node.flag("transB", false)?);
    let (a, b) = (Quantised::of(im, node, 0)?, Quantised::of(im, node, 3)?);
    let dtype = node.dtype(im, a.value);
    let c = match node.optional(im, 6)? {
        Some(c) => {
            let factor = im.scalar(node, alpha)?;
            let scale = im.binary(node, Binary::Mul, a.scale, factor)?;
            Some(real_bias(im, node, c, [scale, b.scale])?)
        }
        None => None,
    };
    let columns = if trans_b { 0 } else { 1 };
    let (real_a, real_b) = (a.real(im, node, 0)?, b.real(im, node, columns)?);
    let op = Op::Gemm(Gemm { alpha, beta: 1.0, trans_a, trans_b });
    let inputs = vec![Some(real_a), Some(real_b), c];
    if node.input(7).is_none() {
        return Ok(Meaning::Op(op, inputs));
    }
    let real = im.emit(node, "gemm", op, &inputs)?;
    requantised(im, node, real, 7, dtype)
}

/// A convolution, an optional addition of the fourth input, and an activation.
fn fused_conv(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 4)?;
    let (x, w) = (node.value(im, 0)?, node.value(im, 1)?);
    let bias = node.optional(im, 2)?;
    let activation = activation(node)?;
    let Convolution { image, weight, conv } = convolution(im, node, x, w)?;
    let inputs = vec![Some(image.id), Some(weight), bias];
    let mut meaning = image.apply(im, node, Op::Conv(conv), inputs)?;
    if let Some(addend) = node.optional(im, 3)? {
        let y = im.settle(node, meaning)?;
        meaning = Meaning::Op(Op::Binary(Binary::Add), vec![Some(y), Some(addend)]);
    }
    if let Some(activation) = activation {
        let y = im.settle(node, meaning)?;
        meaning = Meaning::Op(Op::Unary(activation), vec![Some(y)]);
    }
    Ok(meaning)
}

fn activation(node: &mut NodeIn) -> Result<Option<Unary>> {
    let parameters = node.attributes.floats("activation_params");
    let parameters = node.attribute(parameters)?.unwrap_or_default().to_vec();
    let number = |index: usize, default: f32| parameters.get(index).copied().unwrap_or(default);
    Ok(match node.string("activation")?.unwrap_or_default() {
        "" => None,
        "Relu" => Some(Unary::Relu),
        "Sigmoid" => Some(Unary::Sigmoid),
        "Tanh" => Some(Unary::Tanh),
        "LeakyRelu" => Some(Unary::LeakyRelu { alpha: number(0, 0.01) }),
        "Clip" => {
            let (min, max) = (number(0, f32::NEG_INFINITY), number(1, f32::INFINITY));
            if min.is_nan() || max.is_nan() {
                return Err(node.malformed("a bound is not a number"));
            }
            Some(Unary::Clip { min, max })
        }
        "HardSigmoid" => Some(Unary::HardSigmoid { alpha: number(0, 0.2), beta: number(1, 0.5) }),
        "HardSwish" => Some(Unary::HardSwish),
        other => return Err(node.unsupported(format!("activation '{other}'"))),
    })
}

/// Gelu of the sum of both inputs; the second, a bias, may be left out.
fn biased_gelu(im: &mut Importer, node: &mut NodeIn, tanh: bool) -> Result<Meaning> {
    node.values(im, 2)?;
    let mut x = node.value(im, 0)?;
    if let Some(bias) = node.optional(im, 1)? {
        x = im.binary(node, Binary::Add, x, bias)?;
    }
    Ok(Meaning::Op(Op::Unary(Unary::Gelu { tanh }), vec![Some(x)]))
}

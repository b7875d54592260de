//! Integer convolutions and matrix products. Those with scales of their own (QLinearConv) become
//! Dequantize, the operator on floats and Quantize: the form that the runtime turns into integer
//! steps, and every other runtime reads.

use super::Family;
use super::product::matrices;
use super::quantize::{Quantised, real_bias, requantised};
use super::window::{Convolution, convolution};
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::Op;
use crate::{Result, ValueId};

pub(super) const OPERATORS: &Family = &[
    ("ConvInteger", conv_integer),
    ("DynamicQuantizeLinear", dynamic_quantize),
    ("MatMulInteger", mat_mul_integer),
    ("QLinearConv", qlinear_conv),
    ("QLinearMatMul", qlinear_mat_mul),
];

fn conv_integer(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 4)?;
    let (x, w) = (node.value(im, 0)?, node.value(im, 1)?);
    let zeros = [node.optional(im, 2)?, node.optional(im, 3)?];
    let Convolution { image, weight, conv } = convolution(im, node, x, w)?;
    let inputs = vec![Some(image.id), Some(weight), zeros[0], zeros[1]];
    image.apply(im, node, Op::ConvInteger(conv), inputs)
}

fn mat_mul_integer(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 4)?;
    let (a, b) = (node.value(im, 0)?, node.value(im, 1)?);
    let (za, zb) = (node.optional(im, 2)?, node.optional(im, 3)?);
    matrices(im, node, a, b, |a, b| (Op::MatMulInteger, vec![Some(a), Some(b), za, zb]))
}

fn dynamic_quantize(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.values(im, 1)?;
    Ok(Meaning::Outputs(Op::DynamicQuantize, inputs))
}

/// Inputs: x, w, y each with scale and zero point (y without a value), optional int32 bias.
fn qlinear_conv(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 9)?;
    let (x, w) = (Quantised::of(im, node, 0)?, Quantised::of(im, node, 3)?);
    let dtype = node.dtype(im, x.value);
    let Convolution { image, weight, conv } = convolution(im, node, x.value, w.value)?;
    let bias = match node.optional(im, 8)? {
        Some(bias) => Some(real_bias(im, node, bias, [x.scale, w.scale])?),
        None => None,
    };
    let real_x = Quantised { value: image.id, ..x }.real(im, node, 1)?;
    let real_w = Quantised { value: weight, ..w }.real(im, node, 0)?;
    let inputs = [Some(real_x), Some(real_w), bias];
    let real = im.emit(node, "conv", Op::Conv(conv), &inputs)?;
    let Meaning::Op(op, inputs) = requantised(im, node, real, 6, dtype)? else {
        return Err(node.malformed("cannot be quantised"));
    };
    image.apply(im, node, op, inputs)
}

/// Inputs: a, b, y each with scale and zero point (y without a value). Scales of a may be one for
/// each row, those of b one for each column.
fn qlinear_mat_mul(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 8)?;
    let (a, b) = (Quantised::of(im, node, 0)?, Quantised::of(im, node, 3)?);
    let dtype = node.dtype(im, a.value);
    let from_end =
        |im: &Importer, id: ValueId, n: usize| node.shape(im, id).rank().saturating_sub(n);
    let (rows, columns) = (from_end(im, a.value, 2), from_end(im, b.value, 1));
    let (real_a, real_b) = (a.real(im, node, rows)?, b.real(im, node, columns)?);
    let product = matrices(im, node, real_a, real_b, |a, b| (Op::MatMul, vec![Some(a), Some(b)]))?;
    let real = im.settle(node, product)?;
    requantised(im, node, real, 6, dtype)
}

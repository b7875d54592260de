//! QuantizeLinear and DequantizeLinear: one scale for a tensor, or one for each extent of an axis.

use super::Family;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::onnx::parts::filled;
use crate::onnx::proto::data_type as dt;
use crate::onnx::tensors;
use crate::op::Binary;
use crate::{DType, Dim, Op, Result, ValueId};

pub(super) const OPERATORS: &Family =
    &[("DequantizeLinear", dequantize), ("QuantizeLinear", quantize)];

/// Without a zero point the result is uint8 with zero point 0, or what `output_dtype` (opset 21)
/// says.
pub(super) fn quantize(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let mut inputs = node.values(im, 3)?;
    let axis = axis(im, node)?;
    node.flag("saturate", true)?; // float8 only
    if node.int("precision", 0)? > i64::from(dt::FLOAT) {
        return Err(node.unsupported("it asks for computation in another type than float32"));
    }
    let kind = node.int("output_dtype", 0)?;
    if let Some(zero) = node.optional(im, 2)? {
        if kind != 0 && element_type(kind) != Some(node.dtype(im, zero)) {
            return Err(node.malformed("output_dtype and zero point disagree"));
        }
    } else {
        let scale = node.value(im, 1)?;
        inputs.resize(3, None);
        inputs[2] = Some(zero_point(im, node, scale, kind)?);
    }
    Ok(Meaning::Op(Op::Quantize { axis }, inputs))
}

pub(super) fn dequantize(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.values(im, 3)?;
    let axis = axis(im, node)?;
    let kind = node.int("output_dtype", 0)?;
    if kind != 0 && element_type(kind) != Some(DType::F32) {
        return Err(node.unsupported(format!("output_dtype {kind}: only floats are supported")));
    }
    Ok(Meaning::Op(Op::Dequantize { axis }, inputs))
}

fn element_type(kind: i64) -> Option<DType> {
    i32::try_from(kind).ok().and_then(tensors::dtype)
}

/// The axis of scales that are a vector; 0 where one scale serves the whole tensor, and no axis
/// matters.
fn axis(im: &mut Importer, node: &mut NodeIn) -> Result<usize> {
    if node.int("block_size", 0)? != 0 {
        return Err(node.unsupported("blocked quantisation (block_size)"));
    }
    let axis = node.int("axis", 1)?;
    let (x, scale) = (node.value(im, 0)?, node.value(im, 1)?);
    let scale = node.shape(im, scale);
    if scale.dims().iter().all(|d| d.fixed() == Some(1)) {
        return Ok(0);
    }
    node.axis(axis, node.shape(im, x).rank())
}

/// Zeros for `scale`, of type `kind` or uint8.
fn zero_point(im: &mut Importer, node: &NodeIn, scale: ValueId, kind: i64) -> Result<ValueId> {
    let dtype = match i32::try_from(kind) {
        Ok(0 | dt::UINT8) => DType::U8,
        Ok(dt::INT8) => DType::I8,
        _ => {
            return Err(node.unsupported(format!("output_dtype {kind}: only 8 bits are supported")));
        }
    };
    zeros(im, node, scale, dtype)
}

fn zeros(im: &mut Importer, node: &NodeIn, scale: ValueId, dtype: DType) -> Result<ValueId> {
    let Some(dims) = node.shape(im, scale).to_fixed() else {
        return Err(node.unsupported("the scale's shape must be fixed"));
    };
    im.count_folded(dims.iter().product(), &node.name)?;
    im.add_constant("zero_point", filled(dims, dtype, 0.0)?)
}

/// An integer value with what it means: `(value - zero point) * scale`.
pub(super) struct Quantised {
    pub value: ValueId,
    pub scale: ValueId,
    pub zero: Option<ValueId>,
}

impl Quantised {
    /// The three inputs of `node` from `index` on.
    pub fn of(im: &mut Importer, node: &NodeIn, index: usize) -> Result<Quantised> {
        Ok(Quantised {
            value: node.value(im, index)?,
            scale: node.value(im, index + 1)?,
            zero: node.optional(im, index + 2)?,
        })
    }

    /// Its numbers; scales that are a vector lie along `axis`.
    pub fn real(&self, im: &mut Importer, node: &NodeIn, axis: usize) -> Result<ValueId> {
        let zero = match self.zero {
            Some(zero) => Some(self.fitted(im, node, zero)?),
            None => None,
        };
        let op = Op::Dequantize { axis };
        im.emit(node, "real", op, &[Some(self.value), Some(self.scale), zero])
    }

    /// One zero point for each scale, where there is one for all.
    fn fitted(&self, im: &mut Importer, node: &NodeIn, zero: ValueId) -> Result<ValueId> {
        let scales = node.shape(im, self.scale);
        match (scales.dims(), node.shape(im, zero).dims()) {
            (&[Dim::Fixed(count)], [] | [Dim::Fixed(1)]) if count != 1 => {
                im.emit(node, "zero", Op::Expand { shape: vec![count] }, &[Some(zero)])
            }
            _ => Ok(zero),
        }
    }
}

/// `real` as integers with the scale at input `index` of `node` and the zero point behind it,
/// `dtype` and 0 where that is left out.
pub(super) fn requantised(
    im: &mut Importer,
    node: &NodeIn,
    real: ValueId,
    index: usize,
    dtype: DType,
) -> Result<Meaning> {
    let scale = node.value(im, index)?;
    let zero = match node.optional(im, index + 1)? {
        Some(zero) => zero,
        None => zeros(im, node, scale, dtype)?,
    };
    Ok(Meaning::Op(Op::Quantize { axis: 0 }, vec![Some(real), Some(scale), Some(zero)]))
}

/// A bias of int32, which has the scale of the products.
pub(super) fn real_bias(
    im: &mut Importer,
    node: &NodeIn,
    bias: ValueId,
    [a, b]: [ValueId; 2],
) -> Result<ValueId> {
    let op = Op::Binary(Binary::Mul);
    let scale = im.emit(node, "bias_scale", op, &[Some(a), Some(b)])?;
    let op = Op::Dequantize { axis: 0 };
    im.emit(node, "bias", op, &[Some(bias), Some(scale), None])
}

//! QuantizeLinear and DequantizeLinear: one scale for a tensor, or one for each extent of an axis.

use super::import::Importer;
use super::node::{Meaning, NodeIn};
use super::proto::data_type as dt;
use super::tensors;
use crate::{DType, Data, Op, Result, Tensor, ValueId};

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
        let zeros = zero_point(im, node, scale, kind)?;
        inputs.resize(3, None);
        inputs[2] = Some(im.add_constant("zero_point", zeros)?);
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

fn zero_point(im: &mut Importer, node: &NodeIn, scale: ValueId, kind: i64) -> Result<Tensor> {
    let Some(dims) = node.shape(im, scale).to_fixed() else {
        return Err(node.unsupported("the scale's shape must be fixed"));
    };
    let count = dims.iter().product::<usize>();
    im.count_folded(count, &node.name)?;
    let data: Data = match i32::try_from(kind) {
        Ok(0 | dt::UINT8) => vec![0u8; count].into(),
        Ok(dt::INT8) => vec![0i8; count].into(),
        _ => {
            return Err(node.unsupported(format!("output_dtype {kind}: only 8 bits are supported")));
        }
    };
    Tensor::new(dims, data)
}

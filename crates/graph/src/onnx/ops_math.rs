//! Elementwise functions, matrix products, normalisation, reductions.

use super::import::Importer;
use super::node::{Meaning, NodeIn};
use crate::op::{Binary, Gemm, Op, Reduction, ReshapeDim, Unary};
use crate::{Dim, Result};

pub(super) fn unary(im: &mut Importer, node: &mut NodeIn, function: Unary) -> Result<Meaning> {
    let inputs = node.values(im, 1)?;
    Ok(Meaning::Op(Op::Unary(function), inputs))
}

pub(super) fn binary(im: &mut Importer, node: &mut NodeIn, function: Binary) -> Result<Meaning> {
    let inputs = node.values(im, 2)?;
    Ok(Meaning::Op(Op::Binary(function), inputs))
}

/// Any number of inputs, added from the left.
pub(super) fn sum(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.all_values(im)?;
    let add = Op::Binary(Binary::Add);
    let [first, middle @ .., last] = inputs.as_slice() else {
        return Ok(Meaning::Same(node.value(im, 0)?));
    };
    let mut total = *first;
    for &next in middle {
        total = im.part(node, "part", add.clone(), vec![Some(total), Some(next)])?;
    }
    Ok(Meaning::Op(add, vec![Some(total), Some(*last)]))
}

/// Bounds are attributes up to opset 10, inputs from 11 on.
pub(super) fn clip(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let (min, max) = if node.opset < 11 {
        // The extreme numbers are the old way to say "no bound".
        let (min, max) = (node.float("min", f32::MIN)?, node.float("max", f32::MAX)?);
        (Some(min).filter(|&v| v != f32::MIN), Some(max).filter(|&v| v != f32::MAX))
    } else {
        (node.constant_float(im, 1)?, node.constant_float(im, 2)?)
    };
    let (min, max) = (min.unwrap_or(f32::NEG_INFINITY), max.unwrap_or(f32::INFINITY));
    if min.is_nan() || max.is_nan() {
        return Err(node.malformed("a bound is not a number"));
    }
    Ok(Meaning::Op(Op::Unary(Unary::Clip { min, max }), vec![Some(node.value(im, 0)?)]))
}

pub(super) fn gemm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let gemm = Gemm {
        alpha: node.float("alpha", 1.0)?,
        beta: node.float("beta", 1.0)?,
        trans_a: node.flag("transA", false)?,
        trans_b: node.flag("transB", false)?,
    };
    let inputs = node.values(im, 3)?;
    Ok(Meaning::Op(Op::Gemm(gemm), inputs))
}

/// Inference mode, statistics per channel.
pub(super) fn batch_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let epsilon = node.float("epsilon", 1e-5)?;
    let momentum = node.float("momentum", 0.9)?;
    if !node.flag("spatial", true)? {
        return Err(node.unsupported("spatial = 0 (statistics per element)"));
    }
    if node.flag("training_mode", false)? {
        return Err(node.unsupported("training_mode = 1: export the model in evaluation mode"));
    }
    let inputs = node.values(im, 5)?;
    Ok(Meaning::Op(Op::BatchNorm { epsilon, momentum }, inputs))
}

/// Along one axis since opset 13. Before, over all dimensions from `axis` on: the same where at
/// most one of them is not 1, and through a matrix otherwise.
pub(super) fn softmax(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let rank = shape.rank();
    if node.opset >= 13 {
        let axis = node.int("axis", -1)?;
        let axis = node.axis(axis, rank)?;
        return Ok(Meaning::Op(Op::Softmax { axis }, vec![Some(x)]));
    }
    let axis = node.int("axis", 1)?;
    let axis = node.axis(axis, rank)?;
    let wide: Vec<usize> = (axis..rank).filter(|&i| shape.dims()[i] != Dim::Fixed(1)).collect();
    if wide.len() <= 1 {
        let axis = wide.first().copied().unwrap_or(axis);
        return Ok(Meaning::Op(Op::Softmax { axis }, vec![Some(x)]));
    }
    let outer = (0..axis).map(|_| ReshapeDim::Copy);
    let joined = outer.clone().chain([ReshapeDim::Infer]).collect();
    let joined = im.part(node, "joined", Op::Reshape { dims: joined }, vec![Some(x)])?;
    let soft = im.part(node, "softmax", Op::Softmax { axis }, vec![Some(joined)])?;
    let mut dims: Vec<ReshapeDim> = outer.collect();
    for dim in &shape.dims()[axis..] {
        match dim {
            Dim::Fixed(n) => dims.push(ReshapeDim::Fixed(*n)),
            Dim::Symbol(_) => {
                return Err(node.unsupported(format!(
                    "over the dimensions of {shape} from {axis} on, before opset 13: they must be \
                     fixed"
                )));
            }
        }
    }
    Ok(Meaning::Op(Op::Reshape { dims }, vec![Some(soft)]))
}

/// Axes are an attribute up to opset 17, an input from 18 on; none means all.
pub(super) fn reduce_mean(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let keep_dims = node.flag("keepdims", true)?;
    let nothing_if_empty = node.flag("noop_with_empty_axes", false)?;
    let axes = match node.axes(im, "axes", 1)? {
        Some(axes) if !axes.is_empty() => node.sorted_axes(&axes, rank)?,
        _ if nothing_if_empty => return Ok(Meaning::Same(x)),
        _ => (0..rank).collect(),
    };
    Ok(Meaning::Op(Op::Reduce { kind: Reduction::Mean, axes, keep_dims }, vec![Some(x)]))
}

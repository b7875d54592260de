//! Operators that move elements without changing them.

use super::form::{Context, Form};
use crate::op::{Cut, DepthOrder, PadMode, ReshapeDim};
use crate::{DType, Result, Tensor};

/// The target of Reshape, and whether its zeros are meant. An extent of 0 excludes "copy", which
/// is also written as 0: then what is copied must be a number.
pub(super) fn reshape(ctx: &mut Context, dims: &[ReshapeDim]) -> Result<Form> {
    let zero_is_zero = dims.contains(&ReshapeDim::Fixed(0));
    let shape = ctx.shape(0)?;
    let target = dims.iter().enumerate().map(|(index, dim)| match dim {
        ReshapeDim::Fixed(n) => Ok(*n as i64),
        ReshapeDim::Infer => Ok(-1),
        ReshapeDim::Copy if zero_is_zero => Ok(shape.extent(index, &ctx.node.name)? as i64),
        ReshapeDim::Copy => Ok(0),
    });
    let target = target.collect::<Result<_>>()?;
    let form = ctx.plain().input(ctx.small.int_vector("shape", target));
    Ok(if zero_is_zero { form.int("allowzero", 1) } else { form })
}

pub(super) fn pad(
    ctx: &mut Context,
    before: &[usize],
    after: &[usize],
    mode: PadMode,
) -> Result<Form> {
    let pads = ctx.vector("pads", before.iter().chain(after).copied());
    let form = ctx.plain().input(pads);
    Ok(match mode {
        PadMode::Constant(value) => form.input(ctx.scalar("value", value)?),
        PadMode::Reflect => form.text("mode", "reflect"),
        PadMode::Edge => form.text("mode", "edge"),
        PadMode::Wrap => form.text("mode", "wrap"),
    })
}

/// First operator set of ONNX that has this way to pad.
pub(super) fn pad_since(mode: PadMode) -> i64 {
    if mode == PadMode::Wrap { 19 } else { 1 }
}

pub(super) fn slice(ctx: &mut Context, cuts: &[Cut]) -> Form {
    let end = |cut: &Cut| match cut.len {
        0 => cut.start,
        len => cut.start + (len - 1) * cut.step + 1,
    };
    let mut vector = |stem: &str, f: &dyn Fn(&Cut) -> usize| ctx.vector(stem, cuts.iter().map(f));
    let inputs = [
        vector("starts", &|cut| cut.start),
        vector("ends", &end),
        vector("axes", &|cut| cut.axis),
        vector("steps", &|cut| cut.step),
    ];
    inputs.into_iter().fold(ctx.plain(), Form::input)
}

/// An operator whose only parameter is a vector: the second input.
pub(super) fn with_vector(ctx: &mut Context, stem: &str, values: &[usize]) -> Form {
    let vector = ctx.vector(stem, values.iter().copied());
    ctx.plain().input(vector)
}

pub(super) fn trilu(ctx: &mut Context, upper: bool, diagonal: i64) -> Result<Form> {
    let k = ctx.small.name("diagonal", &Tensor::new([], vec![diagonal])?);
    Ok(ctx.plain().int("upper", upper).input(k))
}

pub(super) fn depth_to_space(ctx: &Context, block: usize, order: DepthOrder) -> Form {
    let mode = match order {
        DepthOrder::Dcr => "DCR",
        DepthOrder::Crd => "CRD",
    };
    ctx.plain().int("blocksize", block).text("mode", mode)
}

pub(super) fn cast(ctx: &Context, to: DType) -> Form {
    ctx.plain().int("to", crate::onnx::tensors::data_type(to))
}

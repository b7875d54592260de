//! Products, sums, normalisations, quantisation.

use super::form::{Context, Form};
use crate::op::{Gemm, Reduction};
use crate::{DType, Result, Tensor};

/// Axes are an input of ReduceSum since opset 13 and of the others since 18, before an attribute.
pub(super) fn reduce(
    ctx: &mut Context,
    kind: Reduction,
    axes: &[usize],
    keep_dims: bool,
) -> Result<Form> {
    if !matches!(kind, Reduction::Max | Reduction::Min) {
        wide(ctx)?;
    }
    if kind == Reduction::Sum || ctx.opset >= 18 {
        let axes = ctx.vector("axes", axes.iter().copied());
        return Ok(ctx.plain().input(axes).int("keepdims", keep_dims));
    }
    Ok(ctx.plain().ints("axes", axes).int("keepdims", keep_dims))
}

pub(super) fn cum_sum(
    ctx: &mut Context,
    axis: usize,
    exclusive: bool,
    reverse: bool,
) -> Result<Form> {
    wide(ctx)?;
    let axis = ctx.small.name("axis", &Tensor::new([], vec![axis as i64])?);
    Ok(ctx.plain().int("exclusive", exclusive).int("reverse", reverse).input(axis))
}

/// Refuses sums of 8-bit integers, which ONNX does not have.
fn wide(ctx: &Context) -> Result<()> {
    match ctx.dtype(0)? {
        dtype @ (DType::U8 | DType::I8) => Err(ctx.node.error(format!(
            "ONNX has it for float32, int32 and int64, not for {dtype}: cast its input first"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn gemm(ctx: &Context, gemm: &Gemm) -> Form {
    ctx.plain()
        .float("alpha", gemm.alpha)
        .float("beta", gemm.beta)
        .int("transA", gemm.trans_a)
        .int("transB", gemm.trans_b)
}

/// With one scale for the tensor no axis matters.
pub(super) fn quantise(ctx: &Context, axis: usize) -> Result<Form> {
    let single = ctx.shape(1)?.dims().iter().all(|dim| dim.fixed() == Some(1));
    Ok(if single { ctx.plain() } else { ctx.plain().int("axis", axis) })
}

//! Functions of single elements, and casts.

use super::form::{Context, Form};
use crate::{Binary, DType, Result, Unary};

pub(super) fn unary(ctx: &mut Context, function: Unary) -> Result<Form> {
    let form = ctx.plain();
    Ok(match function {
        Unary::Clip { min, max } => return clip(ctx, min, max),
        Unary::LeakyRelu { alpha }
        | Unary::Elu { alpha }
        | Unary::Celu { alpha }
        | Unary::ThresholdedRelu { alpha } => form.float("alpha", alpha),
        Unary::HardSigmoid { alpha, beta } => form.float("alpha", alpha).float("beta", beta),
        Unary::Selu { alpha, gamma } => form.float("alpha", alpha).float("gamma", gamma),
        Unary::Shrink { bias, lambda } => form.float("bias", bias).float("lambd", lambda),
        Unary::Gelu { tanh } => form.text("approximate", if tanh { "tanh" } else { "none" }),
        _ => form,
    })
}

pub(super) fn binary(ctx: &Context, function: Binary) -> Form {
    match function {
        Binary::Mod => ctx.plain().int("fmod", 0),
        Binary::Fmod => ctx.plain().int("fmod", 1),
        _ => ctx.plain(),
    }
}

/// An infinite bound is an absent input. Those of integers are integers, too: the outermost within
/// the bounds.
fn clip(ctx: &mut Context, min: f32, max: f32) -> Result<Form> {
    let float = ctx.dtype(0)? == DType::F32;
    let (low, high) = if float { (min, max) } else { (min.ceil(), max.floor()) };
    let mut form = ctx.plain();
    let absent = [min == f32::NEG_INFINITY, max == f32::INFINITY];
    for (bound, absent) in [low, high].into_iter().zip(absent) {
        form = form.input(if absent { String::new() } else { ctx.scalar("bound", bound)? });
    }
    while form.inputs.last().is_some_and(String::is_empty) {
        form.inputs.pop();
    }
    Ok(form)
}

/// First operator set of ONNX that has this function.
pub(super) fn unary_since(function: Unary) -> i64 {
    match function {
        Unary::Mish => 18,
        Unary::Gelu { .. } => 20,
        _ => 1,
    }
}

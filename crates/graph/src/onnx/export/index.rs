//! Operators that take or give positions.

use super::form::{Context, Form};
use crate::op::ScatterMode;
use crate::{Result, Tensor};

impl Form {
    fn reduction(self, mode: ScatterMode) -> Form {
        self.text(
            "reduction",
            match mode {
                ScatterMode::Replace => "none",
                ScatterMode::Add => "add",
                ScatterMode::Mul => "mul",
                ScatterMode::Max => "max",
                ScatterMode::Min => "min",
            },
        )
    }
}

pub(super) fn scatter_elements(ctx: &Context, axis: usize, mode: ScatterMode) -> Form {
    ctx.plain().int("axis", axis).reduction(mode)
}

pub(super) fn scatter_nd(ctx: &Context, mode: ScatterMode) -> Form {
    ctx.plain().reduction(mode)
}

/// First operator set of ONNX that can scatter so.
pub(super) fn scatter_since(mode: ScatterMode) -> i64 {
    if matches!(mode, ScatterMode::Max | ScatterMode::Min) { 18 } else { 1 }
}

/// The depth stands between indices and values.
pub(super) fn one_hot(ctx: &mut Context, axis: usize, depth: usize) -> Result<Form> {
    let depth = ctx.small.name("depth", &Tensor::new([], vec![depth as i64])?);
    let mut form = ctx.plain().int("axis", axis);
    form.inputs.insert(1, depth);
    Ok(form)
}

pub(super) fn arg_extreme(ctx: &Context, axis: usize, keep_dims: bool, last: bool) -> Form {
    ctx.plain().int("axis", axis).int("keepdims", keep_dims).int("select_last_index", last)
}

pub(super) fn top_k(ctx: &mut Context, axis: usize, k: usize, largest: bool) -> Form {
    let k = ctx.vector("k", [k]);
    ctx.plain().int("axis", axis).int("largest", largest).int("sorted", 1).input(k)
}

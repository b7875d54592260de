//! Convolutions and pooling.

use super::form::{Context, Form};
use crate::Conv;
use crate::op::{ConvTranspose, Pool, Window};

impl Form {
    fn window(self, window: &Window) -> Form {
        self.ints("kernel_shape", &window.kernel)
            .ints("strides", &window.strides)
            .ints("dilations", &window.dilations)
            .ints("pads", &window.pads)
    }
}

/// Conv and ConvInteger.
pub(super) fn conv(ctx: &Context, conv: &Conv) -> Form {
    ctx.plain().window(&conv.window).int("group", conv.groups)
}

pub(super) fn conv_transpose(ctx: &Context, conv: &ConvTranspose) -> Form {
    let form = ctx.plain().window(&conv.window).int("group", conv.groups);
    form.ints("output_padding", &conv.output_padding)
}

pub(super) fn max_pool(ctx: &Context, pool: &Pool) -> Form {
    ctx.plain().window(&pool.window).int("ceil_mode", pool.ceil_mode)
}

pub(super) fn average_pool(ctx: &Context, pool: &Pool) -> Form {
    let mut form = max_pool(ctx, pool);
    if !dilated(pool) {
        form.attributes.retain(|a| a.name() != "dilations");
    }
    form.int("count_include_pad", pool.count_include_pad)
}

pub(super) fn lp_pool(ctx: &Context, pool: &Pool, p: usize) -> Form {
    let mut form = max_pool(ctx, pool).int("p", p);
    if ctx.opset < 18 {
        form.attributes.retain(|a| !matches!(a.name(), "dilations" | "ceil_mode"));
    }
    form
}

/// First operator set of ONNX that has this AveragePool.
pub(super) fn average_pool_since(pool: &Pool) -> i64 {
    if dilated(pool) { 19 } else { 1 }
}

/// First operator set of ONNX that has this LpPool.
pub(super) fn lp_pool_since(pool: &Pool) -> i64 {
    if dilated(pool) || pool.ceil_mode { 18 } else { 1 }
}

fn dilated(pool: &Pool) -> bool {
    pool.window.dilations != [1, 1]
}

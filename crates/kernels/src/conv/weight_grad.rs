//! The gradient of a convolution's weights.

use super::ConvShape;
use super::im2col::im2col;
use crate::Ctx;
use crate::gemm::{gemm_at_b, gemm_at_b_scratch_len};

/// Floats of an im2col block. All threads work on one block, so it may fill their caches together;
/// it must not depend on their number, because blocks decide the order of the sum.
const BLOCK: usize = 512 * 1024;

fn block_len(shape: &ConvShape) -> usize {
    (BLOCK / shape.k().max(1)).max(256).min(shape.out_pixels())
}

/// Floats of scratch memory that [`conv_backward_weight`] needs.
pub fn conv_backward_weight_scratch_len(shape: &ConvShape) -> usize {
    let (k, n) = (shape.k(), shape.cout_per_group());
    if shape.is_pointwise() {
        return gemm_at_b_scratch_len(shape.out_pixels(), k, n);
    }
    let rows = block_len(shape);
    rows * k + gemm_at_b_scratch_len(rows, k, n)
}

/// `dw[kh, kw, cin / groups, cout]` from the input and the output gradient, added to the old
/// content if `accumulate`.
///
/// # Panics
/// If a slice has another size than the shape says, or `scratch` is too small.
pub fn conv_backward_weight(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut [f32],
    accumulate: bool,
) {
    shape.check();
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(dy.len(), shape.out_len(), "output gradient of {shape:?}");
    assert_eq!(dw.len(), shape.weight_len(), "weights of {shape:?}");
    let (k, n, pixels) = (shape.k(), shape.cout_per_group(), shape.out_pixels());
    if !accumulate && pixels == 0 {
        dw.fill(0.0);
    }
    if dw.is_empty() || pixels == 0 {
        return;
    }
    for group in 0..shape.groups {
        let column = group * n;
        let (dy, dw) = (&dy[column..], &mut dw[column..]);
        let (ldy, ldw) = (shape.cout, shape.cout);
        if shape.is_pointwise() {
            let x = &x[group * shape.cin_per_group()..];
            gemm_at_b(ctx, pixels, x, shape.cin, k, dy, ldy, n, dw, ldw, scratch, accumulate);
            continue;
        }
        let block = block_len(shape);
        let (rows, partials) = scratch.split_at_mut(block * k);
        for first in (0..pixels).step_by(block) {
            let count = block.min(pixels - first);
            ctx.pool.for_each_chunk_mut(&mut rows[..count * k], 64 * k, |i, rows| {
                im2col(shape, x, group, first + i * 64, rows);
            });
            let keep = accumulate || first > 0;
            let dy = &dy[first * ldy..];
            gemm_at_b(ctx, count, rows, k, k, dy, ldy, n, dw, ldw, partials, keep);
        }
    }
}

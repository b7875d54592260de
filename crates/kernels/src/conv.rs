//! Convolutions as matrix products, forward and all gradients.
//!
//! A 1x1 convolution with stride 1 is a product as it stands. Any other one copies, for a block of
//! output pixels, the inputs that each pixel reads into a row of `kh * kw * cin` floats (im2col)
//! and multiplies the block; a block stays in the second-level cache. For 3x3 that is one float
//! copied per `cout` multiply-adds.
//!
//! The input gradient of a stride-1 convolution is a convolution of the output gradient with the
//! kernel turned round, so it takes the same path. Larger strides multiply first and add the rows
//! back (col2im), image by image, so that no two threads add to the same place.

mod im2col;
mod input_grad;
mod shape;
mod weight_grad;
mod weights;

pub use input_grad::{conv_backward_input, conv_backward_input_scratch_len};
pub(crate) use shape::Taps;
pub use shape::{ConvShape, output_len};
pub use weight_grad::{conv_backward_weight, conv_backward_weight_scratch_len};
pub use weights::ConvWeights;

use crate::gemm::gemm;
use crate::pool::SharedMut;
use crate::{Ctx, Epilogue};
use im2col::im2col;

/// Floats of an im2col block: half of a second-level cache.
const BLOCK: usize = 64 * 1024;

/// Output pixels of an im2col block.
fn block_pixels(k: usize) -> usize {
    (BLOCK / k.max(1)).clamp(24, 4096)
}

/// Floats of scratch memory that [`conv`] needs on `threads` threads.
pub fn conv_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    if shape.is_pointwise() {
        return 0;
    }
    let pixels = block_pixels(shape.k()) * 2 * threads.max(1);
    pixels.min(shape.out_pixels()) * shape.k()
}

/// `out[n, oh, ow, cout] = epilogue(convolution of x[n, h, w, cin])`, with weights from
/// [`ConvWeights::pack`] and at least [`conv_scratch_len`] floats of scratch memory.
///
/// # Panics
/// If a slice has another size than the shape says, or `scratch` is too small.
pub fn conv(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &ConvWeights,
    out: &mut [f32],
    scratch: &mut [f32],
    epilogue: &Epilogue,
) {
    shape.check();
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(out.len(), shape.out_len(), "output of {shape:?}");
    weights.check(shape.groups, shape.k(), shape.cout_per_group());
    epilogue.check(shape.out_pixels(), shape.cout);
    assert!(epilogue.interleave.is_none(), "a whole convolution does not interleave");
    if out.is_empty() {
        return;
    }
    let scratch = &mut scratch[..conv_scratch_len(shape, ctx.pool.threads())];
    for group in 0..shape.groups {
        let column = group * shape.cout_per_group();
        let epilogue = epilogue.columns_from(column);
        if shape.is_pointwise() {
            let (b, x) = (weights.group(group), &x[group * shape.cin_per_group()..]);
            let m = shape.out_pixels();
            gemm(ctx, m, x, shape.cin, b, &mut out[column..], shape.cout, &epilogue);
        } else {
            conv_group(ctx, shape, x, weights, group, out, scratch, &epilogue);
        }
    }
}

/// One group of a convolution that needs im2col.
fn conv_group(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &ConvWeights,
    group: usize,
    out: &mut [f32],
    scratch: &mut [f32],
    epilogue: &Epilogue,
) {
    let (k, b, ldc) = (shape.k(), weights.group(group), shape.cout);
    let column = group * shape.cout_per_group();
    let (pixels, threads) = (shape.out_pixels(), ctx.pool.threads());
    let block = block_pixels(k);
    if pixels <= block * 2 * threads {
        // Too few blocks to share out: all threads copy, then all multiply.
        ctx.pool.for_each_chunk_mut(&mut scratch[..pixels * k], 8 * k, |i, rows| {
            im2col(shape, x, group, i * 8, rows);
        });
        gemm(ctx, pixels, scratch, k, b, &mut out[column..], ldc, epilogue);
        return;
    }
    let (rows, out) = (SharedMut::new(scratch), SharedMut::new(out));
    ctx.pool.for_each_worker(pixels.div_ceil(block), &|worker, task| {
        let first = task * block;
        let count = block.min(pixels - first);
        // SAFETY: no two tasks run with the same worker index at the same time.
        let rows = unsafe { rows.range(worker * block * k, count * k) };
        im2col(shape, x, group, first, rows);
        // SAFETY: these rows of the output belong to this task alone.
        let out = unsafe { out.range(first * ldc, count * ldc) };
        let epilogue = epilogue.rows_from(first);
        gemm(ctx, count, rows, k, b, &mut out[column..], ldc, &epilogue);
    });
}

#[cfg(test)]
mod tests;

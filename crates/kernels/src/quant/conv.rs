//! 8-bit convolution: a matrix product over rows of gathered input.
//!
//! A pointwise convolution reads the image itself. Any other copies the window of each output
//! pixel into a row of scratch memory, block by block, so that scratch stays in the cache and its
//! size does not depend on the image; taps outside of the image become the zero point.

use super::PackedWeights;
use super::gemm::{Block, Output, block};
use super::pack::GROUP;
use crate::Ctx;
use crate::conv::ConvShape;
use crate::pool::SharedMut;

/// Output pixels that one task gathers: at 3 * 3 * 64 products a row, 37 KiB.
const PIXELS: usize = 64;

/// Bytes of a gathered row: whole groups of products, so that the kernel reads no partial one.
fn row_len(shape: &ConvShape) -> usize {
    shape.k().next_multiple_of(GROUP)
}

fn reads_image(shape: &ConvShape) -> bool {
    shape.is_pointwise() && shape.groups == 1
}

/// Bytes of scratch memory that [`conv`] needs on `threads` threads.
pub fn conv_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    if reads_image(shape) { 0 } else { threads * PIXELS * row_len(shape) }
}

/// Convolution of the image batch `x` `[n, h, w, cin]`, whose zero point is `zero_point`.
///
/// `weights` has one matrix a group: rows are taps in the order `[kh, kw, cin / groups]`, columns
/// the group's output channels. The output is `[n, oh, ow, cout]`.
///
/// # Panics
/// If a slice does not have the size that `shape` says, or `scratch` is shorter than
/// [`conv_scratch_len`].
pub fn conv(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[u8],
    zero_point: u8,
    weights: &[PackedWeights],
    output: Output,
    scratch: &mut [u8],
) {
    let s = shape;
    s.check();
    let (cin, cout, pixels) = (s.cin_per_group(), s.cout_per_group(), s.out_pixels());
    assert_eq!(x.len(), s.in_len(), "the image has another size");
    assert_eq!(weights.len(), s.groups, "one weight matrix a group");
    for w in weights {
        assert!(w.fit(s.k(), cout), "the weights have another size");
    }
    if reads_image(s) {
        return super::gemm(ctx, pixels, x, s.cin, &weights[0], output);
    }
    output.check(pixels, s.cout);
    let stride = row_len(s);
    let part = PIXELS * stride;
    assert!(scratch.len() >= ctx.pool.threads() * part, "not enough scratch memory");
    let (sink, scratch) = (output.share(), SharedMut::new(scratch));
    let tasks = pixels.div_ceil(PIXELS);
    ctx.pool.for_each_worker(tasks * s.groups, &|worker, task| {
        let (first, group) = (task / s.groups * PIXELS, task % s.groups);
        let rows = PIXELS.min(pixels - first);
        // SAFETY: no two tasks run at the same time with the same worker index.
        let gathered = unsafe { scratch.range(worker * part, part) };
        for (i, row) in gathered.chunks_exact_mut(stride).take(rows).enumerate() {
            gather(s, x, zero_point, first + i, group * cin, row);
        }
        let task = Block {
            rows,
            a: gathered,
            lda: stride,
            weights: &weights[group],
            panels: (0, weights[group].panels()),
            sink,
            row: first,
            channel: group * cout,
            ldc: s.cout,
        };
        // SAFETY: each task has its own pixels and channels, hence its own part of the output.
        unsafe { block(ctx.isa, task) };
    });
}

/// Copies the window of output pixel `pixel` into `row`, channels `channel..channel + cin / groups`.
fn gather(s: &ConvShape, x: &[u8], zero_point: u8, pixel: usize, channel: usize, row: &mut [u8]) {
    let cin = s.cin_per_group();
    let (image, oy, ox) = (pixel / (s.oh * s.ow), pixel / s.ow % s.oh, pixel % s.ow);
    let line = s.kw * cin;
    // Columns of a line that lie side by side in memory are one copy.
    let dense = s.dw == 1 && s.groups == 1;
    for ky in 0..s.kh {
        let to = &mut row[ky * line..][..line];
        // Out of the image wraps far beyond its height.
        let y = (oy * s.sh + ky * s.dh).wrapping_sub(s.pt);
        if y >= s.h {
            to.fill(zero_point);
            continue;
        }
        let from = &x[(image * s.h + y) * s.w * s.cin..][..s.w * s.cin];
        let x0 = (ox * s.sw).wrapping_sub(s.pl);
        if dense && x0 < s.w && x0 + s.kw <= s.w {
            to.copy_from_slice(&from[x0 * cin..][..line]);
            continue;
        }
        for (kx, to) in to.chunks_exact_mut(cin).enumerate() {
            let column = (ox * s.sw + kx * s.dw).wrapping_sub(s.pl);
            if column < s.w {
                to.copy_from_slice(&from[column * s.cin + channel..][..cin]);
            } else {
                to.fill(zero_point);
            }
        }
    }
}

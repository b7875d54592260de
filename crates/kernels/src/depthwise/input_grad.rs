//! The gradient of the input of a depthwise convolution.

use super::forward::check;
use super::{DepthwiseWeights, depthwise};
use crate::conv::{ConvShape, Taps};
use crate::simd::{LANES, Simd, simd_fn};
use crate::{Ctx, Epilogue};

/// The gradient of the input: `dx[n, h, w, c] = sum over the taps that read it of
/// dy[n, oh, ow, c] * weights[kh, kw, c]`, with weights from
/// [`DepthwiseWeights::repack_for_input_gradient`], added to the old content if `accumulate`.
///
/// # Panics
/// If the shape is not depthwise or an operand has another size than it says.
pub fn depthwise_backward_input(
    ctx: Ctx,
    shape: &ConvShape,
    dy: &[f32],
    weights: &DepthwiseWeights,
    dx: &mut [f32],
    accumulate: bool,
) {
    check(shape, dx, dy);
    weights.check(shape);
    let epilogue = Epilogue { accumulate, ..Epilogue::default() };
    let (reach_h, reach_w) = ((shape.kh - 1) * shape.dh, (shape.kw - 1) * shape.dw);
    if shape.sh == 1 && shape.sw == 1 && shape.pt <= reach_h && shape.pl <= reach_w {
        // With input and output exchanged, the forward convolution over the reversed kernel.
        let mut swapped = *shape;
        (swapped.h, swapped.w, swapped.oh, swapped.ow) = (shape.oh, shape.ow, shape.h, shape.w);
        (swapped.pt, swapped.pl) = (reach_h - shape.pt, reach_w - shape.pl);
        depthwise(ctx, &swapped, dy, weights, dx, &epilogue);
        return;
    }
    let row_len = shape.w * shape.cin;
    if row_len == 0 {
        return;
    }
    let rows = (TASK / row_len).max(1);
    ctx.pool.for_each_chunk_mut(dx, rows * row_len, |task, dx| {
        gather_rows(ctx.isa, shape, dy, weights, task * rows, dx, &epilogue);
    });
}

/// Floats of gradient per task.
const TASK: usize = 16 * 1024;

simd_fn! {
    /// The rows of the gradient from `first` on (rows of all images counted through) that fill
    /// `dx`: each pixel gathers the few outputs that read it.
    fn gather_rows(
        s: Simd,
        shape: &ConvShape,
        dy: &[f32],
        weights: &DepthwiseWeights,
        first: usize,
        dx: &mut [f32],
        epilogue: &Epilogue<'_>,
    ) {
        let c = shape;
        let image_len = c.oh * c.ow * c.cin;
        for (i, dx) in dx.chunks_exact_mut(c.w * c.cin).enumerate() {
            let row = first + i;
            let (image, y) = (row / c.h, row % c.h);
            let line = Line {
                channels: c.cin,
                kw: c.kw,
                row_len: c.ow * c.cin,
                x: &dy[image * image_len..(image + 1) * image_len],
                weights,
                taps: Taps::backward(y, c.oh, c.kh, c.sh, c.dh, c.pt),
                pixel: row * c.w,
                epilogue: *epilogue,
            };
            for x in 0..c.w {
                pixel(s, &line, Taps::backward(x, c.ow, c.kw, c.sw, c.dw, c.pl), x, dx);
            }
        }
    }
}

/// A row of the gradient and what it reads.
struct Line<'a> {
    channels: usize,
    kw: usize,
    /// Floats of a row of the output gradient.
    row_len: usize,
    /// The output gradient of the image.
    x: &'a [f32],
    /// From the last tap to the first.
    weights: &'a DepthwiseWeights,
    /// Vertical taps of this row.
    taps: Taps,
    /// Index of the row's first pixel in the whole gradient.
    pixel: usize,
    epilogue: Epilogue<'a>,
}

/// One output with any set of taps.
#[inline(always)]
fn pixel<S: Simd>(s: S, line: &Line, columns: Taps, ox: usize, out: &mut [f32]) {
    match (line.taps.count, columns.count) {
        (1, 1) => pixel_taps::<S, 1, 1>(s, line, columns, ox, out),
        (1, 2) => pixel_taps::<S, 1, 2>(s, line, columns, ox, out),
        (2, 1) => pixel_taps::<S, 2, 1>(s, line, columns, ox, out),
        (2, 2) => pixel_taps::<S, 2, 2>(s, line, columns, ox, out),
        (3, 2) => pixel_taps::<S, 3, 2>(s, line, columns, ox, out),
        _ => pixel_taps::<S, 0, 0>(s, line, columns, ox, out),
    }
}

/// `NY` by `NX` taps, or as many as there are if these are 0.
#[inline(always)]
fn pixel_taps<S: Simd, const NY: usize, const NX: usize>(
    s: S,
    line: &Line,
    columns: Taps,
    ox: usize,
    out: &mut [f32],
) {
    let channels = line.channels;
    let rows = line.taps;
    let (ny, nx) = if NX == 0 { (rows.count, columns.count) } else { (NY, NX) };
    let out = &mut out[ox * channels..(ox + 1) * channels];
    for c in (0..channels).step_by(LANES) {
        let mask = s.first(channels - c);
        let weights = line.weights.block(c);
        let last = weights.len() / LANES - 1;
        // SAFETY: the mask ends with the channels.
        let mut acc = unsafe { line.epilogue.start(s, c, mask) };
        for i in 0..ny {
            let row = (rows.at as isize + i as isize * rows.at_step) as usize;
            for j in 0..nx {
                let column = (columns.at as isize + j as isize * columns.at_step) as usize;
                let tap =
                    (rows.tap + i * rows.tap_step) * line.kw + columns.tap + j * columns.tap_step;
                let x = &line.x[row * line.row_len + column * channels..][..channels];
                let w = &weights[(last - tap) * LANES..][..LANES];
                // SAFETY: channels c.. of one pixel, where the mask ends with them, and the 16
                // weights of one tap.
                acc = unsafe {
                    let x = s.load_first(x.as_ptr().wrapping_add(c), mask);
                    s.fma(x, s.load(w.as_ptr()), acc)
                };
            }
        }
        // SAFETY: channels c.. of this pixel; the epilogue has been checked against the output.
        unsafe {
            line.epilogue.finish(s, acc, line.pixel + ox, c, out.as_mut_ptr(), mask);
        }
    }
}

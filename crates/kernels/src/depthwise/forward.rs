//! Sums over the taps of a depthwise kernel: forward, and the gradient of the input.

use crate::conv::{ConvShape, Taps};
use crate::simd::{LANES, Simd, prefetch, simd_fn};
use crate::{Ctx, Epilogue};
use std::ops::Range;

/// `out[n, oh, ow, c] = epilogue(sum over taps of x[n, h, w, c] * weights[kh, kw, c])`.
///
/// # Panics
/// If the shape is not depthwise or a slice has another size than the shape says.
pub fn depthwise(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &[f32],
    out: &mut [f32],
    epilogue: &Epilogue,
) {
    check(shape, x, weights, out);
    epilogue.check(shape.out_pixels(), shape.cout);
    let walk = Walk { shape: *shape, reverse: false, gather: false };
    run(ctx, &walk, x, weights, out, epilogue);
}

/// The gradient of the input: `dx[n, h, w, c] = sum over the taps that read it of
/// dy[n, oh, ow, c] * weights[kh, kw, c]`, added to the old content if `accumulate`.
///
/// # Panics
/// If the shape is not depthwise or a slice has another size than the shape says.
pub fn depthwise_backward_input(
    ctx: Ctx,
    shape: &ConvShape,
    dy: &[f32],
    weights: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    check(shape, dx, weights, dy);
    let (reach_h, reach_w) = ((shape.kh - 1) * shape.dh, (shape.kw - 1) * shape.dw);
    let gather = shape.sh != 1 || shape.sw != 1 || shape.pt > reach_h || shape.pl > reach_w;
    // With input and output exchanged. For stride 1 this is the forward convolution over the
    // reversed kernel; otherwise `Walk` finds the taps with the original geometry.
    let mut swapped = *shape;
    (swapped.h, swapped.w, swapped.oh, swapped.ow) = (shape.oh, shape.ow, shape.h, shape.w);
    if !gather {
        (swapped.pt, swapped.pl) = (reach_h - shape.pt, reach_w - shape.pl);
    }
    let walk = Walk { shape: swapped, reverse: !gather, gather };
    let epilogue = Epilogue { accumulate, ..Epilogue::default() };
    run(ctx, &walk, dy, weights, dx, &epilogue);
}

pub(super) fn check(shape: &ConvShape, x: &[f32], weights: &[f32], out: &[f32]) {
    shape.check();
    assert!(shape.is_depthwise(), "not depthwise: {shape:?}");
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
    assert_eq!(out.len(), shape.out_len(), "output of {shape:?}");
}

/// Which input a tap reads.
struct Walk {
    shape: ConvShape,
    /// The taps run backwards through the weights.
    reverse: bool,
    /// The shape is a convolution with input and output exchanged: look for the taps that hit.
    gather: bool,
}

impl Walk {
    fn rows_of(&self, oy: usize) -> Taps {
        let c = &self.shape;
        if self.gather { Taps::backward(oy, c.h, c.kh, c.sh, c.dh, c.pt) } else { c.rows_of(oy) }
    }

    fn columns_of(&self, ox: usize) -> Taps {
        let c = &self.shape;
        if self.gather { Taps::backward(ox, c.w, c.kw, c.sw, c.dw, c.pl) } else { c.columns_of(ox) }
    }

    /// What the row after `oy` reads beyond the rows that `oy` reads; `row` counts all images
    /// through. Each row of the output brings this much new input into the cache.
    fn ahead<'a>(&self, oy: usize, x: &'a [f32], row: usize) -> &'a [f32] {
        let c = &self.shape;
        let end = |oy: usize| {
            let taps = self.rows_of(oy);
            let last = taps.at as isize + (taps.count as isize - 1) * taps.at_step;
            if taps.count == 0 { 0 } else { taps.at.max(last as usize) + 1 }
        };
        let next = if oy + 1 < c.oh { end(oy + 1) } else { c.h };
        let first = row / c.oh * c.h;
        let row_floats = c.w * c.cin;
        let (start, end) = (first + end(oy), first + next);
        &x[start.min(end) * row_floats..end * row_floats]
    }

    /// Output columns for which all taps along the row exist and are neighbours.
    fn interior(&self) -> Range<usize> {
        let c = &self.shape;
        let tiled = !self.gather && c.dw == 1 && matches!(c.kw, 3 | 5) && matches!(c.sw, 1 | 2);
        if tiled { c.interior() } else { 0..0 }
    }
}

/// Floats of output per task.
const TASK: usize = 16 * 1024;

fn run(ctx: Ctx, walk: &Walk, x: &[f32], weights: &[f32], out: &mut [f32], epilogue: &Epilogue) {
    let row_len = walk.shape.ow * walk.shape.cout;
    if row_len == 0 {
        return;
    }
    let rows = (TASK / row_len).max(1);
    ctx.pool.for_each_chunk_mut(out, rows * row_len, |task, chunk| {
        output_rows(ctx.isa, walk, x, weights, task * rows, chunk, epilogue);
    });
}

simd_fn! {
    /// The output rows from `first` on (rows of all images counted through) that fill `out`.
    fn output_rows(
        s: Simd,
        walk: &Walk,
        x: &[f32],
        weights: &[f32],
        first: usize,
        out: &mut [f32],
        epilogue: &Epilogue<'_>,
    ) {
        let c = &walk.shape;
        let interior = walk.interior();
        let row_len = c.ow * c.cout;
        for (i, out) in out.chunks_exact_mut(row_len).enumerate() {
            let row = first + i;
            let (image, oy) = (row / c.oh, row % c.oh);
            let line = Line {
                channels: c.cin,
                kw: c.kw,
                row_floats: c.w * c.cin,
                x: &x[image * c.h * c.w * c.cin..(image + 1) * c.h * c.w * c.cin],
                weights,
                reverse: walk.reverse,
                taps: walk.rows_of(oy),
                ahead: walk.ahead(oy, x, row),
                pixel: row * c.ow,
                epilogue: *epilogue,
            };
            let mut ox = 0;
            while ox < c.ow {
                let old = ox;
                if interior.contains(&ox) {
                    let count = tile_len(interior.end - ox);
                    let at = ox * c.sw - c.pl;
                    match (c.kw, c.sw) {
                        (3, 1) => tiles::<S, 3, 1>(s, &line, ox, at, count, out),
                        (3, 2) => tiles::<S, 3, 2>(s, &line, ox, at, count, out),
                        (5, 1) => tiles::<S, 5, 1>(s, &line, ox, at, count, out),
                        _ => tiles::<S, 5, 2>(s, &line, ox, at, count, out),
                    }
                    ox += count;
                } else {
                    pixel(s, &line, walk.columns_of(ox), ox, out);
                    ox += 1;
                }
                let ahead = line.ahead.len();
                prefetch(&line.ahead[ahead * old / c.ow..ahead * ox / c.ow]);
            }
        }
    }
}

/// An output row and what it reads.
struct Line<'a> {
    channels: usize,
    kw: usize,
    /// Floats of a row of the input.
    row_floats: usize,
    /// The image.
    x: &'a [f32],
    weights: &'a [f32],
    reverse: bool,
    /// Vertical taps of this row.
    taps: Taps,
    /// Input that the next row will read and this one does not.
    ahead: &'a [f32],
    /// Index of the row's first pixel in the whole output.
    pixel: usize,
    epilogue: Epilogue<'a>,
}

impl Line<'_> {
    /// Start and step, in floats, of the weights of the taps `tap`, `tap + tap_step`, ... that are
    /// `unit` weights apart, counted in weights from the start or, reversed, from the end.
    #[inline(always)]
    fn weight(&self, tap: usize) -> usize {
        let last = self.weights.len() / self.channels - 1;
        self.channels * if self.reverse { last - tap } else { tap }
    }
}

/// The largest tile not larger than `rest`.
#[inline(always)]
fn tile_len(rest: usize) -> usize {
    match rest {
        8.. => 8,
        4..=7 => 4,
        _ => 1,
    }
}

#[inline(always)]
fn tiles<S: Simd, const KW: usize, const STRIDE: usize>(
    s: S,
    line: &Line,
    ox: usize,
    at: usize,
    count: usize,
    out: &mut [f32],
) {
    match (count, S::WIDE) {
        (8, true) => tile::<S, KW, STRIDE, 8>(s, line, ox, at, out),
        (8, false) => {
            // 16 registers hold the sums of 4 pixels.
            tile::<S, KW, STRIDE, 4>(s, line, ox, at, out);
            tile::<S, KW, STRIDE, 4>(s, line, ox + 4, at + 4 * STRIDE, out);
        }
        (4, _) => tile::<S, KW, STRIDE, 4>(s, line, ox, at, out),
        _ => tile::<S, KW, STRIDE, 1>(s, line, ox, at, out),
    }
}

/// `T` neighbouring outputs from `ox` on, whose first tap reads column `at`.
#[inline(always)]
fn tile<S: Simd, const KW: usize, const STRIDE: usize, const T: usize>(
    s: S,
    line: &Line,
    ox: usize,
    at: usize,
    out: &mut [f32],
) {
    let channels = line.channels;
    let out = &mut out[ox * channels..(ox + T) * channels];
    let columns = (T - 1) * STRIDE + KW;
    for c in (0..channels).step_by(LANES) {
        let mask = s.first(channels - c);
        // SAFETY: the mask ends with the channels.
        let mut acc = [unsafe { line.epilogue.start(s, c, mask) }; T];
        for i in 0..line.taps.count {
            let row = (line.taps.at as isize + i as isize * line.taps.at_step) as usize;
            let start = row * line.row_floats + at * channels;
            let x = line.x[start..start + columns * channels].as_ptr().wrapping_add(c);
            let tap = (line.taps.tap + i * line.taps.tap_step) * KW;
            let mut w = [s.splat(0.0); KW];
            for kx in 0..KW {
                let weight = &line.weights[line.weight(tap + kx)..][..channels];
                // SAFETY: channels c.. of one tap; the mask ends with them.
                w[kx] = unsafe { s.load_first(weight.as_ptr().wrapping_add(c), mask) };
            }
            for t in 0..T {
                for kx in 0..KW {
                    let x = x.wrapping_add((t * STRIDE + kx) * channels);
                    // SAFETY: column t * STRIDE + kx is below `columns`; the mask ends with the
                    // channels of that pixel.
                    acc[t] = s.fma(unsafe { s.load_first(x, mask) }, w[kx], acc[t]);
                }
            }
        }
        for t in 0..T {
            let out = out[t * channels..(t + 1) * channels].as_mut_ptr().wrapping_add(c);
            // SAFETY: channels c.. of pixel t; the mask ends with them, and the epilogue has been
            // checked against the whole output.
            unsafe { line.epilogue.finish(s, acc[t], line.pixel + ox + t, c, out, mask) };
        }
    }
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
        // SAFETY: the mask ends with the channels.
        let mut acc = unsafe { line.epilogue.start(s, c, mask) };
        for i in 0..ny {
            let row = (rows.at as isize + i as isize * rows.at_step) as usize;
            for j in 0..nx {
                let column = (columns.at as isize + j as isize * columns.at_step) as usize;
                let tap =
                    (rows.tap + i * rows.tap_step) * line.kw + columns.tap + j * columns.tap_step;
                let x = &line.x[row * line.row_floats + column * channels..][..channels];
                let w = &line.weights[line.weight(tap)..][..channels];
                // SAFETY: channels c.. of one pixel and one tap; the mask ends with them.
                acc = unsafe {
                    let x = s.load_first(x.as_ptr().wrapping_add(c), mask);
                    s.fma(x, s.load_first(w.as_ptr().wrapping_add(c), mask), acc)
                };
            }
        }
        // SAFETY: channels c.. of this pixel; the epilogue has been checked against the output.
        unsafe {
            let out = out.as_mut_ptr().wrapping_add(c);
            line.epilogue.finish(s, acc, line.pixel + ox, c, out, mask);
        }
    }
}

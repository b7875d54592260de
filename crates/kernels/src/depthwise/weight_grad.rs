//! The gradient of depthwise weights: a reduction over all output pixels.
//!
//! All taps of 16 channels are summed in registers (9 for 3x3, 25 for 5x5) while a few output rows
//! pass by; 4 neighbouring outputs share their input columns, 22 loads for 36 multiply-adds. Groups
//! of images sum into partial results that are added in order.

use super::forward::check;
use crate::Ctx;
use crate::conv::ConvShape;
use crate::gemm::sum_partials;
use crate::pool::SharedMut;
use crate::simd::{LANES, Simd, prefetch, share, simd_fn};
use std::ops::Range;

/// Most partial results of a batch.
const SPANS: usize = 16;

/// Floats of input and output of the rows that stay in cache while all channels pass over them.
const BAND: usize = 48 * 1024;

/// Floats of scratch memory that [`depthwise_backward_weight`] needs.
pub fn depthwise_backward_weight_scratch_len(shape: &ConvShape) -> usize {
    if shape.n <= 1 { 0 } else { shape.n.min(SPANS) * shape.weight_len() }
}

/// `dw[kh, kw, c] = sum over output pixels of x * dy`, added to the old content if `accumulate`.
/// `scratch` has at least [`depthwise_backward_weight_scratch_len`] floats.
///
/// # Panics
/// If the shape is not depthwise or a slice has another size than the shape says.
pub fn depthwise_backward_weight(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut [f32],
    accumulate: bool,
) {
    check(shape, x, dy);
    assert_eq!(dw.len(), shape.weight_len(), "weights of {shape:?}");
    let size = dw.len();
    if size == 0 {
        return;
    }
    let spans = shape.n.clamp(1, SPANS);
    let per_span = shape.n.div_ceil(spans);
    let scratch = &mut scratch[..depthwise_backward_weight_scratch_len(shape)];
    let target = if spans == 1 { SharedMut::new(&mut *dw) } else { SharedMut::new(&mut *scratch) };
    // Splitting the channels only shares out work; it changes no sum.
    let blocks = shape.cin.div_ceil(LANES);
    let splits = (4 * ctx.pool.threads()).div_ceil(spans).min(blocks);
    let width = blocks.div_ceil(splits) * LANES;
    ctx.pool.for_each(spans * splits, &|task| {
        let (span, split) = (task / splits, task % splits);
        let first = (span * per_span).min(shape.n);
        let job = Job {
            shape: *shape,
            x,
            dy,
            images: first..(first + per_span).min(shape.n),
            channels: (split * width).min(shape.cin)..((split + 1) * width).min(shape.cin),
            out: target,
            out_start: span * size,
        };
        weight_grad_span(ctx.isa, &job, accumulate && spans == 1);
    });
    if spans > 1 {
        let partials = &*scratch;
        ctx.pool.for_each_chunk_mut(dw, 4096, |i, chunk| {
            sum_partials(ctx.isa, partials, size, i * 4096, chunk, accumulate);
        });
    }
}

/// Some images and channels of a reduction.
struct Job<'a> {
    shape: ConvShape,
    x: &'a [f32],
    dy: &'a [f32],
    images: Range<usize>,
    channels: Range<usize>,
    out: SharedMut<'a, f32>,
    out_start: usize,
}

impl Job<'_> {
    /// The gradient of one tap for the channels `c..c + len`.
    #[inline(always)]
    fn out(&self, tap: usize, c: usize, len: usize) -> *mut f32 {
        let start = self.out_start + tap * self.shape.cin + c;
        // SAFETY: these channels of this partial result belong to this task alone.
        unsafe { self.out.range(start, len) }.as_mut_ptr()
    }
}

simd_fn! {
    fn weight_grad_span(s: Simd, job: &Job<'_>, keep: bool) {
        let c = &job.shape;
        if !keep {
            for tap in 0..c.kh * c.kw {
                let len = job.channels.len();
                let start = job.out_start + tap * c.cin + job.channels.start;
                // SAFETY: these channels of this partial result belong to this task alone.
                unsafe { job.out.range(start, len) }.fill(0.0);
            }
        }
        let row = c.ow * c.cin + c.sh * c.w * c.cin;
        let band = (BAND / row.max(1)).max(1);
        for image in job.images.clone() {
            for first in (0..c.oh).step_by(band) {
                let rows = first..(first + band).min(c.oh);
                let (next_x, next_dy) = next_band(job, image, rows.end, band);
                let blocks = job.channels.len().div_ceil(LANES);
                for (i, channel) in job.channels.clone().step_by(LANES).enumerate() {
                    prefetch(share(next_x, i, blocks));
                    prefetch(share(next_dy, i, blocks));
                    match (c.kh, c.kw, c.sw, c.dw) {
                        (3, 3, 1, 1) => block::<S, 3, 3, 1>(s, job, image, rows.clone(), channel),
                        (3, 3, 2, 1) => block::<S, 3, 3, 2>(s, job, image, rows.clone(), channel),
                        (5, 5, 1, 1) => block::<S, 5, 5, 1>(s, job, image, rows.clone(), channel),
                        (5, 5, 2, 1) => block::<S, 5, 5, 2>(s, job, image, rows.clone(), channel),
                        _ => any_block(s, job, image, rows.clone(), channel),
                    }
                }
            }
        }
    }
}

/// The input and output gradient of about the `rows` output rows from row `oy` of an image on.
fn next_band<'a>(job: &Job<'a>, image: usize, oy: usize, rows: usize) -> (&'a [f32], &'a [f32]) {
    let c = &job.shape;
    let (x_row, dy_row) = (c.w * c.cin, c.ow * c.cin);
    let x_first = (image * c.h + oy * c.sh) * x_row;
    let dy_first = (image * c.oh + oy) * dy_row;
    let part = |data: &'a [f32], start: usize, len: usize| {
        let start = start.min(data.len());
        &data[start..(start + len).min(data.len())]
    };
    (part(job.x, x_first, rows * c.sh * x_row), part(job.dy, dy_first, rows * dy_row))
}

/// Outputs that share their input columns.
const T: usize = 4;

/// 16 channels of some output rows, all taps in registers.
#[inline(always)]
fn block<S: Simd, const KH: usize, const KW: usize, const STRIDE: usize>(
    s: S,
    job: &Job,
    image: usize,
    rows: Range<usize>,
    channel: usize,
) {
    let c = &job.shape;
    let channels = c.cin;
    let lanes = (job.channels.end - channel).min(LANES);
    let mask = s.first(lanes);
    let mut acc = [[s.splat(0.0); KW]; KH];
    for ky in 0..KH {
        for kx in 0..KW {
            // SAFETY: the mask has as many lanes as the slice.
            acc[ky][kx] = unsafe { s.load_first(job.out(ky * KW + kx, channel, lanes), mask) };
        }
    }
    let interior = c.interior();
    for oy in rows {
        let dy = &job.dy[(image * c.oh + oy) * c.ow * channels..][..c.ow * channels];
        let dy = dy.as_ptr().wrapping_add(channel);
        let x = &job.x[image * c.h * c.w * channels..][..c.h * c.w * channels];
        let x = x.as_ptr().wrapping_add(channel);
        let iy = |ky: usize| (oy * c.sh + ky * c.dh).wrapping_sub(c.pt);
        let mut ox = 0;
        while ox < c.ow {
            if interior.contains(&ox) && interior.end - ox >= T {
                let mut g = [s.splat(0.0); T];
                for t in 0..T {
                    let dy = dy.wrapping_add((ox + t) * channels);
                    // SAFETY: outputs ox..ox + T exist, and the mask ends with the channels.
                    g[t] = unsafe { s.load_first(dy, mask) };
                }
                for ky in 0..KH {
                    if iy(ky) < c.h {
                        let x = x.wrapping_add((iy(ky) * c.w + ox * STRIDE - c.pl) * channels);
                        for t in 0..T {
                            for kx in 0..KW {
                                let x = x.wrapping_add((t * STRIDE + kx) * channels);
                                // SAFETY: the row exists, and interior outputs read only columns
                                // that exist.
                                let x = unsafe { s.load_first(x, mask) };
                                acc[ky][kx] = s.fma(x, g[t], acc[ky][kx]);
                            }
                        }
                    }
                }
                ox += T;
            } else {
                // SAFETY: output ox exists.
                let g = unsafe { s.load_first(dy.wrapping_add(ox * channels), mask) };
                for ky in 0..KH {
                    for kx in 0..KW {
                        let ix = (ox * STRIDE + kx).wrapping_sub(c.pl);
                        if iy(ky) < c.h && ix < c.w {
                            let x = x.wrapping_add((iy(ky) * c.w + ix) * channels);
                            // SAFETY: this pixel exists.
                            let x = unsafe { s.load_first(x, mask) };
                            acc[ky][kx] = s.fma(x, g, acc[ky][kx]);
                        }
                    }
                }
                ox += 1;
            }
        }
    }
    for ky in 0..KH {
        for kx in 0..KW {
            // SAFETY: the mask has as many lanes as the slice.
            unsafe { s.store_first(job.out(ky * KW + kx, channel, lanes), acc[ky][kx], mask) };
        }
    }
}

/// 16 channels of some output rows for any kernel, one tap after the other.
#[inline(always)]
fn any_block<S: Simd>(s: S, job: &Job, image: usize, rows: Range<usize>, channel: usize) {
    let c = &job.shape;
    let lanes = (job.channels.end - channel).min(LANES);
    let mask = s.first(lanes);
    for ky in 0..c.kh {
        for kx in 0..c.kw {
            let out = job.out(ky * c.kw + kx, channel, lanes);
            // SAFETY: the mask has as many lanes as the slice.
            let mut acc = unsafe { s.load_first(out, mask) };
            for oy in rows.clone() {
                let iy = (oy * c.sh + ky * c.dh).wrapping_sub(c.pt);
                for ox in 0..c.ow {
                    let ix = (ox * c.sw + kx * c.dw).wrapping_sub(c.pl);
                    if iy < c.h && ix < c.w {
                        let x = &job.x[((image * c.h + iy) * c.w + ix) * c.cin + channel..];
                        let g = &job.dy[((image * c.oh + oy) * c.ow + ox) * c.cin + channel..];
                        assert!(x.len() >= lanes && g.len() >= lanes);
                        // SAFETY: both slices have the lanes of the mask.
                        acc = unsafe {
                            let x = s.load_first(x.as_ptr(), mask);
                            s.fma(x, s.load_first(g.as_ptr(), mask), acc)
                        };
                    }
                }
            }
            // SAFETY: the mask has as many lanes as the slice.
            unsafe { s.store_first(out, acc, mask) };
        }
    }
}

//! Maximum and average pooling over windows, and global average pooling.
//!
//! Windows are described by a [`ConvShape`] with `cin == cout == groups`. Channels are the vector
//! direction; each row of the output is one piece of work. The gradients scatter, so they go image
//! by image: no two threads add to the same place.

use serde::{Deserialize, Serialize};

mod global;
mod rows;

use crate::conv::Taps;
use crate::input_rows::Rows;
use crate::simd::simd_fn;
use crate::{ConvShape, Ctx};

pub use global::global_average_pool;
pub use rows::{average_pool_row, max_pool_row};

/// What an average divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Divisor {
    /// The number of elements that the window covers (`count_include_pad = 0`).
    Data,
    /// Elements and padding that it covers (`count_include_pad = 1`), with this much padding at the
    /// bottom and right. A window that reaches further, in ceil mode, is cut there.
    Padded {
        /// Rows of padding below the input.
        bottom: usize,
        /// Columns of padding right of the input.
        right: usize,
    },
}

/// Where `argmax` says that a window covers no element at all.
const NOWHERE: u32 = u32::MAX;

fn check(shape: &ConvShape, x: usize, out: usize) -> bool {
    shape.check();
    assert!(shape.is_depthwise(), "pooling has one group per channel: {shape:?}");
    assert_eq!(x, shape.in_len(), "input of {shape:?}");
    assert_eq!(out, shape.out_len(), "output of {shape:?}");
    out > 0
}

/// `out[n, oh, ow, c] = maximum of the window`, and in `argmax`, if given, the index of the first
/// such pixel within its image (for [`max_pool_backward`]). Minus infinity where a window covers no
/// element.
///
/// # Panics
/// If a slice has another size than the shape says.
pub fn max_pool(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    out: &mut [f32],
    argmax: Option<&mut [u32]>,
) {
    if !check(shape, x.len(), out.len()) {
        return;
    }
    let row = shape.ow * shape.cout;
    match argmax {
        Some(argmax) => {
            assert_eq!(argmax.len(), out.len(), "one index per output");
            ctx.pool.for_each_chunk2_mut(out, row, argmax, row, |i, out, argmax| {
                max_row(ctx.isa, shape, x, i, out, argmax);
            });
        }
        None => ctx.pool.for_each_chunk_mut(out, row, |i, out| {
            let line = rows::Line { shape, rows: image_rows(shape, x, i), x_stride: shape.cin };
            rows::max(ctx.isa, &line, out, shape.cout);
        }),
    }
}

/// The gradient of [`max_pool`]: `dx[argmax] += dy`, after `dx` is zeroed unless `accumulate`.
///
/// # Panics
/// If a slice has another size than the shape says, or `argmax` points outside of an image.
pub fn max_pool_backward(
    ctx: Ctx,
    shape: &ConvShape,
    dy: &[f32],
    argmax: &[u32],
    dx: &mut [f32],
    accumulate: bool,
) {
    check(shape, dx.len(), dy.len());
    assert_eq!(argmax.len(), dy.len(), "one index per output");
    let (image_in, image_out) = image_lens(shape);
    ctx.pool.for_each_chunk_mut(dx, image_in, |image, dx| {
        if !accumulate {
            dx.fill(0.0);
        }
        let range = image * image_out..(image + 1) * image_out;
        let pixels = argmax[range.clone()].chunks_exact(shape.cin);
        for (places, dy) in pixels.zip(dy[range].chunks_exact(shape.cin)) {
            for (c, (&place, &dy)) in places.iter().zip(dy).enumerate() {
                if place != NOWHERE {
                    dx[place as usize * shape.cin + c] += dy;
                }
            }
        }
    });
}

/// `out[n, oh, ow, c] = mean of the window`; 0 where the divisor would be 0.
///
/// # Panics
/// If a slice has another size than the shape says.
pub fn average_pool(ctx: Ctx, shape: &ConvShape, divisor: Divisor, x: &[f32], out: &mut [f32]) {
    if !check(shape, x.len(), out.len()) {
        return;
    }
    ctx.pool.for_each_chunk_mut(out, shape.ow * shape.cout, |i, out| {
        let line = rows::Line { shape, rows: image_rows(shape, x, i), x_stride: shape.cin };
        rows::average(ctx.isa, &line, divisor, i % shape.oh, out, shape.cout);
    });
}

/// The gradient of [`average_pool`], added to the old content if `accumulate`.
///
/// # Panics
/// If a slice has another size than the shape says.
pub fn average_pool_backward(
    ctx: Ctx,
    shape: &ConvShape,
    divisor: Divisor,
    dy: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    check(shape, dx.len(), dy.len());
    let (image_in, image_out) = image_lens(shape);
    ctx.pool.for_each_chunk_mut(dx, image_in, |image, dx| {
        if !accumulate {
            dx.fill(0.0);
        }
        let dy = &dy[image * image_out..(image + 1) * image_out];
        average_backward_image(ctx.isa, shape, divisor, dy, dx);
    });
}

/// The gradient of [`global_average_pool`], added to the old content if `accumulate`.
///
/// # Panics
/// If the sizes do not match.
pub fn global_average_pool_backward(
    ctx: Ctx,
    channels: usize,
    pixels: usize,
    dy: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    assert_eq!(dx.len(), dy.len() * pixels, "{pixels} pixels per output");
    assert!(channels == 0 || dy.len().is_multiple_of(channels));
    ctx.pool.for_each_chunk_mut(dx, pixels * channels, |image, dx| {
        let dy = &dy[image * channels..(image + 1) * channels];
        spread(ctx.isa, dy, 1.0 / pixels as f32, dx, accumulate);
    });
}

/// The input rows of output row `row`, counted over all images.
fn image_rows<'a>(shape: &ConvShape, x: &'a [f32], row: usize) -> Rows<'a> {
    let (image, oy) = (row / shape.oh, row % shape.oh);
    let (row_len, image_len) = (shape.w * shape.cin, shape.h * shape.w * shape.cin);
    Rows::Image {
        x: &x[image * image_len..(image + 1) * image_len],
        row_len,
        first: (oy * shape.sh) as isize - shape.pt as isize,
        step: shape.dh,
    }
}

fn image_lens(shape: &ConvShape) -> (usize, usize) {
    (shape.h * shape.w * shape.cin, shape.oh * shape.ow * shape.cout)
}

/// The pixels of one image that a window covers.
#[inline(always)]
fn window(shape: &ConvShape, ty: Taps, tx: Taps) -> impl Iterator<Item = usize> {
    let (dh, dw, w) = (shape.dh, shape.dw, shape.w);
    (0..ty.count)
        .flat_map(move |i| (0..tx.count).map(move |j| (ty.at + i * dh) * w + tx.at + j * dw))
}

/// `1 / divisor` of the window at an output, 0 if it covers nothing.
fn weight(shape: &ConvShape, divisor: Divisor, oy: usize, ox: usize) -> f32 {
    let count = match divisor {
        Divisor::Data => shape.rows_of(oy).count * shape.columns_of(ox).count,
        Divisor::Padded { bottom, right } => {
            // Taps before the end of the padding; a window never starts before it begins.
            let taps = |o: usize, stride: usize, kernel: usize, dilation: usize, end: usize| {
                end.saturating_sub(o * stride).div_ceil(dilation).min(kernel)
            };
            taps(oy, shape.sh, shape.kh, shape.dh, shape.h + shape.pt + bottom)
                * taps(ox, shape.sw, shape.kw, shape.dw, shape.w + shape.pl + right)
        }
    };
    if count == 0 { 0.0 } else { 1.0 / count as f32 }
}

simd_fn! {
    /// Output row `row`, counted over all images, and where its maxima are.
    fn max_row(
        _s: Simd,
        shape: &ConvShape,
        x: &[f32],
        row: usize,
        out: &mut [f32],
        argmax: &mut [u32],
    ) {
        let c = shape.cin;
        let (image, oy) = (row / shape.oh, row % shape.oh);
        let x = &x[image * shape.h * shape.w * c..(image + 1) * shape.h * shape.w * c];
        let ty = shape.rows_of(oy);
        for (ox, (out, places)) in out.chunks_exact_mut(c).zip(argmax.chunks_exact_mut(c)).enumerate() {
            let mut pixels = window(shape, ty, shape.columns_of(ox));
            let Some(first) = pixels.next() else {
                out.fill(f32::NEG_INFINITY);
                places.fill(NOWHERE);
                continue;
            };
            out.copy_from_slice(&x[first * c..(first + 1) * c]);
            places.fill(first as u32);
            for pixel in pixels {
                let x = &x[pixel * c..(pixel + 1) * c];
                for ((max, place), &x) in out.iter_mut().zip(places.iter_mut()).zip(x) {
                    let larger = x > *max;
                    *max = if larger { x } else { *max };
                    *place = if larger { pixel as u32 } else { *place };
                }
            }
        }
    }
}

simd_fn! {
    fn average_backward_image(
        _s: Simd,
        shape: &ConvShape,
        divisor: Divisor,
        dy: &[f32],
        dx: &mut [f32],
    ) {
        let c = shape.cin;
        for (i, dy) in dy.chunks_exact(c).enumerate() {
            let (oy, ox) = (i / shape.ow, i % shape.ow);
            let weight = weight(shape, divisor, oy, ox);
            for pixel in window(shape, shape.rows_of(oy), shape.columns_of(ox)) {
                let dx = &mut dx[pixel * c..(pixel + 1) * c];
                dx.iter_mut().zip(dy).for_each(|(x, g)| *x += *g * weight);
            }
        }
    }
}

simd_fn! {
    fn spread(_s: Simd, dy: &[f32], scale: f32, dx: &mut [f32], accumulate: bool) {
        for row in dx.chunks_exact_mut(dy.len()) {
            if accumulate {
                row.iter_mut().zip(dy).for_each(|(x, g)| *x += *g * scale);
            } else {
                row.iter_mut().zip(dy).for_each(|(x, g)| *x = *g * scale);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! 8-bit pooling. Sums are i32 and become bytes by one float rounding.

use super::Affine;
use super::requant::Range;
use crate::conv::ConvShape;
use crate::input_rows::{Rows, holds};
use crate::simd::simd_fn;
use crate::{Ctx, Isa};
use serde::{Deserialize, Serialize};

/// Channels that a task keeps sums of on the stack.
const BLOCK: usize = 64;

/// Maximum over windows of `x` `[n, h, w, c]` into `y` `[n, oh, ow, c]`, of the same scale and zero
/// point; taps outside of the image are left out. `shape.cin` and `cout` are both `c`.
///
/// # Panics
/// If a slice does not have the size that `shape` says.
pub fn max_pool(ctx: Ctx, shape: &ConvShape, x: &[u8], y: &mut [u8]) {
    for_each_row(ctx, shape, x, y, |isa, rows, y| {
        max_row(isa, shape, rows, shape.cin, y, shape.cin);
    });
}

/// One row of [`max_pool`], on the calling thread. `rows[ky]` is the input row that row ky of the
/// window meets, its pixels `x_stride` bytes apart, an empty slice where it lies in the padding;
/// `out` is a row of `shape.ow` pixels `out_stride` bytes apart.
///
/// # Panics
/// If a slice is shorter than all this says.
pub fn max_pool_row(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[u8]],
    x_stride: usize,
    out: &mut [u8],
    out_stride: usize,
) {
    check_row(shape, rows, x_stride, out.len(), out_stride);
    max_row(isa, shape, Rows::Slices(rows), x_stride, out, out_stride);
}

/// Mean over windows of `x` `[n, h, w, c]` into `y` `[n, oh, ow, c]`; `clamp` bounds the bytes.
///
/// Padding counts as 0.0 where `count_include_pad` is true (the divisor is then always the number
/// of taps), else not at all.
///
/// # Panics
/// If a slice does not have the size that `shape` says.
pub fn average_pool(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[u8],
    from: Affine,
    to: Affine,
    clamp: (u8, u8),
    count_include_pad: bool,
    y: &mut [u8],
) {
    let mean = Mean::new(from, to, clamp, count_include_pad);
    for_each_row(ctx, shape, x, y, |isa, rows, y| {
        mean_row(isa, shape, mean, rows, shape.cin, y, shape.cin);
    });
}

/// One row of [`average_pool`], on the calling thread; slices as of [`max_pool_row`].
///
/// # Panics
/// If a slice is shorter than all this says.
pub fn average_pool_row(
    isa: Isa,
    shape: &ConvShape,
    mean: &Mean,
    rows: &[&[u8]],
    x_stride: usize,
    out: &mut [u8],
    out_stride: usize,
) {
    check_row(shape, rows, x_stride, out.len(), out_stride);
    mean_row(isa, shape, *mean, Rows::Slices(rows), x_stride, out, out_stride);
}

fn check_row(s: &ConvShape, rows: &[&[u8]], x_stride: usize, out_len: usize, out_stride: usize) {
    s.check();
    assert_eq!(s.cin, s.cout, "pooling keeps the channels");
    assert_eq!(rows.len(), s.kh, "input rows of {s:?}");
    assert!(x_stride >= s.cin && out_stride >= s.cin, "pixels of {s:?} overlap");
    let fits = |row: &&[u8]| row.is_empty() || holds(row.len(), s.w, x_stride, s.cin);
    assert!(rows.iter().all(fits), "an input row is shorter than {s:?} says");
    assert!(holds(out_len, s.ow, out_stride, s.cin), "the output row is too short");
}

/// Mean over all `pixels` pixels of each image of `x` `[n, pixels, c]` into `y` `[n, c]`; `clamp`
/// bounds the bytes. At most 2^23 pixels.
///
/// # Panics
/// If the slices do not fit each other.
pub fn global_average_pool(
    ctx: Ctx,
    pixels: usize,
    channels: usize,
    x: &[u8],
    from: Affine,
    to: Affine,
    clamp: (u8, u8),
    y: &mut [u8],
) {
    assert!(pixels > 0 && pixels <= 1 << 23, "{pixels} pixels: sums would leave i32");
    assert!(channels > 0 && y.len().is_multiple_of(channels), "the output has another size");
    assert_eq!(x.len(), y.len() * pixels, "the image has another size");
    let mean = Mean::new(from, to, clamp, false);
    // A task of whole images would leave a batch of one to one thread.
    let blocks = channels.div_ceil(BLOCK);
    let y = crate::pool::SharedMut::new(y);
    ctx.pool.for_each(x.len() / (pixels * channels) * blocks, &|task| {
        let (image, first) = (task / blocks, task % blocks * BLOCK);
        let width = BLOCK.min(channels - first);
        // SAFETY: each task has its own image and channels.
        let y = unsafe { y.range(image * channels + first, width) };
        let image = &x[image * pixels * channels..][..pixels * channels];
        mean_block(ctx.isa, image, channels, first, mean, y);
    });
}

/// Runs `body(isa, input rows, output row)` for every row of the output.
fn for_each_row(
    ctx: Ctx,
    s: &ConvShape,
    x: &[u8],
    y: &mut [u8],
    body: impl Fn(Isa, Rows<u8>, &mut [u8]) + Sync,
) {
    s.check();
    assert_eq!(s.cin, s.cout, "pooling keeps the channels");
    assert_eq!(x.len(), s.in_len(), "the image has another size");
    assert_eq!(y.len(), s.out_len(), "the output has another size");
    let image_len = s.h * s.w * s.cin;
    ctx.pool.for_each_chunk_mut(y, (s.ow * s.cin).max(1), |task, y| {
        let x = &x[task / s.oh * image_len..][..image_len];
        let first = (task % s.oh * s.sh) as isize - s.pt as isize;
        body(ctx.isa, Rows::Image { x, row_len: s.w * s.cin, first, step: s.dh }, y);
    });
}

/// How a sum over bytes becomes the byte of the mean.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mean {
    zero_point: i32,
    ratio: f32,
    range: Range,
    count_include_pad: bool,
}

impl Mean {
    /// Means of bytes `from` as bytes `to` within `clamp`. With `count_include_pad` the divisor is
    /// always the number of taps.
    pub fn new(from: Affine, to: Affine, clamp: (u8, u8), count_include_pad: bool) -> Mean {
        Mean {
            zero_point: from.zero_point.into(),
            ratio: from.scale / to.scale,
            range: Range::new(to.zero_point, clamp),
            count_include_pad,
        }
    }

    /// The bytes for sums over `count` pixels, as means over `divisor`.
    #[inline(always)]
    fn store(self, sums: &[i32], count: usize, divisor: usize, y: &mut [u8]) {
        // A window that meets no pixel at all is 0.0.
        let multiplier = self.ratio / divisor.max(1) as f32;
        let zero = self.zero_point * count as i32;
        for (y, &sum) in y.iter_mut().zip(sums) {
            *y = self.range.round((sum - zero) as f32 * multiplier);
        }
    }
}

simd_fn! {
    fn max_row(
        _s: Simd, s: &ConvShape, rows: Rows<'_, u8>, x_stride: usize, out: &mut [u8],
        out_stride: usize,
    ) {
        let c = s.cin;
        for (ox, y) in out.chunks_mut(out_stride.max(1)).take(s.ow).enumerate() {
            let y = &mut y[..c];
            y.fill(0);
            let columns = s.columns_of(ox);
            for row in (0..s.kh).map(|ky| rows.get(ky)).filter(|row| !row.is_empty()) {
                for column in 0..columns.count {
                    let x = &row[(columns.at + column * s.dw) * x_stride..][..c];
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = x.max(*y);
                    }
                }
            }
        }
    }
}

simd_fn! {
    fn mean_row(
        _s: Simd, s: &ConvShape, mean: Mean, rows: Rows<'_, u8>, x_stride: usize,
        out: &mut [u8], out_stride: usize,
    ) {
        let c = s.cin;
        let present = (0..s.kh).filter(|&ky| !rows.get(ky).is_empty()).count();
        for (ox, y) in out.chunks_mut(out_stride.max(1)).take(s.ow).enumerate() {
            let columns = s.columns_of(ox);
            let count = present * columns.count;
            let divisor = if mean.count_include_pad { s.kh * s.kw } else { count };
            for (block, y) in y[..c].chunks_mut(BLOCK).enumerate() {
                let mut sums = [0i32; BLOCK];
                for row in (0..s.kh).map(|ky| rows.get(ky)).filter(|row| !row.is_empty()) {
                    for column in 0..columns.count {
                        let pixel = columns.at + column * s.dw;
                        let x = &row[pixel * x_stride + block * BLOCK..][..y.len()];
                        for (sum, &x) in sums.iter_mut().zip(x) {
                            *sum += i32::from(x);
                        }
                    }
                }
                mean.store(&sums, count, divisor, y);
            }
        }
    }
}

simd_fn! {
    /// Channels `first..first + y.len()` of one image.
    fn mean_block(
        _s: Simd, image: &[u8], channels: usize, first: usize, mean: Mean, y: &mut [u8],
    ) {
        let mut sums = [0i32; BLOCK];
        for pixel in image.chunks_exact(channels) {
            for (sum, &x) in sums.iter_mut().zip(&pixel[first..][..y.len()]) {
                *sum += i32::from(x);
            }
        }
        let count = image.len() / channels;
        mean.store(&sums, count, count, y);
    }
}

//! 8-bit pooling. Sums are i32 and become bytes by one float rounding.

use super::Affine;
use super::requant::Range;
use crate::conv::{ConvShape, Taps};
use crate::input_rows::{Rows, holds};
use crate::simd::simd_fn;
use crate::{Ctx, Isa};
use serde::{Deserialize, Serialize};

/// Channels whose maxima are in registers at a time: 64, and fewer of what is left.
const BLOCK: usize = 64;
const HALF: usize = 32;
const QUARTER: usize = 16;

/// Channels that a task of a global mean sums.
const WIDE: usize = 128;

/// Bytes whose sum fits into 16 bits.
const SHORT: usize = 257;

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
    assert_eq!(x.len(), y.len() * pixels, "the image has another size");
    let mean = Mean::new(from, to, clamp, false);
    global_average_pool_strided(ctx, pixels, channels, x, channels, &mean, y);
}

/// As [`global_average_pool`] of pixels `x_stride` bytes apart.
///
/// # Panics
/// If the slices do not fit each other.
pub fn global_average_pool_strided(
    ctx: Ctx,
    pixels: usize,
    channels: usize,
    x: &[u8],
    x_stride: usize,
    mean: &Mean,
    y: &mut [u8],
) {
    let store = |sums: &[i32; WIDE], y: &mut [u8]| mean.store(sums, pixels, pixels, y);
    global_sums(ctx, pixels, channels, x, x_stride, y, store);
}

/// As [`global_average_pool`], into real numbers.
///
/// # Panics
/// If the slices do not fit each other.
pub fn global_average(
    ctx: Ctx,
    pixels: usize,
    channels: usize,
    x: &[u8],
    from: Affine,
    y: &mut [f32],
) {
    assert_eq!(x.len(), y.len() * pixels, "the image has another size");
    // Below 2^31, as there are at most 2^23 pixels.
    let (nothing, ratio) = (i32::from(from.zero_point) * pixels as i32, from.scale / pixels as f32);
    global_sums(ctx, pixels, channels, x, channels, y, |sums, y| {
        y.iter_mut().zip(sums).for_each(|(y, &sum)| *y = (sum - nothing) as f32 * ratio);
    });
}

/// Calls `store` with the sums over all pixels of some channels of an image, and their results.
fn global_sums<T: Send>(
    ctx: Ctx,
    pixels: usize,
    channels: usize,
    x: &[u8],
    x_stride: usize,
    y: &mut [T],
    store: impl Fn(&[i32; WIDE], &mut [T]) + Sync,
) {
    assert!(pixels > 0 && pixels <= 1 << 23, "{pixels} pixels: sums would leave i32");
    assert!(channels > 0 && y.len().is_multiple_of(channels), "the output has another size");
    assert!(x_stride >= channels, "pixels of {channels} channels overlap");
    let images = y.len() / channels;
    assert!(holds(x.len(), images * pixels, x_stride, channels), "the image has another size");
    // A task of whole images would leave a batch of one to one thread.
    let blocks = channels.div_ceil(WIDE);
    let y = crate::pool::SharedMut::new(y);
    ctx.pool.for_each(images * blocks, &|task| {
        let (image, first) = (task / blocks, task % blocks * WIDE);
        let width = WIDE.min(channels - first);
        let mut sums = [0; WIDE];
        sum_block(
            ctx.isa,
            &x[image * pixels * x_stride + first..],
            pixels,
            x_stride,
            width,
            &mut sums,
        );
        // SAFETY: each task has its own image and channels.
        store(&sums, unsafe { y.range(image * channels + first, width) });
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
            let window = Window { s, rows, x_stride, columns: s.columns_of(ox) };
            let mut at = 0;
            while at < c {
                at += match c - at {
                    BLOCK.. => window.max::<BLOCK>(at, y),
                    HALF.. => window.max::<HALF>(at, y),
                    _ if c >= QUARTER => window.max::<QUARTER>(at.min(c - QUARTER), y),
                    _ => window.max::<1>(at, y),
                };
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
            let window = Window { s, rows, x_stride, columns };
            let mut at = 0;
            while at < c {
                at += match c - at {
                    HALF.. => window.mean::<HALF>(mean, [count, divisor], at, y),
                    _ if c >= QUARTER => {
                        let at = at.min(c - QUARTER);
                        window.mean::<QUARTER>(mean, [count, divisor], at, y)
                    }
                    _ => window.mean::<1>(mean, [count, divisor], at, y),
                };
            }
        }
    }
}

/// The input pixels of an output.
#[derive(Clone, Copy)]
struct Window<'a> {
    s: &'a ConvShape,
    rows: Rows<'a, u8>,
    x_stride: usize,
    columns: Taps,
}

impl Window<'_> {
    /// `N` channels from `first` on of pixel `i` of row `ky`.
    #[inline(always)]
    fn channels<'a, const N: usize>(&self, row: &'a [u8], i: usize, first: usize) -> &'a [u8; N] {
        let pixel = self.columns.at + i * self.s.dw;
        let x = row[pixel * self.x_stride + first..].first_chunk();
        x.expect("a row has all channels of its pixels")
    }

    /// Pixels of a row.
    #[inline(always)]
    fn count(&self, row: &[u8]) -> usize {
        if row.is_empty() { 0 } else { self.columns.count }
    }

    /// Maxima of `N` channels; returns `N`. 0 if there are no pixels.
    #[inline(always)]
    fn max<const N: usize>(&self, first: usize, y: &mut [u8]) -> usize {
        let mut max = [0; N];
        for ky in 0..self.s.kh {
            let row = self.rows.get(ky);
            for i in 0..self.count(row) {
                for (max, &x) in max.iter_mut().zip(self.channels::<N>(row, i, first)) {
                    *max = x.max(*max);
                }
            }
        }
        y[first..first + N].copy_from_slice(&max);
        N
    }

    /// Means of `N` channels; returns `N`.
    #[inline(always)]
    fn mean<const N: usize>(
        &self,
        mean: Mean,
        [count, divisor]: [usize; 2],
        first: usize,
        y: &mut [u8],
    ) -> usize {
        let mut sums = [0i32; N];
        for ky in 0..self.s.kh {
            let row = self.rows.get(ky);
            // A part of a row that 16 bits are enough for.
            for part in (0..self.count(row)).step_by(SHORT) {
                let mut short = [0u16; N];
                for i in part..self.count(row).min(part + SHORT) {
                    for (sum, &x) in short.iter_mut().zip(self.channels::<N>(row, i, first)) {
                        *sum += u16::from(x);
                    }
                }
                sums.iter_mut().zip(short).for_each(|(sum, short)| *sum += i32::from(short));
            }
        }
        mean.store(&sums, count, divisor, &mut y[first..first + N]);
        N
    }
}

simd_fn! {
    /// Sums of the first `width` channels of one image.
    fn sum_block(
        _s: Simd, x: &[u8], pixels: usize, x_stride: usize, width: usize, sums: &mut [i32; WIDE],
    ) {
        for first in (0..pixels).step_by(SHORT) {
            let x = &x[first * x_stride..];
            let count = SHORT.min(pixels - first);
            if width == WIDE {
                add_pixels::<WIDE>(x, count, x_stride, sums);
                continue;
            }
            let (pairs, rest) = sums[..width].as_chunks_mut::<HALF>();
            let mut at = 0;
            for sums in pairs {
                add_pixels(&x[at..], count, x_stride, sums);
                at += HALF;
            }
            for x in x[at..].chunks(x_stride).take(count) {
                rest.iter_mut().zip(x).for_each(|(sum, &x)| *sum += i32::from(x));
            }
        }
    }
}

/// Adds `N` channels of at most [`SHORT`] pixels.
#[inline(always)]
fn add_pixels<const N: usize>(x: &[u8], count: usize, x_stride: usize, sums: &mut [i32; N]) {
    let mut short = [0u16; N];
    for x in x.chunks(x_stride).take(count) {
        let x: &[u8; N] = x.first_chunk().expect("a pixel has all channels");
        for (sum, &x) in short.iter_mut().zip(x) {
            *sum += u16::from(x);
        }
    }
    sums.iter_mut().zip(short).for_each(|(sum, short)| *sum += i32::from(short));
}

//! Global average pooling.
//!
//! A thread takes some blocks of channels of an image and sums 8 vectors of them in registers while
//! the pixels pass by: a sum has one addition per pixel, and its latency hides behind the others.

use crate::Ctx;
use crate::pool::SharedMut;
use crate::simd::{LANES, Simd, simd_fn};

/// Channels that are summed at a time.
const BLOCK: usize = 8 * LANES;

/// Floats that are worth a task of their own.
const TASK: usize = 4 * 1024;

/// `out[n, c] = mean over the pixels of x[n, pixels, c]`.
///
/// # Panics
/// If the sizes do not match.
pub fn global_average_pool(ctx: Ctx, channels: usize, pixels: usize, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len() * pixels, "{pixels} pixels per output");
    if out.is_empty() {
        return;
    }
    assert!(channels > 0 && out.len().is_multiple_of(channels), "no whole pixels of {channels}");
    let images = out.len() / channels;
    // Splitting the channels only shares out work; it changes no sum.
    let parts = (channels * pixels / TASK).clamp(1, ctx.pool.threads().div_ceil(images));
    let width = channels.div_ceil(parts).next_multiple_of(LANES);
    let out = SharedMut::new(out);
    ctx.pool.for_each(images * parts, &|task| {
        let (image, first) = (task / parts, task % parts * width);
        if first < channels {
            let len = width.min(channels - first);
            // SAFETY: these channels of this image belong to this task alone.
            let out = unsafe { out.range(image * channels + first, len) };
            let x = &x[image * pixels * channels..][..pixels * channels];
            means(ctx.isa, x, channels, first, out);
        }
    });
}

simd_fn! {
    /// The means of the columns from `first` on of rows of `channels` floats.
    fn means(s: Simd, x: &[f32], channels: usize, first: usize, out: &mut [f32]) {
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = first + i * BLOCK;
            if out.len() == BLOCK {
                block::<S, 8>(s, x, channels, first, out);
                continue;
            }
            let whole = out.len() / (2 * LANES) * (2 * LANES);
            let (pairs, rest) = out.split_at_mut(whole);
            for (k, out) in pairs.chunks_mut(2 * LANES).enumerate() {
                block::<S, 2>(s, x, channels, first + k * 2 * LANES, out);
            }
            for (k, out) in rest.chunks_mut(LANES).enumerate() {
                block::<S, 1>(s, x, channels, first + whole + k * LANES, out);
            }
        }
    }
}

/// The means of `N` vectors of columns, the last one maybe in part.
#[inline(always)]
fn block<S: Simd, const N: usize>(s: S, x: &[f32], channels: usize, first: usize, out: &mut [f32]) {
    let mask = s.first(out.len() - (N - 1) * LANES);
    let mut sums = [s.splat(0.0); N];
    let rows = x.chunks_exact(channels);
    let scale = s.splat(1.0 / rows.len() as f32);
    for row in rows {
        let row = row[first..first + out.len()].as_ptr();
        for i in 0..N {
            let p = row.wrapping_add(i * LANES);
            // SAFETY: the slice has `N` vectors, the last one as many lanes as the mask.
            let x = unsafe { if i + 1 < N { s.load(p) } else { s.load_first(p, mask) } };
            sums[i] = s.add(sums[i], x);
        }
    }
    for i in 0..N {
        let (p, mean) = (out.as_mut_ptr().wrapping_add(i * LANES), s.mul(sums[i], scale));
        // SAFETY: as above.
        unsafe { if i + 1 < N { s.store(p, mean) } else { s.store_first(p, mean, mask) } };
    }
}

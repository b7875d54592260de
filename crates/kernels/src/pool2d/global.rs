//! Global average pooling.
//!
//! An image is summed in chunks of pixels, and the chunks in order. Threads take chunks, as they
//! take rows in the layers before and after: channels instead would make each read what the other
//! wrote, and that costs more than the sums. 8 vectors of channels are summed in registers while
//! the pixels pass by: a sum has one addition per pixel, and its latency hides behind the others.

use crate::Ctx;
use crate::gemm::part;
use crate::pool::SharedMut;
use crate::simd::{LANES, Simd, simd_fn};

/// Channels that are summed at a time.
const BLOCK: usize = 8 * LANES;

/// Chunks of an image that is worth more than one.
const CHUNKS: usize = 4;

/// Floats that are worth several chunks.
const WORTHWHILE: usize = 4 * 1024;

/// Most channels of which several sums fit on the stack.
const MOST_CHANNELS: usize = 2048;

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
    // The shape alone decides, so that the sums do not depend on the threads.
    let several = channels <= MOST_CHANNELS && channels * pixels >= WORTHWHILE;
    let chunks = if several { CHUNKS } else { 1 };
    let image_len = pixels * channels;
    if out.len() == channels {
        return mean(ctx, true, chunks, x, out);
    }
    ctx.pool.for_each_chunk_mut(out, channels, |image, out| {
        mean(ctx, false, chunks, &x[image * image_len..(image + 1) * image_len], out);
    });
}

/// The means of one image, its chunks on all threads if `shared`.
fn mean(ctx: Ctx, shared: bool, chunks: usize, x: &[f32], out: &mut [f32]) {
    let channels = out.len();
    let pixels = x.len() / channels;
    let scale = 1.0 / pixels as f32;
    if chunks == 1 {
        sums(ctx.isa, x, channels, out);
        return out.iter_mut().for_each(|sum| *sum *= scale);
    }
    let mut partial = [0.0; CHUNKS * MOST_CHANNELS];
    let rows = SharedMut::new(&mut partial[..chunks * channels]);
    let chunk = |i: usize| {
        let pixels = part(pixels, i, chunks);
        // SAFETY: chunk i has this row for itself.
        let row = unsafe { rows.range(i * channels, channels) };
        sums(ctx.isa, &x[pixels.start * channels..pixels.end * channels], channels, row);
    };
    if shared {
        ctx.pool.for_each(chunks, &chunk);
    } else {
        (0..chunks).for_each(chunk);
    }
    let (first, rest) = partial[..chunks * channels].split_at_mut(channels);
    for row in rest.chunks_exact(channels) {
        first.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
    }
    out.iter_mut().zip(first).for_each(|(mean, sum)| *mean = *sum * scale);
}

simd_fn! {
    /// The sums of the columns of rows of `channels` floats.
    fn sums(s: Simd, x: &[f32], channels: usize, out: &mut [f32]) {
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = i * BLOCK;
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

/// The sums of `N` vectors of columns, the last one maybe in part.
#[inline(always)]
fn block<S: Simd, const N: usize>(s: S, x: &[f32], channels: usize, first: usize, out: &mut [f32]) {
    let mask = s.first(out.len() - (N - 1) * LANES);
    let mut sums = [s.splat(0.0); N];
    let rows = x.chunks_exact(channels);
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
        let (p, sum) = (out.as_mut_ptr().wrapping_add(i * LANES), sums[i]);
        // SAFETY: as above.
        unsafe { if i + 1 < N { s.store(p, sum) } else { s.store_first(p, sum, mask) } };
    }
}

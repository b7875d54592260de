//! Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) with the activation that follows.
//!
//! As separate operators, normalisation and ReLU6 cost about ten passes over memory per training
//! step, and such layers are limited by memory. Fused they take four: forward one to measure and
//! one to write, backward one to sum (reading the output gradient and the layer's input, from which
//! the activation's mask is recomputed) and one to write.
//!
//! Sums over rows use chunks of a size that depends on the number of channels only. A chunk of 128
//! KiB stays in the second-level cache, so its variance is taken around its own mean in a second
//! pass (no cancellation), and chunks are combined in f64 as in Chan, Golub and LeVeque 1979.

use crate::Ctx;
use crate::simd::{LANES, Simd, simd_fn};

/// Floats of a chunk.
const CHUNK: usize = 32 * 1024;

/// Rows that are taken at a time for each 16 channels of a tensor of `len` floats. Eight save loads
/// of per-channel values. A tensor too large for the caches is walked in order instead, about a
/// kilobyte at a time, because that is what hardware prefetchers follow. No sum depends on it.
fn group_rows(channels: usize, len: usize) -> usize {
    if len < 2 * 1024 * 1024 { 8 } else { (256 / channels.max(1)).clamp(1, 8) }
}

/// Rows of a chunk; sums are taken chunk by chunk.
fn chunk_rows(channels: usize) -> usize {
    (CHUNK / channels.max(1)).max(16)
}

/// Floats of scratch memory that the functions here need for `rows` rows.
pub fn batch_norm_scratch_len(rows: usize, channels: usize) -> usize {
    rows.div_ceil(chunk_rows(channels)) * 2 * channels
}

/// Mean and biased variance of each channel of `y[rows, channels]`.
///
/// # Panics
/// If `mean` or `variance` does not have one value per channel, `y` is not a number of rows, or
/// `scratch` has fewer than [`batch_norm_scratch_len`] floats.
pub fn batch_norm_statistics(
    ctx: Ctx,
    y: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    scratch: &mut [f32],
) {
    let channels = mean.len();
    assert_eq!(variance.len(), channels);
    let rows = row_count(y, channels);
    let (chunk, group) = (chunk_rows(channels), group_rows(channels, y.len()));
    let scratch = &mut scratch[..batch_norm_scratch_len(rows, channels)];
    if rows == 0 {
        mean.fill(0.0);
        variance.fill(0.0);
        return;
    }
    ctx.pool.for_each_chunk_mut(scratch, 2 * channels, |i, out| {
        let rows = &y[i * chunk * channels..((i + 1) * chunk).min(rows) * channels];
        let (mean, squares) = out.split_at_mut(channels);
        chunk_moments(ctx.isa, group, rows, mean, squares);
    });
    for (c, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        let chunks = || {
            scratch.chunks_exact(2 * channels).enumerate().map(|(i, part)| {
                let count = chunk.min(rows - i * chunk) as f64;
                (count, f64::from(part[c]), f64::from(part[channels + c]))
            })
        };
        let total: f64 = chunks().map(|(count, mean, _)| count * mean).sum();
        let centre = total / rows as f64;
        let squares: f64 =
            chunks().map(|(count, mean, squares)| squares + count * (mean - centre).powi(2)).sum();
        *mean = centre as f32;
        *variance = (squares / rows as f64) as f32;
    }
}

/// `1 / sqrt(variance + epsilon)` for each channel.
pub fn inverse_std(variance: &[f32], epsilon: f32, out: &mut [f32]) {
    for (x, &v) in out.iter_mut().zip(variance) {
        *x = (1.0 / (f64::from(v) + f64::from(epsilon)).sqrt()) as f32;
    }
}

/// Moves running statistics towards those of a batch: `running += momentum * (batch - running)`,
/// with the unbiased variance of the batch, as PyTorch does (its default momentum is 0.1).
pub fn update_running(
    momentum: f32,
    rows: usize,
    mean: &[f32],
    variance: &[f32],
    running_mean: &mut [f32],
    running_variance: &mut [f32],
) {
    let unbiased = if rows > 1 { rows as f32 / (rows - 1) as f32 } else { 1.0 };
    for (x, &m) in running_mean.iter_mut().zip(mean) {
        *x += momentum * (m - *x);
    }
    for (x, &v) in running_variance.iter_mut().zip(variance) {
        *x += momentum * (v * unbiased - *x);
    }
}

/// What normalises a channel: `(y - mean) * inverse_std * gamma + beta`, then limits. One value per
/// channel each.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Mean of the batch, or the running mean.
    pub mean: &'a [f32],
    /// From [`inverse_std`].
    pub inverse_std: &'a [f32],
    /// Scale.
    pub gamma: &'a [f32],
    /// Shift.
    pub beta: &'a [f32],
    /// Limits of the activation that follows.
    pub clamp: Option<(f32, f32)>,
}

impl Norm<'_> {
    fn check(&self) -> usize {
        let channels = self.mean.len();
        let all = [self.inverse_std, self.gamma, self.beta];
        assert!(all.iter().all(|x| x.len() == channels), "one value per channel in {self:?}");
        channels
    }

    fn limits(&self) -> (f32, f32) {
        self.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY))
    }
}

/// `z = clamp(normalised y + residual)` for `y[rows, channels]`.
///
/// # Panics
/// If the sizes differ.
pub fn batch_norm(ctx: Ctx, y: &[f32], norm: &Norm, residual: Option<&[f32]>, z: &mut [f32]) {
    let channels = norm.check();
    row_count(y, channels);
    assert_eq!(y.len(), z.len());
    assert!(residual.is_none_or(|x| x.len() == y.len()), "the residual has another size");
    let (chunk, group) = (chunk_rows(channels) * channels, group_rows(channels, y.len()));
    ctx.pool.for_each_chunk_mut(z, chunk, |i, z| {
        let range = i * chunk..i * chunk + z.len();
        let residual = residual.map(|x| &x[range.clone()]);
        normalise(ctx.isa, group, &y[range], norm, residual, z);
    });
}

/// Which statistics a normalisation used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the batch: they depend on the input, and the gradient flows through them.
    Batch,
    /// Fixed ones.
    Running,
}

/// The gradients of [`batch_norm`] without residual: from `dz`, the gradient of its output, and
/// `y`, its input, to `dy`, and the gradients of `gamma` and `beta`, which replace the old content.
/// The activation passes a gradient where its input lies strictly between the limits.
///
/// # Panics
/// If the sizes differ or `scratch` has fewer than [`batch_norm_scratch_len`] floats.
pub fn batch_norm_backward(
    ctx: Ctx,
    dz: &[f32],
    y: &[f32],
    norm: &Norm,
    statistics: Statistics,
    dy: &mut [f32],
    d_gamma: &mut [f32],
    d_beta: &mut [f32],
    scratch: &mut [f32],
) {
    let channels = norm.check();
    let rows = row_count(y, channels);
    assert!(dz.len() == y.len() && dy.len() == y.len(), "gradients have the size of y");
    assert!(d_gamma.len() == channels && d_beta.len() == channels, "one value per channel");
    let (chunk, group) = (chunk_rows(channels), group_rows(channels, y.len()));
    let scratch = &mut scratch[..batch_norm_scratch_len(rows, channels)];
    ctx.pool.for_each_chunk_mut(scratch, 2 * channels, |i, sums| {
        let range = i * chunk * channels..((i + 1) * chunk).min(rows) * channels;
        let (plain, centred) = sums.split_at_mut(channels);
        gradient_sums(ctx.isa, group, &dz[range.clone()], &y[range], norm, plain, centred);
    });
    for c in 0..channels {
        let sum = |offset: usize| -> f64 {
            scratch.chunks_exact(2 * channels).map(|part| f64::from(part[offset + c])).sum()
        };
        d_beta[c] = sum(0) as f32;
        d_gamma[c] = (sum(channels) * f64::from(norm.inverse_std[c])) as f32;
    }
    let rows = if statistics == Statistics::Batch { rows as f32 } else { f32::INFINITY };
    let (d_gamma, d_beta) = (&*d_gamma, &*d_beta);
    ctx.pool.for_each_chunk_mut(dy, chunk * channels, |i, dy| {
        let range = i * chunk * channels..i * chunk * channels + dy.len();
        input_gradient(
            ctx.isa,
            group,
            &dz[range.clone()],
            &y[range],
            norm,
            d_gamma,
            d_beta,
            rows,
            dy,
        );
    });
}

fn row_count(y: &[f32], channels: usize) -> usize {
    let rows = y.len() / channels.max(1);
    assert_eq!(rows * channels, y.len(), "{} floats are no rows of {channels}", y.len());
    rows
}

simd_fn! {
    /// Mean of each channel of a chunk, and the sum of squared distances to it.
    fn chunk_moments(s: Simd, group: usize, y: &[f32], mean: &mut [f32], squares: &mut [f32]) {
        let channels = mean.len();
        mean.fill(0.0);
        squares.fill(0.0);
        let group = group * channels;
        for rows in y.chunks(group) {
            for c in (0..channels).step_by(LANES) {
                let mask = s.first(channels - c);
                // SAFETY: the mask ends with the channels of the row at hand.
                unsafe {
                    let sum = mean.as_mut_ptr().wrapping_add(c);
                    let mut acc = s.load_first(sum, mask);
                    for row in rows.chunks_exact(channels) {
                        acc = s.add(acc, s.load_first(row.as_ptr().wrapping_add(c), mask));
                    }
                    s.store_first(sum, acc, mask);
                }
            }
        }
        let count = (y.len() / channels) as f32;
        mean.iter_mut().for_each(|x| *x /= count);
        for rows in y.chunks(group) {
            for c in (0..channels).step_by(LANES) {
                let mask = s.first(channels - c);
                // SAFETY: the mask ends with the channels of the row at hand.
                unsafe {
                    let sum = squares.as_mut_ptr().wrapping_add(c);
                    let centre = s.load_first(mean.as_ptr().wrapping_add(c), mask);
                    let mut acc = s.load_first(sum, mask);
                    for row in rows.chunks_exact(channels) {
                        let x = s.sub(s.load_first(row.as_ptr().wrapping_add(c), mask), centre);
                        acc = s.fma(x, x, acc);
                    }
                    s.store_first(sum, acc, mask);
                }
            }
        }
    }
}

/// Mean, scale and shift of 16 channels: `(y - mean) * scale + shift` is the normalised value. With
/// the mean folded into the shift, a mean far from zero would cost digits.
struct Affine<V> {
    mean: V,
    scale: V,
    shift: V,
}

impl<V: Copy> Affine<V> {
    /// Of the channels from `c` on.
    ///
    /// # Safety
    /// The mask must select channels that exist.
    #[inline(always)]
    unsafe fn load<S: Simd<V = V>>(s: S, norm: &Norm, c: usize, mask: S::Mask) -> Affine<V> {
        // SAFETY: all slices have one value per channel.
        let load = |x: &[f32]| unsafe { s.load_first(x.as_ptr().wrapping_add(c), mask) };
        let scale = s.mul(load(norm.gamma), load(norm.inverse_std));
        Affine { mean: load(norm.mean), scale, shift: load(norm.beta) }
    }

    #[inline(always)]
    fn apply<S: Simd<V = V>>(&self, s: S, x: V) -> V {
        s.fma(s.sub(x, self.mean), self.scale, self.shift)
    }
}

simd_fn! {
    fn normalise(
        s: Simd,
        group: usize,
        y: &[f32],
        norm: &Norm<'_>,
        residual: Option<&[f32]>,
        z: &mut [f32],
    ) {
        let channels = norm.mean.len();
        let (lo, hi) = norm.limits();
        let (lo, hi) = (s.splat(lo), s.splat(hi));
        let rows = y.len() / channels;
        for first in (0..rows).step_by(group) {
            let last = (first + group).min(rows);
            for c in (0..channels).step_by(LANES) {
                let mask = s.first(channels - c);
                // SAFETY: the mask ends with the channels of the row at hand; `batch_norm` has
                // checked that all tensors have the same size.
                unsafe {
                    let affine = Affine::load(s, norm, c, mask);
                    for row in first..last {
                        let at = row * channels + c;
                        let mut v = affine.apply(s, s.load_first(y.as_ptr().wrapping_add(at), mask));
                        if let Some(x) = residual {
                            v = s.add(v, s.load_first(x.as_ptr().wrapping_add(at), mask));
                        }
                        s.store_first(z.as_mut_ptr().wrapping_add(at), s.clamp(v, lo, hi), mask);
                    }
                }
            }
        }
    }
}

/// The gradient at the input of the activation, and the distance of `y` to its mean, at offset `at`.
///
/// # Safety
/// The mask must select elements that exist.
#[inline(always)]
unsafe fn masked_gradient<S: Simd>(
    s: S,
    (dz, y, at): (&[f32], &[f32], usize),
    affine: &Affine<S::V>,
    limits: Option<(S::V, S::V)>,
    mask: S::Mask,
) -> (S::V, S::V) {
    // SAFETY: by contract.
    let (g, x) = unsafe {
        (
            s.load_first(dz.as_ptr().wrapping_add(at), mask),
            s.load_first(y.as_ptr().wrapping_add(at), mask),
        )
    };
    let distance = s.sub(x, affine.mean);
    match limits {
        Some((lo, hi)) => (s.if_between(affine.apply(s, x), lo, hi, g), distance),
        None => (g, distance),
    }
}

simd_fn! {
    /// Sums of the masked gradient, plain and times the distance of `y` to its mean.
    fn gradient_sums(
        s: Simd,
        group: usize,
        dz: &[f32],
        y: &[f32],
        norm: &Norm<'_>,
        plain: &mut [f32],
        centred: &mut [f32],
    ) {
        let channels = norm.mean.len();
        let limits = norm.clamp.map(|(lo, hi)| (s.splat(lo), s.splat(hi)));
        plain.fill(0.0);
        centred.fill(0.0);
        let rows = y.len() / channels;
        for first in (0..rows).step_by(group) {
            let last = (first + group).min(rows);
            for c in (0..channels).step_by(LANES) {
                let mask = s.first(channels - c);
                // SAFETY: the mask ends with the channels of the row at hand; the caller has
                // checked that all tensors have the same size.
                unsafe {
                    let affine = Affine::load(s, norm, c, mask);
                    let plain = plain.as_mut_ptr().wrapping_add(c);
                    let centred = centred.as_mut_ptr().wrapping_add(c);
                    let mut sum = s.load_first(plain, mask);
                    let mut product = s.load_first(centred, mask);
                    for row in first..last {
                        let at = (dz, y, row * channels + c);
                        let (g, distance) = masked_gradient(s, at, &affine, limits, mask);
                        sum = s.add(sum, g);
                        product = s.fma(g, distance, product);
                    }
                    s.store_first(plain, sum, mask);
                    s.store_first(centred, product, mask);
                }
            }
        }
    }
}

simd_fn! {
    /// `gamma * inverse_std * (g - d_beta / rows - normalised * d_gamma / rows)` with the masked
    /// gradient g. With infinitely many rows that is the gradient for fixed statistics.
    fn input_gradient(
        s: Simd,
        group: usize,
        dz: &[f32],
        y: &[f32],
        norm: &Norm<'_>,
        d_gamma: &[f32],
        d_beta: &[f32],
        rows: f32,
        dy: &mut [f32],
    ) {
        let channels = norm.mean.len();
        let limits = norm.clamp.map(|(lo, hi)| (s.splat(lo), s.splat(hi)));
        let count = y.len() / channels;
        let per_row = s.splat(-1.0 / rows);
        for first in (0..count).step_by(group) {
            let last = (first + group).min(count);
            for c in (0..channels).step_by(LANES) {
                let mask = s.first(channels - c);
                // SAFETY: the mask ends with the channels of the row at hand; the caller has
                // checked that all tensors have the same size.
                unsafe {
                    let load = |x: &[f32]| s.load_first(x.as_ptr().wrapping_add(c), mask);
                    let affine = Affine::load(s, norm, c, mask);
                    let offset = s.mul(s.mul(affine.scale, load(d_beta)), per_row);
                    let slope = s.mul(affine.scale, s.mul(load(norm.inverse_std), load(d_gamma)));
                    let slope = s.mul(slope, per_row);
                    for row in first..last {
                        let at = (dz, y, row * channels + c);
                        let (g, distance) = masked_gradient(s, at, &affine, limits, mask);
                        let v = s.fma(g, affine.scale, s.fma(distance, slope, offset));
                        s.store_first(dy.as_mut_ptr().wrapping_add(at.2), v, mask);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

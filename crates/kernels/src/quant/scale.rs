//! 8-bit images times a number a channel: what squeeze-excitation does (Hu et al. 2018).
//!
//! ```text
//! f[c] = (gate[c] - zg) * (sx * sg / sy)
//! y = clamp(round_half_even((x - zx) * f[c]) + zy)
//! ```
//!
//! in float32: one rounding a result, and no division.

use serde::{Deserialize, Serialize};

use super::Affine;
use super::requant::Range;
use crate::pool::SharedMut;
use crate::simd::simd_fn;
use crate::{Ctx, Isa};

/// What the bytes of the image, of the gates and of the result stand for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Scale {
    x_zero: i32,
    gate_zero: i32,
    /// `sx * sg / sy`
    multiplier: f32,
    range: Range,
}

impl Scale {
    /// Of images `x` times `gate` to `y`, whose bytes `clamp` bounds.
    pub fn new(x: Affine, gate: Affine, y: Affine, clamp: (u8, u8)) -> Scale {
        Scale {
            x_zero: x.zero_point.into(),
            gate_zero: gate.zero_point.into(),
            multiplier: x.scale * gate.scale / y.scale,
            range: Range::new(y.zero_point, clamp),
        }
    }

    /// The factor of the byte less its zero point.
    #[inline(always)]
    fn factor(self, gate: u8) -> f32 {
        (i32::from(gate) - self.gate_zero) as f32 * self.multiplier
    }

    #[inline(always)]
    fn apply(self, x: u8, factor: f32) -> u8 {
        self.range.round((i32::from(x) - self.x_zero) as f32 * factor)
    }
}

/// Bytes of factors in the first-level cache: those of a block of channels.
const BLOCK: usize = 1024;

/// Bytes of the image that are worth a task.
const TASK: usize = 16 * 1024;

/// Multiplies each pixel of `x` `[n, pixels, channels]` by `gates`, `[n, channels]` or `[channels]`
/// for all images, into `y` of the size of `x`.
///
/// # Panics
/// If the slices do not fit each other.
pub fn scale_channels(
    ctx: Ctx,
    scale: Scale,
    [pixels, channels]: [usize; 2],
    x: &[u8],
    gates: &[u8],
    y: &mut [u8],
) {
    let image = pixels * channels;
    assert_eq!(x.len(), y.len(), "image and result of one size");
    if x.is_empty() {
        return;
    }
    assert!(image > 0 && x.len().is_multiple_of(image), "not whole images");
    let images = x.len() / image;
    let own = gates.len() == images * channels;
    assert!(own || gates.len() == channels, "one gate a channel");
    let parts = (image / TASK).clamp(1, ctx.pool.threads()).min(pixels);
    let y = SharedMut::new(y);
    ctx.pool.for_each(images * parts, &|task| {
        let (index, part) = (task / parts, task % parts);
        let [first, end] = [part, part + 1].map(|p| pixels * p / parts);
        let gates = if own { &gates[index * channels..][..channels] } else { gates };
        let (start, len) = (index * image + first * channels, (end - first) * channels);
        // SAFETY: each task has its own pixels.
        let y = unsafe { y.range(start, len) };
        scale_pixels(ctx.isa, scale, &x[start..][..len], gates, y);
    });
}

/// Pixels of one image.
fn scale_pixels(isa: Isa, scale: Scale, x: &[u8], gates: &[u8], y: &mut [u8]) {
    let channels = gates.len();
    let mut factors = [0.0; BLOCK];
    if 2 * channels <= BLOCK {
        // Several pixels in a row make long loops of few channels; their factors are copies, since a
        // remainder for each costs more than the products of a small image.
        let repeated = (BLOCK / channels * channels).min(x.len());
        for (factor, &gate) in factors.iter_mut().zip(gates) {
            *factor = scale.factor(gate);
        }
        let mut known = channels;
        while known < repeated {
            let more = known.min(repeated - known);
            factors.copy_within(..more, known);
            known += more;
        }
        for (x, y) in x.chunks(repeated).zip(y.chunks_mut(repeated)) {
            row(isa, scale, x, &factors[..x.len()], y);
        }
        return;
    }
    for first in (0..channels).step_by(BLOCK) {
        let width = BLOCK.min(channels - first);
        for (factor, &gate) in factors.iter_mut().zip(&gates[first..][..width]) {
            *factor = scale.factor(gate);
        }
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            let (x, y) = (&x[first..][..width], &mut y[first..][..width]);
            row(isa, scale, x, &factors[..width], y);
        }
    }
}

simd_fn! {
    fn row(_s: Simd, scale: Scale, x: &[u8], factors: &[f32], y: &mut [u8]) {
        for ((y, &x), &factor) in y.iter_mut().zip(x).zip(factors) {
            *y = scale.apply(x, factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cases, everywhere, random_bytes};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn every_pixel_is_multiplied_by_its_gates(
            images in 1usize..3, pixels in 1usize..400, channels in 1usize..130, shared: bool,
            wide: bool, zeros: [u8; 3], seed: u64,
        ) {
            let channels = if wide { channels * 19 } else { channels };
            let pixels = if wide { pixels % 30 + 1 } else { pixels };
            let affines = [0.02, 0.004, 0.013];
            let [x, gate, y] = [0, 1, 2].map(|i| Affine::new(affines[i], zeros[i]));
            let scale = Scale::new(x, gate, y, (3, 251));
            let image = random_bytes(images * pixels * channels, seed);
            let gates = random_bytes(if shared { channels } else { images * channels }, seed ^ 1);
            let got = everywhere(|ctx| {
                let mut out = vec![0; image.len()];
                scale_channels(ctx, scale, [pixels, channels], &image, &gates, &mut out);
                out.into_iter().map(f32::from).collect()
            });
            for (i, &byte) in got.iter().enumerate() {
                let at = i / (pixels * channels) * channels + i % channels;
                let gate_byte = gates[at % gates.len()];
                let factor = (f32::from(gate_byte) - f32::from(zeros[1]))
                    * (affines[0] * affines[1] / affines[2]);
                let u = (f32::from(image[i]) - f32::from(zeros[0])) * factor;
                let want = (u.round_ties_even() + f32::from(zeros[2])).clamp(3.0, 251.0);
                prop_assert_eq!(byte, want);
            }
        }
    }
}

//! The map between real numbers and bytes.

use serde::{Deserialize, Serialize};

use super::requant::{MAGIC, MAGIC_BITS, Range};
use crate::Ctx;
use crate::pool::SharedMut;
use crate::simd::{Simd, simd_fn};

/// `real = (byte - zero_point) * scale`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// Distance of two neighbouring bytes; positive and finite.
    pub scale: f32,
    /// The byte that stands for 0.0.
    pub zero_point: u8,
}

impl Affine {
    /// A map of this scale and zero point.
    pub fn new(scale: f32, zero_point: u8) -> Affine {
        Affine { scale, zero_point }
    }

    /// The byte nearest to `x`, ties to even, saturated; NaN gives 0. As ONNX QuantizeLinear.
    #[inline(always)]
    pub fn quantize(self, x: f32) -> u8 {
        let zero = i32::from(self.zero_point);
        let (low, high) = (-zero as f32, (255 - zero) as f32);
        let v = x / self.scale;
        let v = if v > low { v } else { low };
        let v = if v < high { v } else { high };
        ((v + MAGIC).to_bits() as i32 - MAGIC_BITS + zero) as u8
    }

    /// The real number that `q` stands for. As ONNX DequantizeLinear.
    #[inline(always)]
    pub fn dequantize(self, q: u8) -> f32 {
        (i32::from(q) - i32::from(self.zero_point)) as f32 * self.scale
    }
}

/// [`Affine::quantize`] of many numbers: `x / scale` from multiplications.
///
/// A division takes a vector unit ten cycles or more. With `r` the reciprocal of the scale, rounded
/// once, `q = x r` is within two units in the last place of the quotient; `q + r (x - q s)` is within
/// one, and the same step once more then gives the quotient as a division rounds it (Markstein,
/// "Computation of elementary functions on the IBM RISC System/6000 processor", theorem 8.6), if
/// nothing overflows: numbers beyond all bytes are limited before, and scales are not extreme.
#[derive(Clone, Copy)]
pub(super) struct Quantizer {
    scale: f32,
    inverse: f32,
    /// A number far beyond all bytes.
    limit: f32,
    range: Range,
}

impl Quantizer {
    /// `clamp` bounds the bytes.
    pub fn new(affine: Affine, clamp: (u8, u8)) -> Quantizer {
        let Affine { scale, zero_point } = affine;
        let range = Range::new(zero_point, clamp);
        Quantizer { scale, inverse: 1.0 / scale, limit: 1024.0 * scale, range }
    }

    /// `y = clamp(affine.quantize(x))` for every element.
    #[inline(always)]
    pub fn quantize_all<S: Simd>(self, _s: S, x: &[f32], y: &mut [u8]) {
        // Without vectors there may be no fused multiply-add.
        if S::REGISTERS > 0 && self.multiplies() {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = self.by_multiplication(x));
        } else {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = self.by_division(x));
        }
    }

    /// Whether multiplications are exact.
    #[inline(always)]
    fn multiplies(self) -> bool {
        const EXTREME: f32 = (1u64 << 60) as f32;
        self.scale > 1.0 / EXTREME && self.scale < EXTREME
    }

    #[inline(always)]
    fn by_division(self, x: f32) -> u8 {
        self.range.round(x / self.scale)
    }

    #[inline(always)]
    fn by_multiplication(self, x: f32) -> u8 {
        let x = if x > self.limit { self.limit } else { x };
        let x = if x < -self.limit { -self.limit } else { x };
        let q = x * self.inverse;
        let q = (-q).mul_add(self.scale, x).mul_add(self.inverse, q);
        let q = (-q).mul_add(self.scale, x).mul_add(self.inverse, q);
        self.range.round(q)
    }
}

/// Elements that one task converts.
const CHUNK: usize = 16 * 1024;

/// `y = affine.quantize(x)` for every element.
///
/// # Panics
/// If the slices differ in length.
pub fn quantize(ctx: Ctx, x: &[f32], affine: Affine, y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "as many bytes as numbers");
    ctx.pool.for_each_chunk_mut(y, CHUNK, |i, y| {
        quantize_chunk(ctx.isa, &x[i * CHUNK..][..y.len()], affine, y);
    });
}

/// `y = affine.dequantize(x)` for every element.
///
/// # Panics
/// If the slices differ in length.
pub fn dequantize(ctx: Ctx, x: &[u8], affine: Affine, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "as many numbers as bytes");
    ctx.pool.for_each_chunk_mut(y, CHUNK, |i, y| {
        dequantize_chunk(ctx.isa, &x[i * CHUNK..][..y.len()], affine, y);
    });
}

/// Planes `x` `[n, channels, pixels]` to pixels `y` `[n, pixels, 4]`, each byte `affine.quantize(x)`;
/// bytes of channels that do not exist are 0. A product takes 4 bytes at a time.
///
/// # Panics
/// If there are more than 4 channels or none, or a slice has another size.
pub fn quantize_planes(
    ctx: Ctx,
    channels: usize,
    pixels: usize,
    x: &[f32],
    affine: Affine,
    y: &mut [u8],
) {
    assert!((1..=4).contains(&channels), "{channels} planes");
    let images = if pixels == 0 { 0 } else { x.len() / (channels * pixels) };
    assert_eq!(x.len(), images * channels * pixels, "the planes have another size");
    assert_eq!(y.len(), images * pixels * 4, "the pixels have another size");
    let parts = pixels.div_ceil(CHUNK);
    let y = SharedMut::new(y);
    ctx.pool.for_each(images * parts, &|task| {
        let (image, first) = (task / parts.max(1), task % parts.max(1) * CHUNK);
        let count = CHUNK.min(pixels - first);
        // SAFETY: each task has its own pixels.
        let y = unsafe { y.range((image * pixels + first) * 4, count * 4) };
        let plane = |c: usize| {
            let c = c.min(channels - 1);
            &x[(image * channels + c) * pixels + first..][..count]
        };
        planes_chunk(ctx.isa, channels, [0, 1, 2, 3].map(plane), affine, y);
    });
}

/// Pixels whose bytes wait for each other.
const BLOCK: usize = 256;

simd_fn! {
    fn planes_chunk(
        s: Simd, channels: usize, planes: [&[f32]; 4], affine: Affine, y: &mut [u8],
    ) {
        // Planes first, then pixels: both are loops over neighbours.
        let quantizer = Quantizer::new(affine, (0, 255));
        let mut bytes = [[0u8; BLOCK]; 4];
        for (i, y) in y.chunks_mut(4 * BLOCK).enumerate() {
            let count = y.len() / 4;
            for (bytes, plane) in bytes.iter_mut().zip(planes).take(channels) {
                quantizer.quantize_all(s, &plane[i * BLOCK..][..count], &mut bytes[..count]);
            }
            let [a, b, c, d] = &bytes;
            for (p, y) in y.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let wide = |byte: u8, shift: u32| u32::from(byte) << shift;
                let pixel = wide(a[p], 0) | wide(b[p], 8) | wide(c[p], 16) | wide(d[p], 24);
                *y = pixel.to_le_bytes();
            }
        }
    }
}

simd_fn! {
    fn quantize_chunk(s: Simd, x: &[f32], affine: Affine, y: &mut [u8]) {
        Quantizer::new(affine, (0, 255)).quantize_all(s, x, y);
    }
}

simd_fn! {
    fn dequantize_chunk(_s: Simd, x: &[u8], affine: Affine, y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = affine.dequantize(x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::testing::{cases, everywhere, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(256))]

        /// Quotients near a tie, where the last place decides.
        #[test]
        fn multiplication_rounds_as_division_does(
            bits in 0x0080_0000u32..0x7f80_0000, zero_point: u8, seed: u64,
        ) {
            let affine = Affine::new(f32::from_bits(bits), zero_point);
            let mut x = vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, -0.0, 1e-45];
            for (i, noise) in random(1024, seed).into_iter().enumerate() {
                let tie = ((i % 513) as f32 - 256.5) * affine.scale;
                let near = f32::from_bits(tie.to_bits().wrapping_add_signed((noise * 4.0) as i32));
                x.extend([near, noise * 300.0 * affine.scale]);
            }
            let want: Vec<u8> = x.iter().map(|&x| affine.quantize(x)).collect();
            for isa in Isa::available() {
                let mut y = vec![0; x.len()];
                quantize_chunk(isa, &x, affine, &mut y);
                prop_assert_eq!(&y, &want, "{} with scale {}", isa.name(), affine.scale);
            }
        }
    }

    #[test]
    fn planes_become_pixels_of_four_bytes() {
        let affine = Affine::new(0.013, 101);
        for (channels, pixels) in [(1, 7), (2, 40), (3, CHUNK + 5), (4, 33)] {
            let x = random(2 * channels * pixels, pixels as u64);
            let got = everywhere(|ctx| {
                let mut y = vec![9; 2 * pixels * 4];
                quantize_planes(ctx, channels, pixels, &x, affine, &mut y);
                y.into_iter().map(f32::from).collect()
            });
            for (i, &byte) in got.iter().enumerate() {
                let (pixel, c) = (i / 4, i % 4);
                let (image, pixel) = (pixel / pixels, pixel % pixels);
                let at = (image * channels + c) * pixels + pixel;
                let want = if c < channels { affine.quantize(x[at]) } else { 0 };
                assert_eq!(byte, f32::from(want), "pixel {pixel} of {pixels}, channel {c}");
            }
        }
    }
}

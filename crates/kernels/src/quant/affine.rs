//! The map between real numbers and bytes.

use serde::{Deserialize, Serialize};

use super::requant::{MAGIC, MAGIC_BITS};
use crate::Ctx;
use crate::simd::simd_fn;

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

simd_fn! {
    fn quantize_chunk(_s: Simd, x: &[f32], affine: Affine, y: &mut [u8]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = affine.quantize(x);
        }
    }
}

simd_fn! {
    fn dequantize_chunk(_s: Simd, x: &[u8], affine: Affine, y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = affine.dequantize(x);
        }
    }
}

//! From i32 sums back to bytes, or to floats.
//!
//! `y = clamp(round_half_even(sum * multiplier) + zero_point)` with `multiplier = sx * sw / sy` in
//! float32, as ONNX Runtime computes QLinearConv: no fixed-point multiplier, hence no drift.
//!
//! Rounding: a float of magnitude below 2^22 that is added to 1.5 * 2^23 loses its fraction by the
//! default rounding of the addition, half to even, and the integer appears in the low bits of the
//! sum. Values are limited to -255..=255 first, so the trick is exact, and it is plain addition:
//! it vectorises everywhere and gives the same bits everywhere.

use serde::{Deserialize, Serialize};

use crate::arena::Plain;
use crate::{Activation, Blob};

use super::Affine;

/// 1.5 * 2^23.
pub(super) const MAGIC: f32 = 12_582_912.0;
/// The bits of [`MAGIC`].
pub(super) const MAGIC_BITS: i32 = 0x4b40_0000;

/// Kernels read the parameters of 16 channels at once, from any first channel.
const PADDING: usize = 16;

/// Turns the sums of each output channel into bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requant {
    channels: usize,
    /// Applied to the real numbers before they are rounded; limits are in `range`.
    pub(super) activation: Activation,
    /// `sy` and `1 / sy`.
    pub(super) scale: f32,
    pub(super) inverse: f32,
    /// `sx * sw / sy` a channel, then padding.
    pub(super) multiplier: Blob<f32>,
    /// `bias - zx * sum(w)` a channel, then padding.
    pub(super) bias: Blob<i32>,
    /// Whether no sum times its multiplier leaves the range of i32.
    pub(super) bounded: bool,
    pub(super) range: Range,
}

/// Zero point and bounds of the result.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Range {
    pub zero_point: i32,
    /// Lowest and highest byte less the zero point.
    pub low: f32,
    pub high: f32,
}

impl Range {
    pub fn new(zero_point: u8, (low, high): (u8, u8)) -> Range {
        let zero_point = i32::from(zero_point);
        let offset = |byte: u8| (i32::from(byte) - zero_point) as f32;
        Range { zero_point, low: offset(low), high: offset(high) }
    }

    /// The lowest and the highest byte, of which the highest wins where they cross.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn bytes(self) -> (u8, u8) {
        let byte =
            |offset: f32| (offset as i32).saturating_add(self.zero_point).clamp(0, 255) as u8;
        (byte(self.low), byte(self.high))
    }

    /// The byte nearest to `v + zero_point` within the bounds; the lowest for NaN.
    #[inline(always)]
    pub fn round(self, v: f32) -> u8 {
        let v = if v > self.low { v } else { self.low };
        let v = if v < self.high { v } else { self.high };
        ((v + MAGIC).to_bits() as i32 - MAGIC_BITS + self.zero_point) as u8
    }
}

impl Requant {
    /// The map from sums of `x * w` to `y`.
    ///
    /// `weight_scales` has one scale, or one a channel; `weight_sums` the sum of each channel's
    /// weights ([`super::PackedWeights::sums`]); `bias` is in units of `x.scale * weight_scale`;
    /// `clamp` bounds the bytes of the result, `(0, 255)` where no activation is fused.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn new(
        x: Affine,
        weight_scales: &[f32],
        weight_sums: &[i32],
        bias: Option<&[i32]>,
        y: Affine,
        clamp: (u8, u8),
    ) -> Requant {
        let channels = weight_sums.len();
        let multiplier = padded(channels, |c| x.scale * scale_of(weight_scales, c) / y.scale);
        Requant {
            channels,
            activation: Activation::None,
            scale: y.scale,
            inverse: 1.0 / y.scale,
            bounded: multiplier.iter().all(|multiplier| multiplier.abs() <= 0.5),
            multiplier,
            bias: folded_bias(x, weight_sums, bias),
            range: Range::new(y.zero_point, clamp),
        }
    }

    /// What is applied to the real numbers, limits aside.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// The same map with a function of the real numbers before they are rounded. A clamp only
    /// narrows the limits of the bytes, to those of its ends.
    pub fn activated(self, activation: Activation) -> Requant {
        let Activation::Clamp(lo, hi) = activation else { return Requant { activation, ..self } };
        let Range { zero_point, low, high } = self.range;
        let end = |x: f32| self.range.round(x / self.scale) as f32 - zero_point as f32;
        let range = Range { zero_point, low: low.max(end(lo)), high: high.min(end(hi)) };
        Requant { range, ..self }
    }

    /// Whether it has all parameters of `channels` channels: one from a file may lack some.
    pub fn fit(&self, channels: usize) -> bool {
        let lens = [self.multiplier.len(), self.bias.len()];
        self.channels == channels
            && lens.iter().all(|&len| len.checked_sub(PADDING) == Some(channels))
    }

    /// Number of output channels, padding aside.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bytes of its parameters.
    pub fn bytes(&self) -> usize {
        4 * (self.multiplier.len() + self.bias.len())
    }

    /// The byte of channel `c` for the sum `acc`.
    #[inline(always)]
    pub fn apply(&self, c: usize, acc: i32) -> u8 {
        self.range.round(acc.wrapping_add(self.bias[c]) as f32 * self.multiplier[c])
    }
}

/// Turns the sums of each output channel into real numbers, for the last layer of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dequant {
    channels: usize,
    /// `sx * sw` a channel, then padding.
    pub(super) scale: Blob<f32>,
    /// `bias - zx * sum(w)` a channel, then padding.
    pub(super) bias: Blob<i32>,
}

impl Dequant {
    /// The map from sums of `x * w` to real numbers; arguments as of [`Requant::new`].
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn new(
        x: Affine,
        weight_scales: &[f32],
        weight_sums: &[i32],
        bias: Option<&[i32]>,
    ) -> Dequant {
        let channels = weight_sums.len();
        let scale = padded(channels, |c| x.scale * scale_of(weight_scales, c));
        Dequant { channels, scale, bias: folded_bias(x, weight_sums, bias) }
    }

    /// Whether it has all parameters of `channels` channels: one from a file may lack some.
    pub fn fit(&self, channels: usize) -> bool {
        let lens = [self.scale.len(), self.bias.len()];
        self.channels == channels
            && lens.iter().all(|&len| len.checked_sub(PADDING) == Some(channels))
    }

    /// Number of output channels, padding aside.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bytes of its parameters.
    pub fn bytes(&self) -> usize {
        4 * (self.scale.len() + self.bias.len())
    }

    /// The number of channel `c` for the sum `acc`.
    #[inline(always)]
    pub fn apply(&self, c: usize, acc: i32) -> f32 {
        acc.wrapping_add(self.bias[c]) as f32 * self.scale[c]
    }
}

fn scale_of(scales: &[f32], channel: usize) -> f32 {
    if scales.len() == 1 { scales[0] } else { scales[channel] }
}

fn padded<T: Plain + Default>(channels: usize, f: impl FnMut(usize) -> T) -> Blob<T> {
    let padding = (0..PADDING).map(|_| T::default());
    (0..channels).map(f).chain(padding).collect()
}

/// `bias - zx * sum(w)`, modulo 2^32 like the sums it is added to.
fn folded_bias(x: Affine, weight_sums: &[i32], bias: Option<&[i32]>) -> Blob<i32> {
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weight_sums.len(), "one bias a channel");
    }
    let zero_point = i32::from(x.zero_point);
    padded(weight_sums.len(), |c| {
        let bias = bias.map_or(0, |b| b[c]);
        bias.wrapping_sub(zero_point.wrapping_mul(weight_sums[c]))
    })
}

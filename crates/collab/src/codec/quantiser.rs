//! Ranges and bits of channels.

use serde::{Deserialize, Serialize};

use super::BITS;

/// Ranges that are tried, as shares of what was seen: narrower ones clip, wider ones have coarser steps
/// than the fewest bits would give.
const SHARES: [f32; 16] =
    [0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0];

/// A uniform quantiser: level `l` stands for `low + l * step`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Channel {
    pub low: f32,
    pub step: f32,
    pub bits: u8,
    /// Whose probabilities it has.
    pub class: u16,
}

impl Channel {
    /// The nearest level. What is no number is the lowest.
    pub fn level(&self, value: f32) -> u8 {
        let highest = ((1u32 << self.bits) - 1) as f32;
        ((value - self.low) / self.step).round().clamp(0.0, highest) as u8
    }

    /// What a level, or a mean of some, stands for.
    pub fn value(&self, level: f32) -> f32 {
        self.low + level * self.step
    }

    /// The range from `low` to `high` in 2^bits levels; 0 is one of them where it lies inside, so that
    /// what an activation cut off stays cut off.
    fn of(low: f32, high: f32, bits: u8) -> Channel {
        let highest = ((1u32 << bits) - 1) as f32;
        let step = (high - low) / highest;
        if !(step.is_normal() && step > 0.0) {
            return Channel { low, step: 1.0, bits, class: 0 };
        }
        let inside = low < 0.0 && high > 0.0;
        let low = if inside { -(-low / step).round() * step } else { low };
        Channel { low, step, bits, class: 0 }
    }

    /// The quantiser of least squared error plus `lambda` times bits, both of all `values`, bits being
    /// those of their entropy.
    fn fit(values: &[f32], lambda: f64) -> Channel {
        let [low, high] = range(values);
        let anchor = 0f32.clamp(low, high);
        let mut best = (f64::INFINITY, Channel::of(low, high, *BITS.start()));
        for bits in BITS {
            for share in SHARES {
                let [low, high] = [low, high].map(|end| anchor + share * (end - anchor));
                let channel = Channel::of(low, high, bits);
                let [error, bits] = channel.error_and_bits(values);
                if error + lambda * bits < best.0 {
                    best = (error + lambda * bits, channel);
                }
            }
        }
        best.1
    }

    /// Sum of squared differences to what levels stand for, and the bits of the levels' entropy.
    fn error_and_bits(&self, values: &[f32]) -> [f64; 2] {
        let mut counts = [0u32; 256];
        let mut error = 0.0;
        for &value in values {
            let level = self.level(value);
            counts[usize::from(level)] += 1;
            error += f64::from(value - self.value(f32::from(level))).powi(2);
        }
        let total = values.len() as f64;
        let counts = counts.iter().filter(|&&n| n > 0).map(|&n| f64::from(n));
        [error, counts.map(|n| n * (total / n).log2()).sum()]
    }
}

fn range(values: &[f32]) -> [f32; 2] {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if low <= high { [low, high] } else { [0.0; 2] }
}

/// The quantisers of channels with these `values`, as fine as 2^bits levels over a channel of typical
/// range. What a bit is worth is the same in all of them, so that those which vary little take few: at
/// a step of d the error is d^2 / 12, and a bit more takes 3/4 of it away, 2 ln 2 of it at the margin.
pub(super) fn allocate(values: &[Vec<f32>], bits: u8) -> Vec<Channel> {
    let square = |values: &Vec<f32>| {
        let [low, high] = range(values);
        f64::from(high - low).powi(2)
    };
    let typical = values.iter().map(square).sum::<f64>() / values.len().max(1) as f64;
    let levels = f64::from((1u32 << bits) - 1);
    let lambda = std::f64::consts::LN_2 / 6.0 * typical / (levels * levels);
    values.iter().map(|values| Channel::fit(values, lambda)).collect()
}

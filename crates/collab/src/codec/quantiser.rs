//! Ranges and bits of channels.

use serde::{Deserialize, Serialize};

use super::BITS;

/// How far a range is narrowed at most, in twentieths.
const NARROWEST: u32 = 5;

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

    /// The range in 2^bits levels that `values` have the least squared error in, and that error.
    pub fn fit(values: &[f32], bits: u8) -> (Channel, f64) {
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
        let anchor = 0f32.clamp(low, high);
        let narrowed = (NARROWEST..=20).rev().map(|twentieths| {
            let share = twentieths as f32 / 20.0;
            let [low, high] = [low, high].map(|end| anchor + share * (end - anchor));
            let channel = Channel::of(low, high, bits);
            (channel, channel.error(values))
        });
        narrowed.min_by(|a, b| a.1.total_cmp(&b.1)).expect("at least one share")
    }

    /// Sum of squared differences to what levels stand for.
    fn error(&self, values: &[f32]) -> f64 {
        let square = |v: &f32| {
            let difference = f64::from(v - self.value(f32::from(self.level(*v))));
            difference * difference
        };
        values.iter().map(square).sum()
    }
}

/// The channels whose `values`, each of which has as many, have the least squared error with `bits`
/// bits each on average: bit after bit goes where it takes away most.
pub(super) fn allocate(values: &[Vec<f32>], bits: u8) -> Vec<Channel> {
    let fits = |values: &Vec<f32>| BITS.map(|bits| Channel::fit(values, bits)).collect();
    let fits: Vec<Vec<(Channel, f64)>> = values.iter().map(fits).collect();
    let least = *BITS.start();
    let mut chosen = vec![0; fits.len()];
    // More bits may fit worse by chance: then the gain is that of the steps up to a better fit.
    let gain = |channel: usize, at: usize| -> f64 {
        let fit = &fits[channel];
        let ahead = fit.iter().enumerate().skip(at + 1);
        ahead.map(|(to, next)| (fit[at].1 - next.1) / (to - at) as f64).fold(0.0, f64::max)
    };
    for _ in 0..usize::from(bits - least) * fits.len() {
        let open = (0..fits.len()).filter(|&c| chosen[c] + 1 < fits[c].len());
        let best =
            open.max_by(|&a, &b| gain(a, chosen[a]).total_cmp(&gain(b, chosen[b])).then(b.cmp(&a)));
        match best {
            Some(channel) => chosen[channel] += 1,
            None => break,
        }
    }
    fits.iter().zip(chosen).map(|(fit, at)| fit[at].0).collect()
}

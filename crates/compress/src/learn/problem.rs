//! What rounding the weights of a layer minimises.

use super::moments::Part;
use crate::weights::{FloatLayer, WeightScheme};

/// Rounding of the weights of one part of the channels. With codes q and scale s, the squared error of
/// an output channel is `s^2 q^T G q - 2 s q^T c` and a constant.
pub(super) struct Problem<'a> {
    pub k: usize,
    pub channels: usize,
    /// Covariance of the inputs, `[k, k]`.
    pub gram: &'a [f32],
    /// Covariance of float outputs and inputs, `[channels, k]`.
    pub cross: Vec<f32>,
    /// Float weights, `[channels, k]`.
    pub weights: Vec<f32>,
    /// Largest code.
    pub limit: f32,
}

/// Codes `[channels, k]`, and the scale of each channel.
#[derive(Clone)]
pub(super) struct Solution {
    pub codes: Vec<f32>,
    pub scales: Vec<f32>,
}

impl<'a> Problem<'a> {
    pub fn of(layer: &FloatLayer, scheme: WeightScheme, part: &'a Part) -> Problem<'a> {
        let (layout, k) = (layer.layout, layer.layout.k);
        let channels = part.channels.len();
        let weight = |at: usize| layer.weight[layout.index(part.channels.start + at / k, at % k)];
        let weights: Vec<f32> = (0..channels * k).map(weight).collect();
        let cross = part.cross(&weights);
        Problem { k, channels, gram: &part.gram, cross, weights, limit: scheme.limit() }
    }

    /// Weights of `channel`.
    pub fn weights_of(&self, channel: usize) -> &[f32] {
        &self.weights[channel * self.k..][..self.k]
    }

    /// The nearest codes of `channel` for `scale`.
    pub fn nearest(&self, channel: usize, scale: f32) -> impl Iterator<Item = f32> {
        let limit = self.limit;
        let weights = self.weights_of(channel).iter();
        weights.map(move |w| (w / scale).round_ties_even().clamp(-limit, limit))
    }

    /// Half the derivative of the error by each code of `channel`, over the scale: `s G q - c`.
    pub fn slope(&self, channel: usize, scale: f32, codes: &[f32]) -> Vec<f32> {
        let cross = &self.cross[channel * self.k..][..self.k];
        let mut slope: Vec<f32> = cross.iter().map(|c| -c).collect();
        for (i, &code) in codes.iter().enumerate().filter(|(_, code)| **code != 0.0) {
            let row = &self.gram[i * self.k..][..self.k];
            slope.iter_mut().zip(row).for_each(|(s, g)| *s += code * scale * g);
        }
        slope
    }

    /// The squared error of `channel`, but for a constant.
    pub fn error(&self, channel: usize, scale: f32, codes: &[f32]) -> f64 {
        let slope = self.slope(channel, scale, codes);
        let cross = &self.cross[channel * self.k..][..self.k];
        let terms = codes.iter().zip(slope.iter().zip(cross));
        let sum: f64 =
            terms.map(|(&q, (&s, &c))| f64::from(q) * (f64::from(s) - f64::from(c))).sum();
        sum * f64::from(scale)
    }

    /// The scale at which `codes` of `channel` err least: `q^T c / q^T G q`.
    pub fn best_scale(&self, channel: usize, codes: &[f32]) -> f32 {
        let cross = &self.cross[channel * self.k..][..self.k];
        let (mut along, mut power) = (0f64, 0f64);
        let slope = self.slope(channel, 1.0, codes);
        for ((&q, &s), &c) in codes.iter().zip(&slope).zip(cross) {
            along += f64::from(q) * f64::from(c);
            power += f64::from(q) * (f64::from(s) + f64::from(c));
        }
        (along / power) as f32
    }
}

/// The second moments of a linear layer, for tests: `rows` of `k` inputs that `weights` read.
#[cfg(test)]
pub(super) fn moments_of(rows: &[f32], k: usize, weights: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let count = (rows.len() / k) as f32;
    let mut gram = vec![0f32; k * k];
    for row in rows.chunks(k) {
        for i in 0..k {
            (0..k).for_each(|j| gram[i * k + j] += row[i] * row[j] / count);
        }
    }
    let dot = |w: &[f32], i: usize| (0..k).map(|j| gram[i * k + j] * w[j]).sum::<f32>();
    let cross = weights.chunks(k).flat_map(|w| (0..k).map(move |i| (w, i)));
    let cross = cross.map(|(w, i)| dot(w, i)).collect();
    (gram, cross)
}

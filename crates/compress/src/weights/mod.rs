//! Weights and biases of a layer as integers.
//!
//! Each output channel has its own scale, `max |w| / 127`: depthwise filters differ in size by
//! orders of magnitude (Nagel et al. 2021, section 4.2). The bias is an i32 of scale `sx * sw`, so
//! that it adds to the products as it is. Channels of tiny weights would make that scale so small
//! that the bias overflows; theirs is raised until the bias fits, which costs precision only in
//! weights that hardly matter beside it.

mod layout;

use edgecut_graph::{Graph, Node, Op, Tensor};
use serde::{Deserialize, Serialize};

pub(crate) use layout::Layout;

use crate::{CompressError, Result};

/// Longest sum of products: with a bias below 2^30 in magnitude, 2^30 / (255 * 127) more products
/// cannot overflow an i32.
const MAX_K: usize = 33_155;
/// Largest magnitude of an integer bias.
const MAX_BIAS: f64 = (1u32 << 30) as f64;
/// Smallest weight scale; times the smallest activation scale it is still a normal float32.
const MIN_SCALE: f32 = 1e-20;

/// The weights of one layer as integers.
pub(crate) struct LayerWeights {
    /// s8 codes in -127..=127, in the original shape.
    pub codes: Tensor,
    /// One scale an output channel.
    pub scales: Vec<f32>,
    /// Dimension of the output channels.
    pub axis: usize,
    /// One bias an output channel, in units of `x_scale * scales`.
    pub bias: Option<Vec<i32>>,
    /// Signal to quantisation noise of the weights in decibels; `None` where there is no noise.
    pub sqnr_db: Option<f64>,
    /// Output channels whose weights are all 0.
    pub zero_channels: usize,
}

/// Why the layer `node` (Conv, Gemm or MatMul) must stay float, if it must.
pub(crate) fn obstacle(graph: &Graph, node: &Node) -> Result<Option<String>> {
    let weight = node.input(1)?;
    let Some(weight) = graph.constant(weight).filter(|w| w.f32s().is_ok()) else {
        return Ok(Some("its weights are not float32 constants".into()));
    };
    if matches!(&node.op, Op::Gemm(gemm) if gemm.trans_a) {
        return Ok(Some("its input is transposed".into()));
    }
    if node.op == Op::MatMul && weight.rank() != 2 {
        return Ok(Some("its weights are not a matrix".into()));
    }
    let layout = Layout::of(node, weight.shape());
    if layout.k == 0 || layout.channels == 0 {
        return Ok(Some("its weights are empty".into()));
    }
    if layout.k > MAX_K {
        let k = layout.k;
        return Ok(Some(format!("sums of {k} products could overflow an int32 ({MAX_K} fit)")));
    }
    let Some(bias) = node.inputs.get(2).copied().flatten() else { return Ok(None) };
    Ok(match graph.constant(bias) {
        Some(b) if b.f32s().is_ok() && fits_channels(b, layout.channels) => None,
        Some(_) => Some("its bias is not one float32 number a channel".into()),
        None => Some("its bias is not a constant".into()),
    })
}

fn fits_channels(bias: &Tensor, channels: usize) -> bool {
    let last = bias.shape().last().copied().unwrap_or(1);
    bias.len() == 1 || (bias.len() == channels && last == channels)
}

/// How the weights of one layer become integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WeightScheme {
    /// How scales are chosen.
    pub range: WeightRange,
    /// Whether codes are 4-bit, -7..=7, or 8-bit.
    pub int4: bool,
}

impl WeightScheme {
    /// Largest code in magnitude.
    pub fn limit(self) -> f32 {
        if self.int4 { 7.0 } else { 127.0 }
    }
}

/// How the scale of each output channel of weights is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightRange {
    /// So that the largest weight is the largest code.
    #[default]
    Max,
    /// So that the squared error of the channel's weights is least; large weights may saturate.
    Mse,
}

/// Codes that were found by looking at more than the weights, with their scales.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Learned {
    /// In the order of the weight tensor.
    pub codes: Vec<i8>,
    /// One an output channel.
    pub scales: Vec<f32>,
}

/// Weights and bias of a layer as real numbers, Gemm's factors included.
pub(crate) struct FloatLayer {
    pub weight: Vec<f32>,
    pub shape: Vec<usize>,
    pub bias: Option<Vec<f32>>,
    pub layout: Layout,
}

impl FloatLayer {
    /// The layer `node`, which has no [`obstacle`].
    pub fn of(graph: &Graph, node: &Node) -> Result<FloatLayer> {
        let (alpha, beta) = match &node.op {
            Op::Gemm(gemm) => (gemm.alpha, gemm.beta),
            _ => (1.0, 1.0),
        };
        let shape = graph.value(node.input(1)?).shape.with_symbols(1);
        let layout = Layout::of(node, &shape);
        let scaled = |index: usize, factor: f32, what: &'static str| -> Result<Vec<f32>> {
            let values: Vec<f32> =
                graph.constant_f32s(node, index)?.iter().map(|v| v * factor).collect();
            match values.iter().all(|v| v.is_finite()) {
                true => Ok(values),
                false => Err(CompressError::BadWeight { node: node.name.clone(), what }),
            }
        };
        let weight = scaled(1, alpha, "weight")?;
        let bias = match node.inputs.get(2).copied().flatten() {
            Some(_) => Some(scaled(2, beta, "bias")?),
            None => None,
        };
        let spread = |b: Vec<f32>| if b.len() == 1 { vec![b[0]; layout.channels] } else { b };
        Ok(FloatLayer { weight, bias: bias.map(spread), shape, layout })
    }

    /// The least scale of each output channel at which its bias fits, for inputs of `x_scale`.
    pub fn least_scales(&self, x_scale: f32) -> Vec<f32> {
        let bias = |c: usize| self.bias.as_ref().map_or(0.0, |b| b[c]);
        let least = |c: usize| f64::from(bias(c).abs()) / (f64::from(x_scale) * MAX_BIAS);
        (0..self.layout.channels).map(|c| (least(c) as f32).max(MIN_SCALE)).collect()
    }

    /// One scale an output channel, for inputs of `x_scale`.
    pub fn scales(&self, x_scale: f32, scheme: WeightScheme) -> Vec<f32> {
        let channels = self.layout.channels;
        let mut rows = vec![Vec::with_capacity(self.layout.k); channels];
        for (i, &w) in self.weight.iter().enumerate() {
            rows[self.layout.channel(i)].push(w);
        }
        let bias = |c: usize| self.bias.as_ref().map_or(0.0, |b| b[c]);
        let scale = |(c, row): (usize, &Vec<f32>)| {
            let widest = row.iter().fold(0f32, |m, w| m.max(w.abs()));
            let best = match scheme.range {
                WeightRange::Max => widest,
                WeightRange::Mse => least_error(row, widest, scheme.limit()),
            };
            channel_scale(best, scheme.limit(), bias(c), x_scale)
        };
        rows.iter().enumerate().map(scale).collect()
    }

    /// The nearest codes under `scales`.
    pub fn nearest(&self, scales: &[f32], scheme: WeightScheme) -> Vec<i8> {
        let limit = scheme.limit();
        let code = |(i, w): (usize, &f32)| {
            (w / scales[self.layout.channel(i)]).round_ties_even().clamp(-limit, limit) as i8
        };
        self.weight.iter().enumerate().map(code).collect()
    }
}

/// Quantises the weights and bias of `node`, which has no [`obstacle`], for inputs of `x_scale`.
/// Gemm's factors alpha and beta go into the weights and the bias.
pub(crate) fn quantise(
    graph: &Graph,
    node: &Node,
    x_scale: f32,
    scheme: WeightScheme,
    learned: Option<&Learned>,
) -> Result<LayerWeights> {
    let layer = FloatLayer::of(graph, node)?;
    let layout = layer.layout;
    let scales = learned.map_or_else(|| layer.scales(x_scale, scheme), |l| l.scales.clone());
    let codes = learned.map_or_else(|| layer.nearest(&scales, scheme), |l| l.codes.clone());
    let mut zero = vec![true; layout.channels];
    layer.weight.iter().enumerate().for_each(|(i, &w)| zero[layout.channel(i)] &= w == 0.0);
    let real = |i: usize| f64::from(codes[i]) * f64::from(scales[layout.channel(i)]);
    let sqnr_db = sqnr_db(layer.weight.iter().enumerate().map(|(i, &w)| (f64::from(w), real(i))));
    let bias_scales: Vec<f32> = scales.iter().map(|s| x_scale * s).collect();
    Ok(LayerWeights {
        bias: layer.bias.map(|bias| integer_bias(&bias, &bias_scales)),
        codes: Tensor::new(layer.shape, codes)?,
        axis: layout.axis,
        sqnr_db,
        zero_channels: zero.iter().filter(|&&zero| zero).count(),
        scales,
    })
}

/// The bias in units of `scales`.
pub(crate) fn integer_bias(bias: &[f32], scales: &[f32]) -> Vec<i32> {
    let integer = |(&bias, &scale): (&f32, &f32)| {
        let q = (f64::from(bias) / f64::from(scale)).round_ties_even();
        q.clamp(-MAX_BIAS, MAX_BIAS) as i32
    };
    bias.iter().zip(scales).map(integer).collect()
}

/// The scale of a channel of weights up to `largest` in magnitude, of which the largest code is
/// `limit`, with this bias.
fn channel_scale(largest: f32, limit: f32, bias: f32, x_scale: f32) -> f32 {
    if largest == 0.0 && bias == 0.0 {
        return 1.0;
    }
    let for_weights = f64::from(largest) / f64::from(limit);
    let for_bias = f64::from(bias.abs()) / (f64::from(x_scale) * MAX_BIAS);
    (for_weights.max(for_bias) as f32).max(MIN_SCALE)
}

/// The magnitude at which `weights`, up to `widest`, saturate with the least squared error, among
/// fractions of `widest`. Of equal errors the widest wins.
fn least_error(weights: &[f32], widest: f32, limit: f32) -> f32 {
    const STEPS: usize = 64;
    let mut best = (f64::INFINITY, widest);
    for i in (STEPS / 4..=STEPS).rev() {
        let end = widest * i as f32 / STEPS as f32;
        let scale = end / limit;
        if scale < MIN_SCALE {
            break;
        }
        let error = |&w: &f32| {
            let back = (w / scale).round_ties_even().clamp(-limit, limit) * scale;
            f64::from(w - back) * f64::from(w - back)
        };
        let error: f64 = weights.iter().map(error).sum();
        if error < best.0 {
            best = (error, end);
        }
    }
    best.1
}

/// `10 log10(signal / noise)` of (true, approximate) pairs; `None` without noise or signal.
pub(crate) fn sqnr_db(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (x, y) in pairs {
        signal += x * x;
        noise += (x - y) * (x - y);
    }
    (signal > 0.0 && noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;

    #[test]
    fn the_best_saturation_is_no_worse_than_the_widest() {
        let mut rng = Rng::new(5);
        let mut weights: Vec<f32> = (0..200).map(|_| rng.normal()).collect();
        weights.push(9.0);
        let widest = 9.0;
        let error = |end: f32, limit: f32| {
            let scale = end / limit;
            let back = |w: f32| (w / scale).round_ties_even().clamp(-limit, limit) * scale;
            weights.iter().map(|&w| f64::from(w - back(w)).powi(2)).sum::<f64>()
        };
        let four = least_error(&weights, widest, 7.0);
        assert!(four < 0.9 * widest, "{four}");
        let eight = least_error(&weights, widest, 127.0);
        for i in 16..=64 {
            let other = widest * i as f32 / 64.0;
            assert!(error(four, 7.0) <= error(other, 7.0), "{four} against {other}");
            assert!(error(eight, 127.0) <= error(other, 127.0), "{eight} against {other}");
        }
    }

    #[test]
    fn a_bias_that_would_not_fit_raises_the_scale() {
        let scale = channel_scale(1e-9, 127.0, 1.0, 0.01);
        assert!(f64::from(1.0 / (scale * 0.01)) <= MAX_BIAS * 1.001);
    }
}

//! Rounding that looks at what a layer computes, not at its weights alone.
//!
//! Rounding each weight to the nearest code is not best for their sum: errors that cancel are
//! better than small ones. Layer by layer in order, with all before quantised, the codes are chosen
//! so that the layer's result on quantised inputs is near its float result on float inputs (Nagel
//! et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization"). The squared error
//! of a linear layer depends on its inputs only through their second moments, so these are summed
//! once over a few thousand output positions, and every step of the search sees all of them: no
//! batches, no noise, the same result on any number of threads. The mean error, which the bias
//! takes, is not part of it.

mod adaround;
mod descent;
mod moments;

use edgecut_graph::{Graph, Node};

use crate::Result;
use crate::layers::{QuantLayer, shift_float_bias};
use crate::probe::Probe;
use crate::scheme::{Learning, Scheme};
use crate::weights::{FloatLayer, Learned, WeightScheme};
use moments::{Moments, Sampler};

/// Layers with more products an output than this keep the nearest codes: their moments would not
/// fit the memory that calibration may take.
const MAX_K: usize = 6144;

/// What was learned: codes, and the graph with the biases that go with them.
pub(crate) struct Outcome {
    pub learning: Learning,
    pub float: Graph,
}

/// Learns the codes of all layers of `scheme`, whose graph has biases.
pub(crate) fn learn(scheme: &Scheme, probe: Probe) -> Result<Outcome> {
    let layers = scheme.layers();
    let sampler = Sampler::new(scheme.float, &layers, probe)?;
    let targets = sampler.targets(scheme.float, &layers, probe)?;
    let mut learning = Learning::new();
    let mut float = scheme.float.clone();
    let mut quantised = scheme.build(&learning)?.graph;
    for (index, (node, target)) in layers.iter().zip(&targets).enumerate() {
        (probe.control.say)(&format!(
            "rounding of '{}', {} of {}",
            node.name,
            index + 1,
            layers.len()
        ));
        let layer = FloatLayer::of(scheme.float, node)?;
        if layer.layout.k > MAX_K {
            continue;
        }
        let place = QuantLayer::find(&quantised, &node.name)?;
        let rows = sampler.inputs(&quantised, place.x, index, node, probe)?;
        let moments = Moments::of(&layer.layout, &rows, target, probe.pool);
        let config = scheme.config.weight_scheme(&node.name);
        let scales = layer.scales(scheme.input_params(node)?.scale, config);
        let codes = codes(&layer, &scales, config, &moments, probe);
        let shift = shift(&layer, &scales, &codes, &moments);
        place.set_codes(&mut quantised, codes.clone())?;
        place.shift_bias(&mut quantised, &shift)?;
        shift_float_bias(&mut float, &node.name, &shift)?;
        learning.insert(node.name.clone(), Learned { codes, scales });
    }
    Ok(Outcome { learning, float })
}

/// Codes of least error for the moments, in the order of the weight tensor.
fn codes(
    layer: &FloatLayer,
    scales: &[f32],
    scheme: WeightScheme,
    moments: &Moments,
    probe: Probe,
) -> Vec<i8> {
    let layout = layer.layout;
    let mut codes = layer.nearest(scales, scheme);
    let per_group = layout.channels / layout.groups;
    for group in 0..layout.groups {
        let problem = Problem::of(layer, scales, scheme, moments, group);
        let start: Vec<f32> = problem.weights.iter().map(|w| w.round_ties_even()).collect();
        let start = start.into_iter().map(|q| q.clamp(-problem.limit, problem.limit)).collect();
        let plain = descent::descend(&problem, start, probe.pool);
        let best = match adaround::relax(&problem, probe.pool) {
            Some(relaxed) => {
                descent::better(&problem, plain, descent::descend(&problem, relaxed, probe.pool))
            }
            None => plain,
        };
        for (i, &code) in best.iter().enumerate() {
            let o = group * per_group + i / layout.k;
            codes[layout.index(o, i % layout.k)] = code as i8;
        }
    }
    codes
}

/// How much the bias must change so that the mean of each output channel is that of the float
/// layer.
fn shift(layer: &FloatLayer, scales: &[f32], codes: &[i8], moments: &Moments) -> Vec<f32> {
    let layout = layer.layout;
    let bias = |c: usize| layer.bias.as_ref().map_or(0.0, |b| f64::from(b[c]));
    let mut found: Vec<f64> = (0..layout.channels).map(bias).collect();
    for (i, &code) in codes.iter().enumerate() {
        let (o, at) = (layout.channel(i), layout.position(i));
        let group = o / (layout.channels / layout.groups);
        let x = moments.input_mean(group)[at];
        found[o] += f64::from(code) * f64::from(scales[o]) * x;
    }
    let truth = moments.output_mean();
    found.iter().zip(truth).map(|(found, truth)| (truth - found) as f32).collect()
}

/// Rounding of the weights of one group: minimise, for each output channel with codes q and scale
/// s, `s^2 q^T G q - 2 s q^T c`.
pub(crate) struct Problem<'a> {
    pub k: usize,
    pub channels: usize,
    /// Covariance of the inputs, `[k, k]`.
    pub gram: &'a [f32],
    /// Covariance of inputs and float outputs, `[k, channels]`.
    pub cross: Vec<f32>,
    /// Float weights in units of the scale, `[channels, k]`.
    pub weights: Vec<f32>,
    pub scales: &'a [f32],
    /// Largest code.
    pub limit: f32,
}

impl<'a> Problem<'a> {
    fn of(
        layer: &FloatLayer,
        scales: &'a [f32],
        scheme: WeightScheme,
        moments: &'a Moments,
        group: usize,
    ) -> Problem<'a> {
        let (layout, k) = (layer.layout, layer.layout.k);
        let channels = layout.channels / layout.groups;
        let first = group * channels;
        let weight = |o: usize, i: usize| layer.weight[layout.index(first + o, i)];
        let scales = &scales[first..][..channels];
        // The damping pulls towards the float weights, not towards zero.
        let damping = moments.damping(group);
        let mut cross = moments.cross(group).to_vec();
        for (i, row) in cross.chunks_exact_mut(channels).enumerate() {
            row.iter_mut().enumerate().for_each(|(o, c)| *c += damping * weight(o, i));
        }
        let in_units = |at: usize| weight(at / k, at % k) / scales[at / k];
        let weights = (0..channels * k).map(in_units).collect();
        let gram = moments.gram(group);
        Problem { k, channels, gram, cross, weights, scales, limit: scheme.limit() }
    }
}

/// The node's window, for what reads pixels.
pub(crate) fn window(node: &Node) -> Option<edgecut_graph::Window> {
    match &node.op {
        edgecut_graph::Op::Conv(conv) => Some(conv.window),
        _ => None,
    }
}

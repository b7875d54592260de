//! Channels of a value brought to one size, so that one scale fits all of them.
//!
//! One scale a tensor wastes the bytes of quiet channels. Where the operators between two layers
//! are homogeneous, dividing a channel by s in the layer before and multiplying by s in the layer
//! behind changes nothing (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
//! and Bias Correction"). Weights here have a scale for each output channel, so the layer before
//! pays nothing, whatever s. A depthwise layer behind pays nothing either. A dense layer behind has
//! all its inputs under one scale: weights of quiet channels shrink and lose bits, as in
//! SmoothQuant (Xiao et al. 2022). So `s = a^alpha`, with a the share of the tensor's range that
//! the channel uses, and alpha chosen for each set of connected values where the noise expected at
//! the layers behind is least.

mod noise;
mod streams;

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Node, Tensor, ValueId};

use crate::placement::is_weighted;
use crate::weights::{self, FloatLayer, Layout};
use crate::{Calibration, Result};
use noise::Behind;
use streams::Streams;

/// Exponents tried, ascending: of equal noise the least change wins.
const ALPHAS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Least factor: a channel that calibration saw almost nothing of may well be larger elsewhere.
const LEAST: f64 = 1.0 / 32.0;

/// Equalises the channels of `graph`, which is prepared; `None` where none can gain. The function
/// stays the same up to rounding, within the clamps' bounds that calibration saw.
pub(crate) fn equalise(graph: &Graph, calibration: &Calibration) -> Result<Option<Graph>> {
    let streams = Streams::of(graph)?;
    let amplitudes = amplitudes(graph, &streams, calibration);
    let mut behind: BTreeMap<usize, Vec<Behind>> = BTreeMap::new();
    for node in layers(graph)? {
        let x = node.input(0)?;
        if let Some(layer) = Behind::of(graph, node, &streams, calibration)? {
            behind.entry(streams.component(x)).or_default().push(layer);
        }
    }
    let mut factors = vec![1.0; streams.len()];
    let alphas: BTreeMap<usize, f64> =
        behind.iter().map(|(&component, layers)| (component, best(layers, &amplitudes))).collect();
    for (id, c) in channels_of(graph) {
        let (Some(stream), Some(&alpha)) =
            (streams.stream(id, c), alphas.get(&streams.component(id)))
        else {
            continue;
        };
        factors[stream] = factor(amplitudes[stream], alpha);
    }
    match factors.iter().all(|&factor| factor == 1.0) {
        true => Ok(None),
        false => scaled(graph, &streams, &factors).map(Some),
    }
}

/// The factor of a channel that uses the share `amplitude` of its tensor's range.
fn factor(amplitude: f64, alpha: f64) -> f64 {
    if amplitude <= 0.0 { 1.0 } else { amplitude.clamp(LEAST, 1.0).powf(alpha) }
}

fn best(layers: &[Behind], amplitudes: &[f64]) -> f64 {
    let noise = |alpha: f64| -> f64 {
        layers.iter().map(|layer| layer.noise(|stream| factor(amplitudes[stream], alpha))).sum()
    };
    let mut best = (f64::INFINITY, 0.0);
    for alpha in ALPHAS {
        let noise = noise(alpha);
        if noise < best.0 {
            best = (noise, alpha);
        }
    }
    best.1
}

/// Layers with constant float weights.
fn layers(graph: &Graph) -> Result<Vec<&Node>> {
    let mut layers = vec![];
    for node in graph.nodes.iter().filter(|node| is_weighted(&node.op)) {
        if weights::obstacle(graph, node)?.is_none() {
            layers.push(node);
        }
    }
    Ok(layers)
}

fn channels_of(graph: &Graph) -> impl Iterator<Item = (ValueId, usize)> {
    graph.value_ids().filter(|&id| graph.constant(id).is_none()).flat_map(|id| {
        let channels = graph.value(id).shape.dims().get(1).and_then(|dim| dim.fixed());
        (0..channels.unwrap_or(0)).map(move |c| (id, c))
    })
}

/// By stream: the largest share of a tensor's range that it uses, in any of its values.
fn amplitudes(graph: &Graph, streams: &Streams, calibration: &Calibration) -> Vec<f64> {
    let mut amplitudes = vec![0f64; streams.len()];
    for id in graph.value_ids() {
        let Some(stats) = calibration.channels(&graph.value(id).name) else { continue };
        let low = stats.low.iter().copied().fold(0.0, f32::min);
        let high = stats.high.iter().copied().fold(0.0, f32::max);
        let share = |end: f32, all: f32| if all == 0.0 { 0.0 } else { f64::from(end / all) };
        for c in 0..stats.len() {
            let Some(stream) = streams.stream(id, c) else { continue };
            let uses = share(stats.low[c].min(0.0), low).max(share(stats.high[c].max(0.0), high));
            amplitudes[stream] = amplitudes[stream].max(uses);
        }
    }
    amplitudes
}

/// The graph with every stream divided by its factor.
fn scaled(graph: &Graph, streams: &Streams, factors: &[f64]) -> Result<Graph> {
    let mut result = graph.clone();
    for node in layers(graph)? {
        let (x, y) = (node.input(0)?, node.output());
        let of = |id: ValueId, c: usize| streams.stream(id, c).map_or(1.0, |s| factors[s]);
        let weight = node.input(1)?;
        let tensor = graph.constant_f32s(node, 1)?;
        let shape = graph.value(weight).shape.with_symbols(1);
        let layout = Layout::of(node, &shape);
        let inputs: Vec<f64> = (0..layout.inputs()).map(|c| of(x, c)).collect();
        let outputs: Vec<f64> = (0..layout.channels).map(|c| of(y, c)).collect();
        if inputs.iter().chain(&outputs).all(|&f| f == 1.0) {
            continue;
        }
        let value = |(i, &w): (usize, &f32)| {
            (f64::from(w) * inputs[layout.input(i)] / outputs[layout.channel(i)]) as f32
        };
        let values: Vec<f32> = tensor.iter().enumerate().map(value).collect();
        result.set_constant(weight, Tensor::new(shape, values)?);
        if let Some(bias) = node.inputs.get(2).copied().flatten() {
            let layer = FloatLayer::of(graph, node)?;
            let beta = if let edgecut_graph::Op::Gemm(gemm) = &node.op { gemm.beta } else { 1.0 };
            let values = layer.bias.unwrap_or_default();
            let values = values.iter().zip(&outputs);
            let values: Vec<f32> = values.map(|(&b, f)| (f64::from(b / beta) / f) as f32).collect();
            result.set_constant(bias, Tensor::vector(values));
        }
    }
    result.validate()?;
    Ok(result)
}

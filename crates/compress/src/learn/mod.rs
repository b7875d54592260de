//! Rounding that looks at what a layer computes, not at its weights alone.
//!
//! Rounding each weight to the nearest code is not best for their sum: errors that cancel are
//! better than small ones. Layer by layer in order, with all before quantised, the codes and scales
//! are chosen so that the layer's result on quantised inputs is near its float result on float
//! inputs (Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization"); a
//! layer in front of a residual sum aims at the sum. The squared error of a linear layer depends on
//! its inputs only through their second moments, so these are summed once over a few thousand
//! output positions, and every step of the search sees all of them: no batches, no noise, the same
//! result on any number of threads. The mean error, which the bias takes, is not part of it.

mod adaround;
mod descent;
mod moments;
mod problem;
mod sample;
mod scales;

use edgecut_graph::{Graph, Node};

use crate::Result;
use crate::layers::{QuantLayer, shift_float_bias};
use crate::probe::Probe;
use crate::scheme::{Learning, Scheme};
use crate::weights::{FloatLayer, Learned};
use moments::{Part, Sample};
use problem::{Problem, Solution};
use sample::{Place, Rows};

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
    let k = |node: &Node| Ok(FloatLayer::of(scheme.float, node)?.layout.k);
    let mut layers = vec![];
    for node in scheme.layers() {
        if k(node)? <= MAX_K {
            layers.push(node);
        }
    }
    let places = Place::all(scheme.float, &layers, &k, probe)?;
    let mut student = Student {
        scheme,
        quantised: scheme.build(&Learning::new())?.graph,
        outcome: Outcome { learning: Learning::new(), float: scheme.float.clone() },
    };
    let mut rest = &places[..];
    while !rest.is_empty() {
        let (now, later) = rest.split_at(Place::together(rest, probe));
        let targets = sample::targets(scheme.float, now, probe)?;
        for (place, targets) in now.iter().zip(targets) {
            let done = student.outcome.learning.len();
            let name = &place.node.name;
            (probe.control.say)(&format!("rounding of '{name}', {} of {}", done + 1, places.len()));
            student.learn(place, targets, probe)?;
        }
        rest = later;
    }
    Ok(student.outcome)
}

/// A quantised graph whose first layers have learned already.
struct Student<'a> {
    scheme: &'a Scheme<'a>,
    quantised: Graph,
    outcome: Outcome,
}

impl Student<'_> {
    /// Rounds the layer at `place` so that its result is near `targets`.
    fn learn(&mut self, place: &Place, mut targets: Rows, probe: Probe) -> Result<()> {
        let name = &place.node.name;
        let layer = FloatLayer::of(self.scheme.float, place.node)?;
        let inside = QuantLayer::find(&self.quantised, name)?;
        let inputs = sample::inputs(&self.quantised, inside.x, place, &mut targets, probe)?;
        let sample = Sample { layout: layer.layout, inputs, targets };
        let (learned, shift) = self.round(&layer, place.node, &sample, probe)?;
        shift_float_bias(&mut self.outcome.float, name, &shift)?;
        inside.set_weights(&mut self.quantised, &learned)?;
        self.outcome.learning.insert(name.clone(), learned);
        let x_scale = self.scheme.input_params(place.node)?.scale;
        let bias = FloatLayer::of(&self.outcome.float, place.node)?.bias;
        inside.set_bias(&mut self.quantised, bias.as_deref(), x_scale)
    }

    /// Codes and scales of least error for the sample, and how much the bias must change with them.
    fn round(
        &self,
        layer: &FloatLayer,
        node: &Node,
        sample: &Sample,
        probe: Probe,
    ) -> Result<(Learned, Vec<f32>)> {
        let (layout, pool) = (layer.layout, probe.pool);
        let config = self.scheme.config.weight_scheme(&node.name);
        let x_scale = self.scheme.input_params(node)?.scale;
        let mut scales = layer.scales(x_scale, config);
        let least = layer.least_scales(x_scale);
        let mut codes = layer.nearest(&scales, config);
        let mut shift = vec![];
        for channels in sample.parts() {
            let part = sample.part(channels.clone(), pool);
            let problem = Problem::of(layer, config, &part);
            let least = &least[channels.clone()];
            let mut found = scales::choose(&problem, &scales[channels.clone()], least, pool);
            if let Some(relaxed) = adaround::relax(&problem, &found.scales, pool) {
                descent::improve(&problem, &mut found, &relaxed, pool);
            }
            scales::settle(&problem, &mut found, least, pool);
            shift.extend(shifts(layer, &found, &part));
            for (i, &code) in found.codes.iter().enumerate() {
                codes[layout.index(channels.start + i / layout.k, i % layout.k)] = code as i8;
            }
            scales[channels].copy_from_slice(&found.scales);
        }
        Ok((Learned { codes, scales }, shift))
    }
}

/// How much the bias must change so that the mean of each output channel of `part` is that of the
/// target.
fn shifts(layer: &FloatLayer, found: &Solution, part: &Part) -> impl Iterator<Item = f32> {
    let codes = found.codes.chunks_exact(layer.layout.k.max(1)).zip(&found.scales);
    let channels = part.channels.clone().zip(&part.output_mean);
    codes.zip(channels).map(|((codes, &scale), (channel, truth))| {
        let bias = layer.bias.as_ref().map_or(0.0, |bias| f64::from(bias[channel]));
        let terms = codes.iter().zip(&part.input_mean);
        let sum: f64 = terms.map(|(&q, x)| f64::from(q) * f64::from(scale) * x).sum();
        (truth - bias - sum) as f32
    })
}

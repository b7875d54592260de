//! The noise that quantisation is expected to make at a layer's result.

use edgecut_graph::{Graph, Node};

use super::streams::Streams;
use crate::weights::FloatLayer;
use crate::{Calibration, Result};

/// Codes on each side of zero that weights have.
const CODES: f64 = 127.0;

/// A layer behind the streams that are scaled: its weights by pairs of channels.
pub(super) struct Behind {
    /// For each output channel, each input channel of its group: stream, mean square of the
    /// input, sum of squared weights, largest weight.
    rows: Vec<Vec<Pair>>,
    /// Square of the distance of neighbouring input bytes.
    step: f64,
    taps: f64,
}

struct Pair {
    stream: Option<usize>,
    power: f64,
    square: f64,
    largest: f64,
}

impl Behind {
    /// The layer `node`; `None` where calibration did not see its input or nothing scales it.
    pub fn of(
        graph: &Graph,
        node: &Node,
        streams: &Streams,
        calibration: &Calibration,
    ) -> Result<Option<Behind>> {
        let x = node.input(0)?;
        let Some(stats) = calibration.channels(&graph.value(x).name) else { return Ok(None) };
        let layer = FloatLayer::of(graph, node)?;
        let layout = layer.layout;
        let scales = (0..layout.inputs()).any(|c| streams.stream(x, c).is_some());
        if !scales || stats.len() != layout.inputs() {
            return Ok(None);
        }
        let low = stats.low.iter().copied().fold(0.0, f32::min);
        let high = stats.high.iter().copied().fold(0.0, f32::max);
        let step = f64::from(high - low) / 255.0;
        let per_group = layout.inputs() / layout.groups;
        let mut rows: Vec<Vec<Pair>> = (0..layout.channels)
            .map(|o| {
                let first = o / (layout.channels / layout.groups).max(1) * per_group;
                let pair = |c: usize| Pair {
                    stream: streams.stream(x, c),
                    power: stats.mean_square(c),
                    square: 0.0,
                    largest: 0.0,
                };
                (first..first + per_group).map(pair).collect()
            })
            .collect();
        for (i, &w) in layer.weight.iter().enumerate() {
            let w = f64::from(w);
            let pair = &mut rows[layout.channel(i)][layout.input(i) % per_group];
            pair.square += w * w;
            pair.largest = pair.largest.max(w.abs());
        }
        Ok(Some(Behind { rows, step: step * step, taps: layout.taps as f64 }))
    }

    /// Expected noise over signal, with every stream divided by its factor. Rounding errors are
    /// uniform (variance of a step: a twelfth of its square) and independent.
    pub fn noise(&self, factor: impl Fn(usize) -> f64) -> f64 {
        let (mut noise, mut signal) = (0.0, 0.0);
        for row in &self.rows {
            let (mut widest, mut power) = (0f64, 0.0);
            for pair in row {
                let s = pair.stream.map_or(1.0, &factor);
                noise += pair.square * s * s * self.step / 12.0;
                signal += pair.square * pair.power;
                widest = widest.max(pair.largest * s);
                power += pair.power / (s * s);
            }
            let step = widest / CODES;
            noise += step * step / 12.0 * self.taps * power;
        }
        if signal > 0.0 { noise / signal } else { 0.0 }
    }
}

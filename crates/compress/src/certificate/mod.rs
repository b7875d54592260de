//! A proof, channel by channel, that 16-bit sums of products cannot saturate on other runtimes.
//!
//! On x86 without VNNI, `vpmaddubsw` multiplies unsigned bytes with signed ones and adds two
//! neighbouring products in 16 bits with saturation: 255 * 127 * 2 = 64770 does not fit. A model
//! then gives other results on such a CPU than on others (ONNX Runtime's documentation calls it
//! the U8S8 saturation issue). For a pair of weights of one sign, the sum stays within 16 bits for
//! every activation byte up to `high` exactly where `|w1 + w2| * high <= 32767` (32768 below zero);
//! with weights of two signs each product alone is at most 255 * 128 = 32640, and their sum lies
//! between them. `high` is what can really come: zero points, clamps and what lies between say so.
//!
//! edgecut's own kernels never add in 16 bits, so this is about the other runtimes.

mod bounds;
mod layer;

use edgecut_graph::{Graph, Tensor};
use serde::Serialize;

use crate::Result;
pub use layer::Products;

/// What was proved of every integer layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// In the order of the graph.
    pub layers: Vec<LayerCertificate>,
}

impl Certificate {
    /// Whether no layer can saturate.
    pub fn holds(&self) -> bool {
        self.layers.iter().all(|layer| layer.at_risk.is_empty())
    }
}

/// What was proved of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCertificate {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// Number of output channels.
    pub channels: usize,
    /// Smallest activation byte that can come.
    pub low: u8,
    /// Largest activation byte that can come.
    pub high: u8,
    /// Output channels with a pair that can saturate; all others are proved not to.
    pub at_risk: Vec<usize>,
    /// The pair that comes closest to the bounds of 16 bits, or lies furthest beyond.
    pub worst: Option<Pair>,
}

/// Two weights whose products are added in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Output channel.
    pub channel: usize,
    /// The weights.
    pub weights: [i8; 2],
    /// The largest sum of products by magnitude that can come.
    pub sum: i32,
}

/// The integer layers of `graph` as a kernel sees them.
pub fn products(graph: &Graph) -> Vec<Products> {
    layer::layers(graph)
}

/// Examines every integer layer of a QDQ graph.
pub fn certify(graph: &Graph) -> Certificate {
    Certificate { layers: products(graph).iter().map(examine).collect() }
}

fn examine(layer: &Products) -> LayerCertificate {
    let (mut at_risk, mut worst): (Vec<usize>, Option<Pair>) = (vec![], None);
    for (channel, row) in layer.rows.iter().enumerate() {
        let mut fits = true;
        for (first, second) in layer.pairs() {
            let weights = [row[first], second.map_or(0, |second| row[second])];
            let sum = largest_sum(weights, layer.low, layer.high);
            fits &= is_i16(sum);
            if worst.is_none_or(|w| sum.abs() > w.sum.abs()) {
                worst = Some(Pair { channel, weights, sum });
            }
        }
        if !fits {
            at_risk.push(channel);
        }
    }
    LayerCertificate {
        node: layer.node.clone(),
        op: layer.op,
        channels: layer.rows.len(),
        low: layer.low,
        high: layer.high,
        at_risk,
        worst,
    }
}

/// The end of the range of `a1 * w1 + a2 * w2` that is larger by magnitude.
fn largest_sum(weights: [i8; 2], low: u8, high: u8) -> i32 {
    let ends = |pick_high: fn(i32) -> bool| -> i32 {
        let product = |w: i8| {
            let w = i32::from(w);
            w * i32::from(if pick_high(w) { high } else { low })
        };
        weights.into_iter().map(product).sum()
    };
    let (most, least) = (ends(|w| w > 0), ends(|w| w < 0));
    if most.abs() >= least.abs() { most } else { least }
}

fn is_i16(sum: i32) -> bool {
    i16::try_from(sum).is_ok()
}

/// A layer whose weights were relaxed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relaxation {
    /// Name of the node.
    pub node: String,
    /// Output channels that could saturate.
    pub channels: usize,
    /// Weights that were changed, one of each pair.
    pub weights: usize,
    /// The largest change of one, in steps of its scale.
    pub largest: u8,
    /// Signal to noise ratio of the layer's weights before to after, dB.
    pub sqnr_db: f64,
}

/// Makes the certificate hold with the fewest changes: of each pair that can saturate, the larger
/// weight moves towards zero by just what is too much. One weight always suffices, because the
/// other alone fits.
///
/// # Errors
/// Where the graph's weights are not what its shapes say.
pub fn relax(graph: &Graph) -> Result<(Graph, Vec<Relaxation>)> {
    let (mut relaxed, mut changes) = (graph.clone(), vec![]);
    for layer in products(graph) {
        // Another layer may have relaxed the same constant before.
        let Some(tensor) = relaxed.constant(layer.weights) else { continue };
        let (shape, before) = (tensor.shape().to_vec(), tensor.i8s()?.to_vec());
        let mut after = before.clone();
        let mut channels = 0;
        for places in &layer.places {
            let mut touched = false;
            for pair in layer.pairs() {
                let Some((first, second)) = pair.1.map(|second| (places[pair.0], places[second]))
                else {
                    continue;
                };
                let weights = [after[first], after[second]];
                let excess = excess(weights, layer.low, layer.high);
                let larger = if weights[0].unsigned_abs() >= weights[1].unsigned_abs() {
                    first
                } else {
                    second
                };
                after[larger] -= excess;
                touched |= excess != 0;
            }
            channels += usize::from(touched);
        }
        if channels > 0 {
            changes.push(relaxation(&layer.node, channels, &before, &after));
            relaxed.set_constant(layer.weights, Tensor::new(shape, after)?);
        }
    }
    Ok((relaxed, changes))
}

/// By how much one of the weights must change for the pair to fit; zero where it does.
fn excess(weights: [i8; 2], low: u8, high: u8) -> i8 {
    let sum = largest_sum(weights, low, high);
    if is_i16(sum) {
        return 0;
    }
    // Both have the sign of the sum (see the module), and the sum is theirs times `high`.
    let limit = if sum > 0 { i32::from(i16::MAX) } else { i32::from(i16::MIN) };
    let total = i32::from(weights[0]) + i32::from(weights[1]);
    // Division towards zero is what fits. From -2 * 128 + 128 to 2 * 127 - 128: a byte.
    (total - limit / i32::from(high)) as i8
}

fn relaxation(node: &str, channels: usize, before: &[i8], after: &[i8]) -> Relaxation {
    let moved = before.iter().zip(after).map(|(a, b)| a.abs_diff(*b));
    let noise: f64 = moved.clone().map(|d| f64::from(d).powi(2)).sum();
    let signal: f64 = before.iter().map(|&w| f64::from(w).powi(2)).sum();
    Relaxation {
        node: node.into(),
        channels,
        weights: moved.clone().filter(|&d| d > 0).count(),
        largest: moved.max().unwrap_or(0),
        sqnr_db: 10.0 * (signal / noise).log10(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The formula against all that can be added.
        #[test]
        fn largest_sums_are_reached_and_not_passed(
            weights: [i8; 2], a: u8, b: u8, x: [u8; 2],
        ) {
            let (low, high) = (a.min(b), a.max(b));
            let sum = |x: [u8; 2]| (0..2).map(|i| i32::from(x[i]) * i32::from(weights[i])).sum::<i32>();
            let largest = largest_sum(weights, low, high);
            let inside = x.map(|x| x.clamp(low, high));
            prop_assert!(sum(inside).abs() <= largest.abs());
            let corners = [[low, low], [low, high], [high, low], [high, high]];
            prop_assert!(corners.into_iter().any(|x| sum(x) == largest));
        }

        #[test]
        fn a_relaxed_pair_fits_and_a_smaller_change_would_not(
            weights: [i8; 2], low: u8, high: u8,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let excess = excess(weights, low, high);
            let with = |change: i8| is_i16(largest_sum([weights[0].wrapping_sub(change), weights[1]], low, high));
            if excess != 0 && weights[0].unsigned_abs() >= weights[1].unsigned_abs() {
                prop_assert!(with(excess) && !with(excess - excess.signum()));
            }
        }
    }
}

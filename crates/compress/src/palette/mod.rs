//! Weight sharing: the weights of a layer become few different values, its palette, found by k-means.
//! The graph stays an ordinary float one that every runtime computes; a packed model with coded
//! weights stores a palette and the entropy of its codes for each layer.
//!
//! Pruned weights stay exactly 0, which takes one value of the palette; what is nearest to it joins them. What a layer adds (biases) and
//! what BatchNorm scales by is rounded to bfloat16, as are the values of palettes: 8 significant bits,
//! whose lower halves are zeros and cost nothing coded.
//!
//! With pruning before, training of the values behind (`keep_palette` of `edgecut_train`) and the coder,
//! this is Deep Compression (Han et al. 2016, arXiv:1510.00149).

mod cluster;

use std::collections::HashMap;

use edgecut_graph::{Graph, Node, Op, Tensor, ValueId};
use serde::{Deserialize, Serialize};

use crate::{CompressError, Result, check_names};
use cluster::{centres, nearest};

/// Settings of [`share_weights`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaletteConfig {
    /// A layer has at most `2^bits` different weights, zero among them; 1 to 8.
    pub bits: u8,
    /// Names of layers that keep their weights.
    pub exclude: Vec<String>,
}

impl Default for PaletteConfig {
    fn default() -> PaletteConfig {
        PaletteConfig { bits: 5, exclude: Vec::new() }
    }
}

/// What became of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PaletteLayer {
    /// Name of its node.
    pub name: String,
    /// Weights.
    pub weights: usize,
    /// Of them, zeros.
    pub zeros: usize,
    /// Different values.
    pub values: usize,
    /// Energy of the weights over that of what clustering changed, in decibels; infinite where it
    /// changed nothing.
    pub sqnr_db: f64,
    /// Bits of information in the code of a weight on average: what an ideal coder takes.
    pub entropy: f64,
}

/// Clusters the weights of convolutions, also depthwise and transposed ones, Gemm and MatMul with
/// constant float weights, each tensor on its own. Tensors of few values already keep them but for rounding, so
/// that the result does not change when it is clustered again.
///
/// # Errors
/// Where a setting is out of range, a name is of no node, a weight is NaN or infinite, or no layer
/// has weights.
pub fn share_weights(graph: &Graph, config: &PaletteConfig) -> Result<(Graph, Vec<PaletteLayer>)> {
    if !(1..=8).contains(&config.bits) {
        return Err(CompressError::Setting {
            field: "palette",
            value: config.bits.to_string(),
            expected: "1 to 8 bits",
        });
    }
    check_names(graph, config.exclude.iter())?;
    let mut shared = graph.clone();
    let mut layers = Vec::new();
    let mut seen = vec![false; graph.values().len()];
    for node in graph.nodes.iter().filter(|node| !config.exclude.contains(&node.name)) {
        for (what, id) in parameters(node) {
            let Some(tensor) = graph.constant(id).filter(|tensor| tensor.f32s().is_ok()) else {
                continue;
            };
            if std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            let old = tensor.f32s()?;
            if !old.iter().all(|weight| weight.is_finite()) {
                return Err(CompressError::BadWeight { node: node.name.clone(), what });
            }
            let new: Vec<f32> = if what == WEIGHT {
                let values = centres(old, 1 << config.bits);
                old.iter().map(|&weight| nearest(&values, weight)).collect()
            } else {
                old.iter().map(|&x| bfloat16(x)).collect()
            };
            if what == WEIGHT {
                layers.push(PaletteLayer::of(&node.name, old, &new));
            }
            shared.set_constant(id, Tensor::new(tensor.shape(), new)?);
        }
    }
    if layers.is_empty() {
        return Err(CompressError::NothingToPrune);
    }
    Ok((shared, layers))
}

/// What is clustered; everything else is rounded.
const WEIGHT: &str = "weight";

/// The parameters of a layer, or of BatchNorm.
fn parameters(node: &Node) -> Vec<(&'static str, ValueId)> {
    let names: &[&'static str] = match node.op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul => &[WEIGHT, "bias"],
        Op::BatchNorm { .. } => &["scale", "bias", "mean", "variance"],
        _ => &[],
    };
    let inputs = node.inputs.iter().skip(1).zip(names);
    inputs.filter_map(|(id, name)| Some((*name, (*id)?))).collect()
}

/// The nearest number of 8 significant bits, halves to even.
fn bfloat16(x: f32) -> f32 {
    let bits = x.to_bits();
    let even = bits >> 16 & 1;
    f32::from_bits(bits.saturating_add(0x7FFF + even) & 0xFFFF_0000)
}

impl PaletteLayer {
    fn of(name: &str, old: &[f32], new: &[f32]) -> PaletteLayer {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        new.iter().for_each(|w| *counts.entry(w.to_bits()).or_default() += 1);
        let square = |x: f32| f64::from(x) * f64::from(x);
        let energy: f64 = old.iter().map(|&w| square(w)).sum();
        let changed: f64 = old.iter().zip(new).map(|(a, b)| square(a - b)).sum();
        // In the order of the counts, which no hashing changes.
        let mut sorted: Vec<usize> = counts.values().copied().collect();
        sorted.sort_unstable();
        let share = |n: &usize| *n as f64 / new.len() as f64;
        PaletteLayer {
            name: name.to_string(),
            weights: new.len(),
            zeros: counts.get(&0).copied().unwrap_or(0),
            values: counts.len(),
            sqnr_db: 10.0 * (energy / changed).log10(),
            entropy: sorted.iter().map(|n| -share(n) * share(n).log2()).sum(),
        }
    }
}

#[cfg(test)]
mod tests;

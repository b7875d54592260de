//! Fine-grained pruning: weights become zero one by one, in small patterns or in blocks. Shapes stay;
//! what is gained is a smaller file (zeros cost next to nothing entropy-coded) and, at high shares or
//! in patterns, time where the runtime has a sparse kernel for the layer.
//!
//! ```text
//! graph ── layers ──> Matrix: outputs x (kernel place, input channel) of every dense layer
//!            ├── score ──> magnitude, LAMP, or the caller's (|w g| of SNIP, -w g of movement)
//!            └── pattern > which elements stand or fall together ──> the least go
//! ```
//!
//! Sources: magnitude, Han et al. 2015 (arXiv:1506.02626); LAMP, Lee et al. 2021 (arXiv:2010.07611);
//! SNIP, Lee et al. 2019 (arXiv:1810.02340); N:M, Mishra et al. 2021 (arXiv:2104.08378); gradual
//! shares, Zhu and Gupta 2017 (arXiv:1710.01878).

mod losses;
mod matrix;
mod pattern;
mod score;

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Tensor, ValueId};
use serde::{Deserialize, Serialize};

use crate::{CompressError, Result, check_names};
use matrix::Matrix;

pub use losses::{Saliency, saliencies};
pub use pattern::Pattern;
pub use score::Criterion;

/// Settings of [`sparsify`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparseConfig {
    /// Share of the weights that become zero, 0 to below 1; of N:M patterns it follows.
    pub share: f64,
    /// Which weights stand or fall together.
    pub pattern: Pattern,
    /// What a weight is worth.
    pub criterion: Criterion,
    /// Each layer loses the share, instead of all layers together.
    pub per_layer: bool,
    /// Names of layers that stay dense.
    pub exclude: Vec<String>,
}

impl Default for SparseConfig {
    fn default() -> SparseConfig {
        SparseConfig {
            share: 0.8,
            pattern: Pattern::Single,
            criterion: Criterion::Lamp,
            per_layer: false,
            exclude: Vec::new(),
        }
    }
}

/// What became of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SparseLayer {
    /// Name of its node.
    pub name: String,
    /// Weights.
    pub weights: usize,
    /// Of them, zeros.
    pub zeros: usize,
}

/// The share of weights that are zero after `step` of `steps` steps towards `share`: fast at first,
/// when the network has much to spare, slow at the end (the cubic schedule of Zhu and Gupta 2017).
pub fn gradual_share(share: f64, step: usize, steps: usize) -> f64 {
    let left = 1.0 - step.min(steps) as f64 / steps.max(1) as f64;
    share * (1.0 - left * left * left)
}

/// Sets the least weights of the dense layers of `graph` to zero: convolutions that are not
/// depthwise, Gemm and MatMul with constant float weights. Zeros stay zeros, so that a graph can be
/// made sparser step by step. `scores`, by the names of weights, replace the criterion where given:
/// one number for each weight, the least go first.
///
/// # Errors
/// Where a setting is out of range, a name is of no node, or no layer has weights.
pub fn sparsify(
    graph: &Graph,
    config: &SparseConfig,
    scores: &BTreeMap<String, Vec<f64>>,
) -> Result<(Graph, Vec<SparseLayer>)> {
    config.check()?;
    check_names(graph, config.exclude.iter())?;
    let layers = Matrix::of_layers(graph, &config.exclude);
    if layers.is_empty() {
        return Err(CompressError::NothingToPrune);
    }
    let mut weights: Vec<Vec<f32>> = Vec::new();
    let mut units = Vec::new();
    for (index, (layer, id)) in layers.iter().enumerate() {
        let values = values(graph, *id)?.to_vec();
        let worth = match scores.get(&graph.value(*id).name) {
            Some(given) if given.len() == values.len() => given.clone(),
            Some(given) => {
                return Err(CompressError::Setting {
                    field: "scores",
                    value: format!("{} of '{}'", given.len(), layer.name),
                    expected: "one for each weight",
                });
            }
            None => config.criterion.score(&values),
        };
        units.push(config.pattern.units(layer, index, &worth));
        weights.push(values);
    }
    let share = config.pattern.share_of_units(config.share);
    for (layer, element) in pattern::least(units, share, config.per_layer) {
        weights[layer][element] = 0.0;
    }
    let mut sparse = graph.clone();
    for ((_, id), values) in layers.into_iter().zip(weights) {
        let shape = graph.value(id).shape.with_symbols(1);
        sparse.set_constant(id, Tensor::new(shape, values)?);
    }
    let report = count_zeros(&sparse, &config.exclude)?;
    Ok((sparse, report))
}

/// The zeros in each layer that [`sparsify`] would look at.
///
/// # Errors
/// Where a name is of no node.
pub fn count_zeros(graph: &Graph, exclude: &[String]) -> Result<Vec<SparseLayer>> {
    check_names(graph, exclude.iter())?;
    let count = |(layer, id): (Matrix, ValueId)| {
        let values = values(graph, id)?;
        let zeros = values.iter().filter(|&&w| w == 0.0).count();
        Ok(SparseLayer { name: layer.name, weights: values.len(), zeros })
    };
    Matrix::of_layers(graph, exclude).into_iter().map(count).collect()
}

fn values(graph: &Graph, id: ValueId) -> Result<&[f32]> {
    let tensor = graph.constant(id).ok_or(CompressError::NothingToPrune)?;
    Ok(tensor.f32s()?)
}

impl SparseConfig {
    fn check(&self) -> Result<()> {
        self.pattern.check()?;
        match (0.0..1.0).contains(&self.share) {
            true => Ok(()),
            false => Err(CompressError::Setting {
                field: "share",
                value: self.share.to_string(),
                expected: "0 to below 1",
            }),
        }
    }
}

#[cfg(test)]
mod tests;

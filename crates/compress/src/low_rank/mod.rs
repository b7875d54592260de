//! Low rank: a 1x1 convolution or linear layer becomes two thinner ones, where that is cheaper.
//!
//! Weights `W` `[o, i]` of rank r are `U V`, `[o, r]` and `[r, i]`, with r (o + i) instead of o i
//! products. The best `U V` of each rank comes from the largest singular values (Eckart and Young 1936),
//! and what it loses, squared, is the sum of the squares of the others. So a layer keeps the rank that
//! keeps a share of its energy, and under a target in multiply-adds all layers keep the same share, the
//! largest that meets it. (Denton et al. 2014, arXiv:1404.0736.)
//!
//! Left singular vectors and squared singular values are eigenvectors and eigenvalues of `W W'` in
//! float64: squaring costs half the digits of singular values, and 8 are left, as many as weights have.
//! `V` is the projection of `W` itself, so that a full rank gives `W` to the last digits.

mod eigen;
mod factors;
mod replace;

use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Node, Op};
use serde::{Deserialize, Serialize};

use crate::{CompressError, Control, Result, check_names};
use factors::Factors;

/// How much of the layers is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// This share of each layer's squared weights, above 0, at most 1.
    Energy(f64),
    /// As much as leaves the network this share of its multiply-adds, above 0, below 1.
    Macs(f64),
}

/// Settings of [`factorise`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowRankConfig {
    /// How much is kept.
    pub keep: Keep,
    /// Names of layers that stay as they are.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// What became of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LowRankLayer {
    /// Name of its node.
    pub name: String,
    /// Outputs.
    pub outputs: usize,
    /// Inputs.
    pub inputs: usize,
    /// Channels between the two layers that it became; none where it stays one.
    pub rank: Option<usize>,
    /// Share of its squared weights that is left.
    pub energy: f64,
}

/// A network with thinner layers.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// The network. A layer that became two is `NAME.in`, without bias, and `NAME`.
    pub graph: Graph,
    /// All layers that could become two.
    pub layers: Vec<LowRankLayer>,
    /// Whether a target in multiply-adds is met. Where it is not, the network is as small as it gets.
    pub met: bool,
}

/// Makes two layers of each 1x1 convolution without groups, Gemm and MatMul with constant float weights
/// that nobody else reads, where they are cheaper than the one.
///
/// # Errors
/// Where a setting is out of range, a name is of no node, a weight is NaN or infinite, no layer is of
/// these kinds, or somebody stops it.
pub fn factorise(graph: &Graph, config: &LowRankConfig, control: &Control) -> Result<LowRank> {
    config.check()?;
    check_names(graph, config.exclude.iter())?;
    let layers = candidates(graph, config, control)?;
    if layers.is_empty() {
        return Err(CompressError::NothingToPrune);
    }
    let (total, energy) = match config.keep {
        Keep::Energy(energy) => (u64::MAX, energy),
        Keep::Macs(share) => {
            let most = (share * cost(graph, 1)?.macs as f64) as u64;
            (most, largest_energy(graph, &layers, most)?)
        }
    };
    let mut thin = graph.clone();
    let mut report = Vec::new();
    for layer in &layers {
        let rank = layer.factors.rank(energy);
        if let Some(rank) = rank {
            replace::replace(&mut thin, &layer.name, layer.factors.cut(rank))?;
        }
        report.push(LowRankLayer {
            name: layer.name.clone(),
            outputs: layer.factors.outputs,
            inputs: layer.factors.inputs,
            rank,
            energy: rank.map_or(1.0, |rank| layer.factors.energy(rank)),
        });
    }
    thin.remove_unused();
    let met = cost(&thin, 1)?.macs <= total;
    Ok(LowRank { graph: thin, layers: report, met })
}

/// A layer that may become two.
struct Layer {
    name: String,
    factors: Factors,
    /// Multiply-adds for each weight.
    uses: u64,
}

fn candidates(graph: &Graph, config: &LowRankConfig, control: &Control) -> Result<Vec<Layer>> {
    let consumers = graph.consumers();
    let mut layers = Vec::new();
    for (node, cost) in graph.nodes.iter().zip(cost(graph, 1)?.nodes) {
        let weight = node.inputs.get(1).copied().flatten();
        let alone = weight.filter(|id| consumers[id.index()].len() == 1 && !graph.is_output(*id));
        let Some(tensor) = alone.and_then(|id| graph.constant(id)) else { continue };
        let (Some(form), Ok(weights)) = (Form::of(node, tensor.shape()), tensor.f32s()) else {
            continue;
        };
        if config.exclude.contains(&node.name) {
            continue;
        }
        control.check()?;
        (control.say)(&node.name);
        let factors = Factors::of(weights, form)
            .ok_or_else(|| CompressError::BadWeight { node: node.name.clone(), what: "weight" })?;
        let uses = cost.macs / (tensor.len() as u64).max(1);
        layers.push(Layer { name: node.name.clone(), factors, uses });
    }
    Ok(layers)
}

/// The largest share of energy with which the network has at most `most` multiply-adds; the smallest
/// one where none has.
fn largest_energy(graph: &Graph, layers: &[Layer], most: u64) -> Result<f64> {
    let macs = cost(graph, 1)?.macs;
    let left = |energy: f64| {
        let saved = |layer: &Layer| {
            let rank = layer.factors.rank(energy);
            rank.map_or(0, |rank| layer.uses * layer.factors.saves(rank) as u64)
        };
        macs - layers.iter().map(saved).sum::<u64>()
    };
    // Half of the interval is left each time: 50 steps leave no float64 between its ends.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if left(middle) <= most { low = middle } else { high = middle }
    }
    Ok(low)
}

/// How a layer keeps its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    outputs: usize,
    inputs: usize,
    /// Whether a row of the tensor holds the weights of an output.
    by_output: bool,
}

impl Form {
    fn of(node: &Node, shape: &[usize]) -> Option<Form> {
        let (outputs, inputs, by_output) = match (&node.op, shape) {
            (Op::Conv(conv), &[outputs, inputs, 1, 1]) if conv.groups == 1 => {
                (outputs, inputs, true)
            }
            (Op::Gemm(gemm), &[a, b]) if !gemm.trans_a => match gemm.trans_b {
                true => (a, b, true),
                false => (b, a, false),
            },
            (Op::MatMul, &[inputs, outputs]) => (outputs, inputs, false),
            _ => return None,
        };
        (outputs > 0 && inputs > 0).then_some(Form { outputs, inputs, by_output })
    }
}

impl LowRankConfig {
    fn check(&self) -> Result<()> {
        let (value, fine, expected) = match self.keep {
            Keep::Energy(e) => (e, e > 0.0 && e <= 1.0, "a share of energy above 0, at most 1"),
            Keep::Macs(m) => (m, m > 0.0 && m < 1.0, "a share of multiply-adds between 0 and 1"),
        };
        let wrong =
            CompressError::Setting { field: "low rank", value: value.to_string(), expected };
        if fine { Ok(()) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests;

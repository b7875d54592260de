//! Training of a model that exists: a new head, frozen layers, rates of their own for layers.
//!
//! Which layers are meant is said by patterns over names, in which `*` stands for any characters
//! and `?` for one. A pattern matches a node by its own name or by that of one of its constants,
//! since exporters keep the names that a framework knows in the one or in the other.

mod head;
mod pattern;

use edgecut_graph::{Graph, Node, Op};
use serde::{Deserialize, Serialize};

pub use head::{Head, replace_head};
use pattern::matches;

use crate::error::{Result, TrainError};
use crate::plan::PlanOptions;

/// Which layers learn, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FineTune {
    /// Patterns of nodes that stay as they are, statistics of BatchNorm included.
    pub freeze: Vec<String>,
    /// Patterns of nodes and factors of their learning rate; all that match apply.
    pub rates: Vec<(String, f32)>,
    /// Factor of the learning rate from each layer to the one before it, so that what is far from
    /// the output changes least.
    pub layer_decay: Option<f32>,
    /// Whether BatchNorm uses its running statistics in training too: right for few pictures, or
    /// small batches.
    pub fixed_statistics: bool,
    /// Nodes of a new head: they learn at the full rate whatever the patterns say.
    pub head: Vec<String>,
}

impl FineTune {
    /// What it means for a plan of `graph`.
    ///
    /// # Errors
    /// A factor out of range, or a pattern that no node with parameters matches.
    pub fn options(&self, graph: &Graph) -> Result<PlanOptions> {
        self.validate()?;
        let mut rates = self.decayed(graph);
        for (pattern, factor) in &self.rates {
            self.apply(graph, "rates", pattern, *factor, &mut rates)?;
        }
        for pattern in &self.freeze {
            self.apply(graph, "freeze", pattern, 0.0, &mut rates)?;
        }
        let fixed_statistics = self.fixed_statistics;
        Ok(PlanOptions { rates, fixed_statistics, ..PlanOptions::default() })
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn validate(&self) -> Result<()> {
        if let Some(decay) = self.layer_decay.filter(|d| !(*d > 0.0 && *d <= 1.0)) {
            let problem = format!("{decay}; must be above 0, at most 1");
            return Err(TrainError::config("layer_decay", problem));
        }
        match self.rates.iter().find(|(_, factor)| !(0.0..=1000.0).contains(factor)) {
            Some((pattern, factor)) => {
                let problem = format!("{factor} for '{pattern}'; must be 0 to 1000");
                Err(TrainError::config("rates", problem))
            }
            None => Ok(()),
        }
    }

    /// Rates by distance from the output.
    fn decayed(&self, graph: &Graph) -> Vec<f32> {
        let Some(decay) = self.layer_decay else { return vec![1.0; graph.nodes.len()] };
        let layers = graph.nodes.iter().filter(|n| begins_layer(graph, n)).count();
        let mut begun = 0;
        let rate = |node: &Node| {
            begun += usize::from(begins_layer(graph, node));
            // What follows a layer, such as its BatchNorm, belongs to it.
            let after = layers - usize::max(begun, 1).min(layers);
            (0..after).fold(1.0, |rate, _| rate * decay)
        };
        graph.nodes.iter().map(rate).collect()
    }

    fn apply(
        &self,
        graph: &Graph,
        field: &'static str,
        pattern: &str,
        factor: f32,
        rates: &mut [f32],
    ) -> Result<()> {
        let mut found = false;
        for (node, rate) in graph.nodes.iter().zip(rates) {
            let own = std::iter::once(node.name.as_str()).chain(constants(graph, node));
            if constants(graph, node).next().is_some() && own.clone().any(|n| matches(pattern, n)) {
                found = true;
                if !self.head.contains(&node.name) {
                    *rate *= factor;
                }
            }
        }
        if found {
            return Ok(());
        }
        let mut names = graph.nodes.iter().filter(|n| constants(graph, n).next().is_some());
        let example: Vec<&str> = names.by_ref().take(3).map(|n| n.name.as_str()).collect();
        let problem = format!(
            "no node with parameters matches '{pattern}'; such are called {}",
            example.join(", ")
        );
        Err(TrainError::config(field, problem))
    }
}

/// Names of the constants that a node reads.
fn constants<'g>(graph: &'g Graph, node: &'g Node) -> impl Iterator<Item = &'g str> + Clone {
    let values = node.inputs.iter().flatten().map(|&id| graph.value(id));
    values.filter(|v| v.constant.is_some()).map(|v| v.name.as_str())
}

/// Whether a node is a layer with a matrix of weights.
fn begins_layer(graph: &Graph, node: &Node) -> bool {
    let weighted = matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul);
    weighted && constants(graph, node).next().is_some()
}

#[cfg(test)]
mod tests;

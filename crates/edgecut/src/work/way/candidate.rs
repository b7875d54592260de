//! A network that was tried.

use serde::{Deserialize, Serialize};

use super::costs::Costs;

/// What makes one network from another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Action {
    /// The network it begins with, quantised.
    Start,
    /// Channels go until the largest cost is `aim` times its bound; then it learns from the first
    /// network, and is quantised.
    Prune {
        /// Cost over bound.
        aim: f64,
        /// Of learning.
        epochs: usize,
    },
    /// It learns on, and is quantised again.
    Polish {
        /// Of learning.
        epochs: usize,
    },
    /// Its integers learn (quantisation-aware training).
    Integers {
        /// Of learning.
        epochs: usize,
    },
}

impl Action {
    /// In a few words.
    pub fn text(&self) -> String {
        match self {
            Action::Start => "quantise".into(),
            Action::Prune { aim, epochs } => {
                format!("prune to {aim:.2} of the budget, learn {epochs} epochs, quantise")
            }
            Action::Polish { epochs } => format!("learn {epochs} epochs more, quantise"),
            Action::Integers { epochs } => format!("train the integers {epochs} epochs"),
        }
    }
}

/// A network that was tried, float and quantised, with what was measured. Accuracies are of the
/// pictures that decide, which are none of those of the final figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Position in the journal.
    pub id: usize,
    /// The one that it was made from.
    pub parent: Option<usize>,
    /// How.
    pub action: Action,
    /// Why.
    pub why: String,
    /// Top-1 of the float network, percent.
    pub float_accuracy: f64,
    /// Top-1 of the quantised one, percent.
    pub accuracy: f64,
    /// What the quantised one costs.
    pub costs: Costs,
    /// What its latency was predicted to be, in milliseconds, before any correction.
    pub predicted_ms: Option<f64>,
    /// Multiply-adds.
    pub macs: u64,
    /// Parameters.
    pub params: u64,
    /// That making and measuring it took.
    pub seconds: f64,
    /// SHA-256 of the float and of the quantised file.
    pub sha256: [String; 2],
    /// Shell commands that make it from its parent.
    pub commands: Vec<String>,
}

//! What of a graph is trained, and what of it is looked at.

use std::collections::{BTreeMap, BTreeSet};

use edgecut_graph::ValueId;

use super::Budget;
use crate::config::Precision;

/// Choices of a [`TrainPlan`](super::TrainPlan).
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Factor of the learning rate for each node of the graph, in order; 0 freezes its parameters
    /// and, of BatchNorm, the running statistics. Empty: 1 for all.
    pub rates: Vec<f32>,
    /// Whether BatchNorm normalises by its running statistics in training too, and leaves them as
    /// they are, while scale and bias are trained.
    pub fixed_statistics: bool,
    /// Smallest and largest code of weights behind QuantizeLinear, by the name of the float
    /// constant: -7 and 7 for 4 bits. Where none are given, all of the type.
    pub codes: BTreeMap<String, [f32; 2]>,
    /// Names of the zero points of activations that are trained; each belongs to one scale.
    pub zero_points: BTreeSet<String>,
    /// Values that the engine lets be read after the forward pass and takes gradients for: what a
    /// teacher's features, or another loss, act on. The image may be one: its gradient can be read
    /// after the backward pass.
    pub taps: Vec<ValueId>,
    /// Parameters that are none of the graph's, such as what brings a student's features to its
    /// teacher's size: trained, averaged and saved as the others. Their gradients come from the
    /// caller.
    pub extras: Vec<Extra>,
    /// What a step may use. Where everything takes more, activations are dropped after the forward
    /// pass and computed again in the backward pass; no bit of any result changes. Without a budget
    /// those are dropped that cost next to nothing.
    pub memory: Option<Budget>,
    /// What products compute in while training.
    pub precision: Precision,
}

/// A parameter beside the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Its name, unique among the parameters.
    pub name: String,
    /// Its first values.
    pub values: Vec<f32>,
    /// Whether weight decay applies.
    pub decayed: bool,
}

impl PlanOptions {
    /// Factor of the learning rate of the node at `index`.
    pub(crate) fn rate(&self, index: usize) -> f32 {
        self.rates.get(index).copied().unwrap_or(1.0)
    }
}

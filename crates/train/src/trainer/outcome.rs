//! What a training returns.

use edgecut_graph::Graph;
use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::progress::EpochStats;

/// Why a training returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All epochs were done.
    Completed,
    /// The observer asked for it.
    Stopped,
    /// The time was used up.
    OutOfTime,
    /// The accuracy had not risen for as long as was allowed.
    Plateau,
}

/// What a training returns.
#[derive(Clone, Debug)]
pub struct TrainOutcome {
    /// The graph with trained weights: the last moving averages where weights are averaged, the
    /// last weights otherwise. Only with [`TrainConfig::patience`](crate::TrainConfig::patience) a choice by validation accuracy.
    /// Metadata tell the preprocessing and the class names.
    pub graph: Graph,
    /// What these weights achieve on the validation data. `None` without such data, or when the
    /// observer stopped the training.
    pub validation: Option<Evaluation>,
    /// One entry for each finished epoch.
    pub history: Vec<EpochStats>,
    /// Why it returned.
    pub ending: Ending,
    /// Steps done, all runs together.
    pub steps: u64,
    /// Training images per second in this run, validation not counted; 0 if there was no step.
    pub images_per_second: f64,
    /// Seconds of training, all runs together.
    pub seconds: f64,
}

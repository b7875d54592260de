//! What a training returns.

use edgecut_graph::Graph;
use serde::{Deserialize, Serialize};

use super::{CLASSES_KEY, Trainer};
use crate::data::transform::METADATA_KEY;
use crate::error::{Result, TrainError};
use crate::evaluate::Evaluation;
use crate::plan::Memory;
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
    /// last weights otherwise. A choice by validation accuracy only with
    /// [`TrainConfig::patience`](crate::TrainConfig::patience), and where [`TrainOutcome::kept`] is
    /// true. Metadata tell the preprocessing and the class names.
    pub graph: Graph,
    /// Whether training has made a quantised graph worse on the validation data, so that `graph`
    /// has the weights that it began with.
    pub kept: bool,
    /// What a quantised graph achieved on the validation data before it was trained.
    pub before: Option<Evaluation>,
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
    /// What a step worked on.
    pub memory: Memory,
}

impl Trainer<'_> {
    /// The result of a training of `graph` that ended so.
    pub(super) fn finish(mut self, graph: &Graph, ending: Ending) -> Result<TrainOutcome> {
        if let Some((values, stats)) = self.best.take().filter(|_| ending != Ending::Stopped) {
            self.ema = None;
            let params = self.engine.params_mut();
            (params.values, params.stats) = (values, stats);
            self.last_validation = None;
        }
        // Weights have changed since the last epoch's end, or that was in an earlier run.
        let stale = self.state.seen > 0 || self.last_validation.is_none();
        if stale {
            self.last_validation = None;
            if ending != Ending::Stopped {
                self.validate()?;
            }
        }
        let kept = match (&self.last_validation, &self.before) {
            (Some(after), Some(before)) => after.counts.top1 < before.counts.top1,
            _ => false,
        };
        let mut graph = if kept {
            self.last_validation.clone_from(&self.before);
            graph.clone()
        } else {
            self.swap_average();
            self.engine.write_back(graph)?
        };
        let json = |e: serde_json::Error| TrainError::config("preprocess", e.to_string());
        let preprocess = serde_json::to_string(self.preprocess).map_err(json)?;
        let classes = serde_json::to_string(self.train.classes()).map_err(json)?;
        graph.metadata.insert(METADATA_KEY.into(), preprocess);
        graph.metadata.insert(CLASSES_KEY.into(), classes);
        Ok(TrainOutcome {
            graph,
            kept,
            images_per_second: self.images_per_second(),
            seconds: self.seconds(),
            steps: self.state.step,
            before: self.before,
            validation: self.last_validation,
            history: self.state.history,
            memory: self.memory,
            ending,
        })
    }
}

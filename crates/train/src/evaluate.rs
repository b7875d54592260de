//! Accuracy and loss of a model on labelled pictures.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Loader, LoaderOptions, Preprocess};
use crate::engine::Engine;
use crate::error::Result;
use crate::metrics::Counts;

/// What a model achieves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross entropy, without smoothing.
    pub loss: f64,
    /// Hits and confusions.
    pub counts: Counts,
}

/// Runs the engine's model, with running statistics, over all of `set`.
///
/// # Errors
/// A sample that cannot be read or prepared.
///
/// # Panics
/// If `preprocess` makes another shape than the model takes, or a label is not one of its classes.
pub fn evaluate(
    engine: &mut Engine,
    set: Arc<dyn Dataset>,
    preprocess: &Preprocess,
) -> Result<Evaluation> {
    let mut counts = Counts::new(engine.plan().classes());
    let mut loss = 0.0;
    let options = LoaderOptions::evaluation(engine.plan().batch());
    let mut loader = Loader::new(set, preprocess, &options)?;
    while let Some(batch) = loader.next_batch()? {
        engine.forward(&batch.x, batch.n, false);
        loss += engine.loss(&batch.labels, 0.0) * batch.n as f64;
        counts.add_rows(engine.logits(), &batch.labels);
    }
    Ok(Evaluation { loss: loss / counts.total.max(1) as f64, counts })
}

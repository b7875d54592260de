//! What a training finds out from its parts before it begins.

use std::sync::Arc;

use edgecut_graph::Graph;

use crate::checkpoint::Identity;
use crate::config::{ClassWeights, TrainConfig};
use crate::data::{Dataset, Preprocess};
use crate::error::{Result, TrainError};
use crate::fingerprint;
use crate::plan::{PlanOptions, TrainPlan};
use crate::qat::Unfolded;
use crate::targets::{Targets, balanced_weights};

/// What of `graph` is trained, and in what precision.
pub(super) fn choices(
    graph: &Graph,
    unfolded: Option<&Unfolded>,
    config: &TrainConfig,
) -> Result<PlanOptions> {
    if unfolded.is_some() && config.precision.is_bf16() {
        let problem = "bf16 is for float models: the sums of a quantised one are exact in f32";
        return Err(TrainError::config("precision", problem));
    }
    let mut choices = config.fine_tune.options(graph)?;
    choices.precision = config.precision;
    if let Some(unfolded) = unfolded {
        choices.codes.clone_from(&unfolded.codes);
        choices.zero_points = unfolded.zero_points().filter(|_| config.zero_points).collect();
    }
    Ok(choices)
}

/// How `config` makes targets of labels.
pub(super) fn targets(
    config: &TrainConfig,
    train: &Arc<dyn Dataset>,
    classes: usize,
) -> Result<Targets> {
    let weights = match &config.class_weights {
        ClassWeights::None => None,
        ClassWeights::Balanced => {
            Some(balanced_weights((0..train.len()).map(|i| train.label(i)), classes))
        }
        ClassWeights::Each(weights) if weights.len() == classes => Some(weights.clone()),
        ClassWeights::Each(weights) => {
            let problem = format!("{} for {classes} classes", weights.len());
            return Err(TrainError::config("class_weights", problem));
        }
    };
    Ok(Targets::new(classes, config.label_smoothing, weights))
}

/// Checks that pictures and labels fit the model.
pub(super) fn check_fit(
    plan: &TrainPlan,
    train: &Arc<dyn Dataset>,
    val: Option<&Arc<dyn Dataset>>,
    preprocess: &Preprocess,
) -> Result<()> {
    let input = plan.input();
    let shape = preprocess.shape();
    if [input.h, input.w, input.c] != shape {
        let [h, w, c] = shape;
        return Err(TrainError::config(
            "preprocess",
            format!(
                "pictures become {h}x{w} with {c} channels, the model takes {}x{} with {}",
                input.h, input.w, input.c
            ),
        ));
    }
    for set in std::iter::once(train).chain(val) {
        let classes = set.classes().len();
        if classes > plan.classes() {
            let problem = format!("{classes} classes, the model has {}", plan.classes());
            return Err(TrainError::config("data", problem));
        }
        if let Some(i) = (0..set.len()).find(|&i| set.label(i) as usize >= plan.classes()) {
            let problem = format!("sample {i} has label {} of {classes} classes", set.label(i));
            return Err(TrainError::config("data", problem));
        }
    }
    Ok(())
}

/// Digests of all that a checkpoint belongs to.
pub(super) fn identity(
    graph: &Graph,
    train: &Arc<dyn Dataset>,
    val: Option<&Arc<dyn Dataset>>,
    preprocess: &Preprocess,
    config: &TrainConfig,
) -> Result<Identity> {
    let mut data = fingerprint::of_data(train.as_ref(), preprocess)?;
    if let Some(val) = val {
        let other = fingerprint::of_data(val.as_ref(), preprocess)?;
        data = fingerprint::combine(&[data, other]);
    }
    Ok(Identity {
        config: fingerprint::of_config(config),
        model: fingerprint::of_graph(graph),
        data,
    })
}

//! How a network that has lost channels or weights is trained on.

use clap::{ArgAction, Args};
use serde::{Deserialize, Serialize};

use super::{DistillSettings, TrainSettings, Wrong, check};

/// Learning rate where none is set: a fifth of a new network's.
const LR: f32 = 0.02;

/// How to reach a target in steps, and how to train on between them.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoverSettings {
    /// Reach the target in so many steps: each takes the same part of what is left, and looks anew
    /// at what is worth least
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub steps: usize,
    /// Epochs of training after each step, for which it needs --data; 0 only prunes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epochs: usize,
    /// Epochs after the last step [default: as after the others]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_epochs: Option<usize>,
    /// Learning rate that each of these trainings begins with, falling along half a cosine [default:
    /// 0.02, or 0.0003 for a quantised model]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f32>,
    /// Pictures per step of training
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub batch: usize,
    /// Parts in which a batch is computed, one after the other: less memory, and faster where a part
    /// fits into the processor's cache
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accumulate: usize,
    /// Weight decay while training
    #[arg(long, value_name = "X", default_value_t = 5e-4)]
    pub weight_decay: f32,
    /// Whether the model as it was teaches what is left of it
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub distill: bool,
    /// Share of the loss that is the teacher's; the rest is that of the labels
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub alpha: f32,
    /// Mirror every second picture at random while training
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub flip: bool,
    /// Random crop while training, after padding by this many pixels; 0 is off
    #[arg(long, value_name = "PIXELS", default_value_t = 2)]
    pub crop: usize,
}

impl Default for RecoverSettings {
    fn default() -> RecoverSettings {
        RecoverSettings {
            steps: 1,
            epochs: 0,
            final_epochs: None,
            lr: None,
            batch: 64,
            accumulate: 1,
            weight_decay: 5e-4,
            distill: true,
            alpha: 0.9,
            flip: true,
            crop: 2,
        }
    }
}

impl RecoverSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let (steps, last) = (self.steps, self.final_epochs.unwrap_or(0));
        check((1..=1000).contains(&steps), "steps", || format!("is {steps}, must be 1 to 1000"))?;
        check(self.epochs <= 100_000, "epochs", || "is above 100000".into())?;
        check(last <= 100_000, "final_epochs", || "is above 100000".into())?;
        let distill = DistillSettings { alpha: self.alpha, ..DistillSettings::default() };
        distill.validate()?;
        self.training(1, 0, false).validate()
    }

    /// Epochs after step `number` of them all, from 1.
    pub fn epochs_after(&self, number: usize) -> usize {
        if number == self.steps { self.final_epochs.unwrap_or(self.epochs) } else { self.epochs }
    }

    /// Whether anything is trained.
    pub fn trains(&self) -> bool {
        (1..=self.steps).any(|number| self.epochs_after(number) > 0)
    }

    /// Settings of one training, of a network that is `quantised` or not. It is trained already: without
    /// a long warm-up.
    pub fn training(&self, epochs: usize, seed: u64, quantised: bool) -> TrainSettings {
        TrainSettings {
            epochs,
            batch: self.batch,
            accumulate: self.accumulate,
            lr: self.lr.or((!quantised).then_some(LR)),
            weight_decay: self.weight_decay,
            warmup_epochs: 0.2,
            label_smoothing: 0.0,
            ema_decay: 0.99,
            crop: self.crop,
            flip: self.flip,
            seed,
            ..TrainSettings::default()
        }
    }
}

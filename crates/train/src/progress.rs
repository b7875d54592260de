//! What a training tells its observer, and what the observer answers.

use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::plan::Memory;

/// What one epoch achieved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochStats {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean loss over the epoch's training images, as they came (augmented, smoothed labels).
    pub train_loss: f64,
    /// Share of these images that were recognised at the time.
    pub train_accuracy: f64,
    /// Mean cross entropy on the validation data at the end of the epoch.
    pub val_loss: Option<f64>,
    /// Accuracy on the validation data at the end of the epoch, with averaged weights if they are
    /// averaged.
    pub val_accuracy: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f32,
    /// Seconds since the training began, time between runs not counted.
    pub seconds: f64,
}

impl EpochStats {
    pub(crate) const NUMBERS: usize = 7;

    pub(crate) fn to_numbers(self) -> [f64; EpochStats::NUMBERS] {
        [
            self.epoch as f64,
            self.train_loss,
            self.train_accuracy,
            self.val_loss.unwrap_or(f64::NAN),
            self.val_accuracy.unwrap_or(f64::NAN),
            self.lr.into(),
            self.seconds,
        ]
    }

    pub(crate) fn from_numbers(n: [f64; EpochStats::NUMBERS]) -> EpochStats {
        let some = |v: f64| (!v.is_nan()).then_some(v);
        EpochStats {
            epoch: n[0] as usize,
            train_loss: n[1],
            train_accuracy: n[2],
            val_loss: some(n[3]),
            val_accuracy: some(n[4]),
            lr: n[5] as f32,
            seconds: n[6],
        }
    }
}

/// Where a training stands, told to its observer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// What has just happened.
    pub event: Event<'a>,
    /// Current epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps of this epoch that are done.
    pub step: usize,
    /// Steps in an epoch.
    pub steps_per_epoch: usize,
    /// Mean loss of this epoch so far.
    pub loss: f64,
    /// Accuracy on this epoch's training images so far.
    pub accuracy: f64,
    /// Learning rate of the last step.
    pub lr: f32,
    /// Training images per second in this run, validation not counted; 0 before the first step.
    pub images_per_second: f64,
    /// Estimate of the time that is left; `None` before there is anything to go by.
    pub seconds_left: Option<f64>,
}

/// What has just happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// What the quantised model that is about to be trained achieves on the validation data.
    Begun(&'a Evaluation),
    /// Training is about to begin, with this much memory.
    Planned(&'a Memory),
    /// A checkpoint was found and training goes on from it.
    Resumed,
    /// A step was done.
    Step,
    /// A sample cannot be read and is skipped.
    Skipped {
        /// Its number in the set.
        sample: usize,
        /// Why.
        reason: &'a str,
    },
    /// Validation begins.
    Validating,
    /// An epoch ended.
    EpochEnd(&'a EpochStats),
    /// A checkpoint was written.
    Saved,
}

/// What the observer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Write a checkpoint, if there is one to write, and return what there is.
    Stop,
}

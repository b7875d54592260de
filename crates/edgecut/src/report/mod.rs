//! The report of a deployment: everything that was measured, as JSON and as a page.
//!
//! `report.json` is this struct; `report.html` is a pure function of it, so nothing can stand on
//! the page that is not in the data. Nothing in it is estimated: sizes are those of the files,
//! latencies and accuracies are of runs on this machine.

pub mod charts;
pub mod collect;
mod html;
pub mod quantised;
pub mod search;
mod sections;
pub mod trained;
pub mod way;

use serde::{Deserialize, Serialize};

use crate::host::Machine;
use crate::recipe::Recipe;
use crate::stats::{Share, Times};
use crate::work::way::Way;

pub use html::{head, page};

/// Version of the format of `report.json`.
pub const SCHEMA: u32 = 1;

/// Everything that a deployment measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Title.
    pub name: String,
    /// When the measurements ended.
    pub created: String,
    /// The recipe, defaults filled in.
    pub recipe: Recipe,
    /// The data.
    pub data: DataFacts,
    /// The network.
    pub model: ModelFacts,
    /// The training.
    pub training: TrainingFacts,
    /// Seconds that each stage took, over all runs of the command.
    pub stages: Vec<Stage>,
    /// From the float model to the quantised one, where a budget was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The float model.
    pub float: Variant,
    /// The quantised model.
    pub int8: Variant,
    /// Test pictures for which both give the same answer.
    pub agreement: Share,
    /// What was asked for, and what was measured.
    pub checks: Vec<Check>,
    /// The machine of every figure here.
    pub machine: Machine,
    /// Shell commands that give the same models and figures.
    pub commands: Vec<String>,
    /// Some test pictures with their predictions.
    pub pictures: Vec<Picture>,
}

/// What was trained and tested on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataFacts {
    /// Name of the set.
    pub name: String,
    /// What a reader must know before quoting a figure.
    pub note: Option<String>,
    /// Training pictures.
    pub train: usize,
    /// Test pictures.
    pub test: usize,
    /// Class names in label order.
    pub classes: Vec<String>,
}

/// The network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Name of the architecture, or of the file it began with.
    pub name: String,
    /// Input as `[1, channels, height, width]`.
    pub input: Vec<usize>,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds for one picture.
    pub macs: u64,
}

/// The training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// One entry per epoch.
    pub history: Vec<Epoch>,
    /// Training pictures per second, augmentation included.
    pub images_per_second: f64,
    /// Whether the budget of time ended it before the last epoch.
    pub stopped_early: bool,
}

/// One pass over the training pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss (label smoothing included).
    pub train_loss: f64,
    /// Training accuracy on augmented pictures, percent.
    pub train_accuracy: f64,
    /// Loss on the test part.
    pub test_loss: f64,
    /// Accuracy on the test part, percent.
    pub test_accuracy: f64,
}

/// Time of one stage of the deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Name.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

/// One of the two models, measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Variant {
    /// File name, beside the report.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Size of the file.
    pub file_bytes: u64,
    /// Packed weights in memory.
    pub weight_bytes: u64,
    /// Activations in memory: the runtime's arena for one picture.
    pub arena_bytes: u64,
    /// Right answers on the test part.
    pub accuracy: Share,
    /// Right class among the five most likely; `None` below 6 classes.
    pub top5: Option<Share>,
    /// One entry per class.
    pub per_class: Vec<ClassFigures>,
    /// `confusion[label][prediction]`; empty above 100 classes.
    pub confusion: Vec<Vec<u32>>,
    /// Latency for one picture.
    pub latency: Times,
    /// Time of every step of the plan, in order.
    pub operators: Vec<OperatorTime>,
}

/// Precision and recall of one class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Share of the pictures given this label that have it.
    pub precision: Share,
    /// Share of the pictures of this class that are recognised.
    pub recall: Share,
}

/// Time of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperatorTime {
    /// Name of the step.
    pub name: String,
    /// What it computes.
    pub kind: String,
    /// Median over the profiled runs, microseconds.
    pub median_us: f64,
    /// Share of the sum of all steps, percent.
    pub share: f64,
    /// Multiply-adds.
    pub macs: u64,
}

/// A demand of the recipe and how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Field of the recipe.
    pub name: String,
    /// What was asked for.
    pub wanted: String,
    /// What was measured.
    pub measured: String,
    /// Whether it is met.
    pub met: bool,
}

/// A test picture with predictions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    /// Position in the test part.
    pub index: usize,
    /// True class.
    pub label: u32,
    /// Float prediction.
    pub float: u32,
    /// Probability that the float model gives its answer, percent.
    pub float_confidence: f64,
    /// int8 prediction.
    pub int8: u32,
    /// Probability that the int8 model gives its answer, percent.
    pub int8_confidence: f64,
    /// PNG, base64.
    pub png: String,
}

impl Report {
    /// Name of a class; its number where the data has no names.
    pub fn class(&self, label: u32) -> String {
        self.data.classes.get(label as usize).cloned().unwrap_or_else(|| format!("class {label}"))
    }

    /// Median float latency over median int8 latency: above 1 means that int8 is faster.
    pub fn speedup(&self) -> f64 {
        self.float.latency.median_ms / self.int8.latency.median_ms.max(1e-9)
    }
}

#[cfg(test)]
pub mod tests;

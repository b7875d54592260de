//! What a user can set, once: the same structs are sections of a recipe and options of a verb.
//!
//! `validate` names the field at fault; the recipe adds file and line, the command line adds the
//! dashes. Ranges are wide on purpose: they stop slips (`lr = 100`), not experiments.

use std::path::PathBuf;

mod quantize;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub use quantize::{Correction, Method, QuantizeSettings, Round, Target};

/// A field that is out of range, and what is allowed.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    /// Field, as it is spelled in a recipe.
    pub field: &'static str,
    /// What is wrong and what is allowed.
    pub problem: String,
}

fn check(ok: bool, field: &'static str, problem: impl FnOnce() -> String) -> Result<(), Wrong> {
    if ok { Ok(()) } else { Err(Wrong { field, problem: problem() }) }
}

/// Where the pictures come from.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Data set: a name (quickstart, fashion-mnist) or a path (folder with a sub-folder per
    /// class, IDX folder, .npz, CIFAR .bin)
    #[arg(long = "data", value_name = "NAME|PATH")]
    pub source: String,
    /// Share held out for testing when the data has no test part of its own
    #[arg(long, value_name = "SHARE", default_value_t = default_validation())]
    #[serde(default = "default_validation")]
    pub validation: f32,
    /// Use at most this many training pictures (the first ones of a seeded shuffle)
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Names of the classes, in the order of their labels, where the data has only numbers
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

fn default_validation() -> f32 {
    0.2
}

impl DataSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        check(!self.source.is_empty(), "source", || "is empty; give a name or a path".into())?;
        let (share, limit) = (self.validation, self.limit);
        check(share > 0.0 && share < 1.0, "validation", || {
            format!("is {share}, must be between 0 and 1")
        })?;
        check(limit != Some(0), "limit", || "is 0, must be at least 1".into())
    }
}

/// The architecture, or a model to begin with.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Architecture of the zoo
    #[arg(long, value_name = "NAME", default_value = "mobilenet-v2")]
    pub arch: String,
    /// Width multiplier: scales the channels of every layer
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub width: f32,
    /// Side of the square input in pixels; by default that of the pictures, 224 where they differ
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<usize>,
    /// Begin with the weights of this ONNX model instead of new ones
    #[arg(long, value_name = "ONNX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
}

impl Default for ModelSettings {
    fn default() -> ModelSettings {
        ModelSettings { arch: "mobilenet-v2".into(), width: 1.0, resolution: None, start: None }
    }
}

impl ModelSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let width = self.width;
        check((0.05..=8.0).contains(&width), "width", || format!("is {width}, must be 0.05 to 8"))?;
        let side = self.resolution.unwrap_or(224);
        check((8..=1024).contains(&side), "resolution", || format!("is {side}, must be 8 to 1024"))
    }
}

/// Rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with Nesterov momentum
    Sgd,
    /// Adam with decoupled weight decay
    Adamw,
}

/// How to train.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// Passes over the training pictures
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub epochs: usize,
    /// Pictures per step
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub batch: usize,
    /// Highest learning rate; it rises to this during warm-up and falls to 0 as a cosine
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub lr: f32,
    /// Rule that turns gradients into steps
    #[arg(long, value_enum, default_value = "sgd")]
    pub optimizer: Optimizer,
    /// Momentum of sgd
    #[arg(long, value_name = "X", default_value_t = 0.9)]
    pub momentum: f32,
    /// Weight decay; biases and BatchNorm are left out of it
    #[arg(long, value_name = "X", default_value_t = 5e-4)]
    pub weight_decay: f32,
    /// Length of the warm-up in epochs
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub warmup_epochs: f32,
    /// Share of the target that goes to the other classes
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    pub label_smoothing: f32,
    /// Decay per step of the averaged weights that are kept in the end; 0 keeps the last weights
    #[arg(long, value_name = "X", default_value_t = 0.999)]
    pub ema_decay: f32,
    /// Random crop after padding by this many pixels; 0 is off
    #[arg(long, value_name = "PIXELS", default_value_t = 2)]
    pub crop: usize,
    /// Mirror every second picture at random
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub flip: bool,
    /// Side of a random square that is blanked out; 0 is off
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub cutout: usize,
    /// Seed of weights, order and augmentation: the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Stop after this many minutes of training with the result so far (then the result depends
    /// on the speed of the machine)
    #[arg(long, value_name = "MINUTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
}

impl Default for TrainSettings {
    fn default() -> TrainSettings {
        TrainSettings {
            epochs: 20,
            batch: 64,
            lr: 0.1,
            optimizer: Optimizer::Sgd,
            momentum: 0.9,
            weight_decay: 5e-4,
            warmup_epochs: 1.0,
            label_smoothing: 0.05,
            ema_decay: 0.999,
            crop: 2,
            flip: true,
            cutout: 0,
            seed: 1,
            minutes: None,
        }
    }
}

impl TrainSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let range = |ok: bool, field: &'static str, value: f64, allowed: &str| {
            check(ok, field, || format!("is {value}, must be {allowed}"))
        };
        let (epochs, batch) = (self.epochs as f64, self.batch as f64);
        range((1..=100_000).contains(&self.epochs), "epochs", epochs, "1 to 100000")?;
        range((2..=4096).contains(&self.batch), "batch", batch, "2 to 4096 (BatchNorm needs two)")?;
        let unit = |x: f32| (0.0..1.0).contains(&x);
        range(self.lr > 0.0 && self.lr <= 10.0, "lr", self.lr.into(), "above 0, at most 10")?;
        range(unit(self.momentum), "momentum", self.momentum.into(), "at least 0, below 1")?;
        range(
            unit(self.weight_decay),
            "weight_decay",
            self.weight_decay.into(),
            "at least 0, below 1",
        )?;
        range(
            unit(self.label_smoothing),
            "label_smoothing",
            self.label_smoothing.into(),
            "at least 0, below 1",
        )?;
        range(unit(self.ema_decay), "ema_decay", self.ema_decay.into(), "at least 0, below 1")?;
        let warm = self.warmup_epochs;
        range(
            warm >= 0.0 && f64::from(warm) <= epochs,
            "warmup_epochs",
            warm.into(),
            "0 to the number of epochs",
        )?;
        range(self.crop <= 64, "crop", self.crop as f64, "0 to 64 pixels")?;
        range(self.cutout <= 512, "cutout", self.cutout as f64, "0 to 512 pixels")?;
        let minutes = self.minutes.unwrap_or(1.0);
        range(minutes > 0.0 && minutes <= 1e6, "minutes", minutes, "above 0")
    }
}

/// What the result must be: each field that is set becomes a check, and `deploy` ends with exit
/// code 1 when one is not met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSettings {
    /// Device to measure on. Only "this machine" so far.
    pub device: String,
    /// Top-1 accuracy of the int8 model on the test part must reach this, percent.
    pub min_accuracy: Option<f64>,
    /// int8 may lose this many points of top-1 against float.
    pub max_drop: Option<f64>,
    /// Float and int8 must give the same answer on this share of the test pictures, percent.
    pub min_agreement: Option<f64>,
    /// Median latency of the int8 model for one picture must stay below, milliseconds.
    pub max_latency_ms: Option<f64>,
    /// The int8 ONNX file must stay below, KiB.
    pub max_size_kb: Option<f64>,
}

impl Default for TargetSettings {
    fn default() -> TargetSettings {
        TargetSettings {
            device: THIS_MACHINE.into(),
            min_accuracy: None,
            max_drop: None,
            min_agreement: None,
            max_latency_ms: None,
            max_size_kb: None,
        }
    }
}

/// The only device so far.
pub const THIS_MACHINE: &str = "this machine";

impl TargetSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        check(self.device == THIS_MACHINE, "device", || {
            format!("is \"{}\"; only \"{THIS_MACHINE}\" is supported", self.device)
        })?;
        let within = |value: Option<f64>, field: &'static str, high: f64| {
            let value = value.unwrap_or(0.0);
            check((0.0..=high).contains(&value), field, || {
                format!("is {value}, must be 0 to {high}")
            })
        };
        within(self.min_accuracy, "min_accuracy", 100.0)?;
        within(self.max_drop, "max_drop", 100.0)?;
        within(self.min_agreement, "min_agreement", 100.0)?;
        within(self.max_latency_ms, "max_latency_ms", 1e9)?;
        within(self.max_size_kb, "max_size_kb", 1e9)
    }
}

/// Where the results go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutSettings {
    /// Folder of the results, relative to the recipe; `--out` wins over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Name in the title of the report; by default that of the recipe file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_and_recipe_have_the_same_defaults() {
        use clap::FromArgMatches;
        let defaults =
            |command: clap::Command| command.no_binary_name(true).get_matches_from([""; 0]);
        let train = defaults(TrainSettings::augment_args(clap::Command::new("t")));
        assert_eq!(TrainSettings::from_arg_matches(&train).unwrap(), TrainSettings::default());
        let model = defaults(ModelSettings::augment_args(clap::Command::new("t")));
        assert_eq!(ModelSettings::from_arg_matches(&model).unwrap(), ModelSettings::default());
        let quantize = defaults(QuantizeSettings::augment_args(clap::Command::new("t")));
        assert_eq!(
            QuantizeSettings::from_arg_matches(&quantize).unwrap(),
            QuantizeSettings::default()
        );
    }

    #[test]
    fn not_a_number_is_out_of_range() {
        let nan = TrainSettings { lr: f32::NAN, ..TrainSettings::default() };
        assert_eq!(nan.validate().unwrap_err().field, "lr");
        let nan = TargetSettings { max_drop: Some(f64::NAN), ..TargetSettings::default() };
        assert_eq!(nan.validate().unwrap_err().field, "max_drop");
    }
}

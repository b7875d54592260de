//! What a user can set, once: the same structs are sections of a recipe and options of a verb.
//!
//! `validate` names the field at fault; the recipe adds file and line, the command line adds the
//! dashes. Ranges are wide on purpose: they stop slips (`lr = 100`), not experiments.

use std::ops::RangeInclusive;
use std::path::PathBuf;

mod budget;
mod distill;
mod prune;
mod quantize;
mod recover;
mod search;
mod size;
mod train;
mod tune;

use clap::Args;
use serde::{Deserialize, Serialize};

pub use budget::{Amounts, BudgetSettings};
pub use distill::{DistillMethod, DistillSettings};
pub use prune::{Amount, PruneSettings, Rank};
pub use quantize::{Correction, Method, QuantizeSettings, Round, Target};
pub use recover::RecoverSettings;
pub use search::{Deployed, SearchSettings};
pub use size::Size;
pub use train::{Optimizer, Precision, Sampling, Schedule, TrainSettings, Weighting};
pub use tune::{Head, Rate};

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
    /// Begin with the weights of this ONNX or TFLite model instead of new ones
    #[arg(long, value_name = "MODEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// Give that model a new last layer, for as many classes as the data has: classes=N
    #[arg(long, value_name = "classes=N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Layers that stay as they are, BatchNorm's statistics included: a pattern over names of nodes
    /// or weights, in which * stands for anything; repeat for more. A new head always learns
    #[arg(long, value_name = "PATTERN")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Factor of the learning rate of layers that match; repeat for more, all that match apply
    #[arg(long, value_name = "PATTERN=X")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lr_mult: Vec<Rate>,
    /// Factor of the learning rate from each layer to the one before it, such as 0.8
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_decay_layers: Option<f32>,
    /// BatchNorm normalises by the statistics that the model has, and keeps them: for few pictures
    #[arg(long)]
    pub fixed_statistics: bool,
}

impl Default for ModelSettings {
    fn default() -> ModelSettings {
        ModelSettings {
            arch: "mobilenet-v2".into(),
            width: 1.0,
            resolution: None,
            start: None,
            head: None,
            freeze: vec![],
            lr_mult: vec![],
            lr_decay_layers: None,
            fixed_statistics: false,
        }
    }
}

impl ModelSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let width = self.width;
        check((0.05..=8.0).contains(&width), "width", || format!("is {width}, must be 0.05 to 8"))?;
        let side = self.resolution.unwrap_or(224);
        check((8..=1024).contains(&side), "resolution", || {
            format!("is {side}, must be 8 to 1024")
        })?;
        check(self.head.is_none() || self.start.is_some(), "head", || {
            "replaces the last layer of a model; give one to begin with".into()
        })?;
        let decay = self.lr_decay_layers.unwrap_or(1.0);
        check(decay > 0.0 && decay <= 1.0, "lr_decay_layers", || {
            format!("is {decay}, must be above 0, at most 1")
        })?;
        let odd = self.lr_mult.iter().find(|r| !(0.0..=1000.0).contains(&r.factor));
        check(odd.is_none(), "lr_mult", || "has a factor that is not 0 to 1000".into())
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

/// A number of an option that must lie in `range`.
pub fn number_within(text: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    match range.contains(&value) {
        true => Ok(value),
        false => Err(format!("allowed is {} to {}", range.start(), range.end())),
    }
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
        let prune = defaults(PruneSettings::augment_args(clap::Command::new("t")));
        assert_eq!(PruneSettings::from_arg_matches(&prune).unwrap(), PruneSettings::default());
        let search = defaults(SearchSettings::augment_args(clap::Command::new("t")));
        assert_eq!(SearchSettings::from_arg_matches(&search).unwrap(), SearchSettings::default());
        let recover = defaults(RecoverSettings::augment_args(clap::Command::new("t")));
        assert_eq!(
            RecoverSettings::from_arg_matches(&recover).unwrap(),
            RecoverSettings::default()
        );
    }

    #[test]
    fn not_a_number_is_out_of_range() {
        let nan = TrainSettings { lr: Some(f32::NAN), ..TrainSettings::default() };
        assert_eq!(nan.validate().unwrap_err().field, "lr");
        let nan = TargetSettings { max_drop: Some(f64::NAN), ..TargetSettings::default() };
        assert_eq!(nan.validate().unwrap_err().field, "max_drop");
    }
}

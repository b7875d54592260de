//! Settings of distillation.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Wrong, check};

/// What of a teacher is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DistillMethod {
    /// Its probabilities, softened (Hinton 2015)
    Soft,
    /// The same, the other classes weighted by themselves (DKD 2022)
    Decoupled,
    /// Also inner values, after a learned 1x1 convolution (FitNets 2015)
    Hint,
    /// Also where it looks (attention transfer 2017)
    Attention,
    /// Also how the pictures of a batch lie to each other (RKD 2019)
    Relation,
}

/// How to learn from teachers.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistillSettings {
    /// What of the teachers is learned; several with commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "soft")]
    pub method: Vec<DistillMethod>,
    /// Softness of the probabilities
    #[arg(long, value_name = "T", default_value_t = 4.0)]
    pub temperature: f32,
    /// Share of the loss that is the teachers'; the rest is that of the labels
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub alpha: f32,
    /// Weight of the loss of inner values [default: 1 for hint, 15 for attention, 25 for relation]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_weight: Option<f32>,
    /// Names of values that belong together, of the student and of the first teacher [default: the
    /// last ones of each resolution; for relation, what the classifiers read]
    #[arg(long = "match", value_name = "STUDENT=TEACHER", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<String>,
    /// Variations of each picture; they come again, so that the teachers' answers can be kept on
    /// disk. 0 makes new ones for each epoch
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub views: u64,
}

impl Default for DistillSettings {
    fn default() -> DistillSettings {
        DistillSettings {
            method: vec![DistillMethod::Soft],
            temperature: 4.0,
            alpha: 0.9,
            feature_weight: None,
            matches: vec![],
            views: 8,
        }
    }
}

impl DistillSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let (temperature, alpha) = (self.temperature, self.alpha);
        check((0.1..=100.0).contains(&temperature), "temperature", || {
            format!("is {temperature}, must be 0.1 to 100")
        })?;
        check((0.0..=1.0).contains(&alpha), "alpha", || format!("is {alpha}, must be 0 to 1"))?;
        let weight = self.feature_weight.unwrap_or(1.0);
        check((0.0..=1e6).contains(&weight), "feature_weight", || {
            format!("is {weight}, must be from 0")
        })?;
        let wrong = self.matches.iter().find(|pair| !pair.contains('='));
        check(wrong.is_none(), "match", || {
            format!("'{}' is not STUDENT=TEACHER", wrong.cloned().unwrap_or_default())
        })
    }
}

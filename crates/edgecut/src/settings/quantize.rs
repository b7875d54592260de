//! How to turn float into integers.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Wrong, check};

/// How the range of an activation is chosen from calibration pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The best of many combinations of methods, as pictures held out say
    Auto,
    /// Everything that was seen
    Minmax,
    /// All but a small share at each end
    Percentile,
    /// Where clipping and rounding together lose least (mean squared error)
    Mse,
    /// Where the distribution of the values changes least (Kullback-Leibler divergence)
    Entropy,
}

/// How biases make up for rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Correction {
    /// They do not
    None,
    /// Each layer by its own error, in one pass
    Fast,
    /// Layer by layer, with those before quantised
    Full,
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Round {
    /// To the nearest code
    Nearest,
    /// So that each layer's result on the pictures is nearest to that of float (AdaRound)
    Learned,
}

/// A runtime that int8 models are made for.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// This one: a layer, a residual sum and an activation round once
    Edgecut,
    /// OpenVINO: as edgecut
    Openvino,
    /// ONNX Runtime: bytes behind every operator
    Onnxruntime,
    /// TensorFlow Lite: bytes behind every operator
    Tflite,
}

/// How to turn float into int8.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizeSettings {
    /// How the range of each activation is chosen; auto tries combinations of everything below
    #[arg(long, value_enum, default_value = "auto")]
    pub method: Method,
    /// Share of values inside the range, percent, for method percentile
    #[arg(long, value_name = "PERCENT", default_value_t = 99.99)]
    pub percentile: f32,
    /// Number of training pictures to calibrate with
    #[arg(long = "images", value_name = "N", default_value_t = 512)]
    pub images: usize,
    /// Seconds that method auto may take; it returns the best so far
    #[arg(long, value_name = "SECONDS", default_value_t = 240)]
    pub time: u64,
    /// Runtime that the model is for: it decides where results are rounded
    #[arg(long = "for", value_enum, default_value = "edgecut", value_name = "RUNTIME")]
    #[serde(rename = "for")]
    pub runtime: Target,
    /// Bits of the weights: 8 or 4
    #[arg(long, value_name = "BITS", default_value_t = 8)]
    pub bits: u8,
    /// Only weights become integers; layers compute in float
    #[arg(long)]
    pub weights_only: bool,
    /// Choose the scales of weights by least squared error, so that large ones may saturate
    #[arg(long)]
    pub saturate: bool,
    /// Bring the channels of activations to one size where the layers around can absorb it
    #[arg(long, visible_alias = "equalise")]
    pub equalize: bool,
    /// How biases make up for rounding
    #[arg(long, value_enum, default_value = "none", value_name = "HOW")]
    pub bias_correction: Correction,
    /// How weights are rounded
    #[arg(long, value_enum, default_value = "nearest", value_name = "HOW")]
    pub rounding: Round,
    /// Node that stays float; repeat for more
    #[arg(long, value_name = "NODE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Layer with 4-bit weights; repeat for more
    #[arg(long, value_name = "NODE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub int4: Vec<String>,
}

impl Default for QuantizeSettings {
    fn default() -> QuantizeSettings {
        QuantizeSettings {
            method: Method::Auto,
            percentile: 99.99,
            images: 512,
            time: 240,
            runtime: Target::Edgecut,
            bits: 8,
            weights_only: false,
            saturate: false,
            equalize: false,
            bias_correction: Correction::None,
            rounding: Round::Nearest,
            exclude: vec![],
            int4: vec![],
        }
    }
}

impl QuantizeSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let (p, n) = (self.percentile, self.images);
        check(p > 50.0 && p <= 100.0, "percentile", || {
            format!("is {p}, must be above 50, at most 100")
        })?;
        check((1..=100_000).contains(&n), "images", || format!("is {n}, must be 1 to 100000"))?;
        let (time, bits) = (self.time, self.bits);
        check((1..=604_800).contains(&time), "time", || {
            format!("is {time}, must be 1 to 604800 seconds")
        })?;
        check(bits == 8 || bits == 4, "bits", || format!("is {bits}, must be 8 or 4"))
    }
}

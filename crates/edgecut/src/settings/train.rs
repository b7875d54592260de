//! Settings of a training.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Size, Wrong, check};

/// Rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with Nesterov momentum
    Sgd,
    /// Adam with decoupled weight decay
    Adamw,
    /// AdamW with steps as long as a layer's weights allow, for large batches
    Lamb,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine down to 0
    Cosine,
    /// Up from a 25th of the rate over the warm-up (30 % of all steps where that is 0), then down to
    /// nearly 0, both along half a cosine
    OneCycle,
    /// Straight down to 0
    Linear,
    /// Not at all
    Constant,
}

/// How much each class counts in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Weighting {
    /// As often as it occurs
    None,
    /// All classes alike
    Balanced,
}

/// Which pictures an epoch draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Each once, in random order
    Shuffled,
    /// As many of each class, those of small classes several times
    Balanced,
}

/// What products compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Float32
    F32,
    /// Operands rounded to bfloat16, with AMX where the CPU has it
    Bf16,
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
    /// Parts in which a batch is computed, one after the other: less memory, the same step (but for
    /// the statistics of BatchNorm)
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accumulate: usize,
    /// Most memory of a step, such as 256MB: activations that do not fit are computed again in the
    /// backward pass, which takes time and changes no bit. Pictures on their way and teachers are not counted
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// What dense convolutions and products compute in, forward and backward; weights, activations,
    /// sums and evaluation stay float32
    #[arg(long, value_enum, value_name = "P", default_value = "f32")]
    pub precision: Precision,
    /// Highest learning rate, at the end of the warm-up; --find-lr looks for a good one [default:
    /// 0.1, or 0.0003 for a quantised model]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f32>,
    /// How the learning rate falls behind the warm-up
    #[arg(long, value_enum, default_value = "cosine")]
    pub schedule: Schedule,
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
    /// How much each class counts in the loss
    #[arg(long, value_enum, default_value = "none")]
    pub class_weights: Weighting,
    /// Which pictures an epoch draws
    #[arg(long, value_enum, default_value = "shuffled")]
    pub sampling: Sampling,
    /// Decay per step of the averaged weights that are kept in the end; 0 keeps the last weights
    #[arg(long, value_name = "X", default_value_t = 0.999)]
    pub ema_decay: f32,
    /// Cut out a random part of each picture, of at least this share of its area, and resize it (random
    /// resized crop), such as 0.08 for large pictures of small things; 0 is off
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub resized_crop: f32,
    /// Random crop after padding by this many pixels; 0 is off
    #[arg(long, value_name = "PIXELS", default_value_t = 2)]
    pub crop: usize,
    /// Mirror every second picture at random
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub flip: bool,
    /// Side of a random square that is blanked out; 0 is off
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub cutout: usize,
    /// Probability that a random rectangle is blanked out (random erasing)
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub erase: f32,
    /// Vary brightness and contrast by up to this share
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub jitter: f32,
    /// Strength of two random variations of each picture (RandAugment), 1 to 30; 0 is off
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rand_augment: usize,
    /// Mix pictures of a batch in shares of Beta(X, X); 0 is off
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub mixup: f32,
    /// Paste rectangles of other pictures, in shares of Beta(X, X); with --mixup, each batch takes
    /// one of both
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub cutmix: f32,
    /// Stop after so many epochs without a better test accuracy, and keep the best epoch's weights
    /// (that accuracy has then chosen them, and flatters them)
    #[arg(long, value_name = "EPOCHS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Of a quantised model, also train the zero points of activations (LSQ+)
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub zero_points: bool,
    /// Weights that are zero stay zero: for models that were pruned weight by weight
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_zeros: bool,
    /// Shrink whole channels, by a group lasso of this strength on all weights that go with each,
    /// so that `prune` finds those that the network does without: the root mean square that a channel
    /// loses per unit of learning rate and step, such as 0.0005; 0 is off
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub group_lasso: f32,
    /// Weights of a layer that are equal stay equal, and zeros zero: for models whose weights were
    /// clustered (edgecut quantize --palette), which learn the values of their palettes
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_palette: bool,
    /// Skip up to this many training pictures that cannot be read, naming each
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_errors: usize,
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
            accumulate: 1,
            memory: None,
            precision: Precision::F32,
            lr: None,
            schedule: Schedule::Cosine,
            optimizer: Optimizer::Sgd,
            momentum: 0.9,
            weight_decay: 5e-4,
            warmup_epochs: 1.0,
            label_smoothing: 0.05,
            class_weights: Weighting::None,
            sampling: Sampling::Shuffled,
            ema_decay: 0.999,
            resized_crop: 0.0,
            crop: 2,
            flip: true,
            cutout: 0,
            erase: 0.0,
            jitter: 0.0,
            rand_augment: 0,
            mixup: 0.0,
            cutmix: 0.0,
            patience: None,
            zero_points: false,
            keep_zeros: false,
            group_lasso: 0.0,
            keep_palette: false,
            skip_errors: 0,
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
        let lr = self.lr.unwrap_or(0.1);
        range(lr > 0.0 && lr <= 10.0, "lr", lr.into(), "above 0, at most 10")?;
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
        let parts = self.accumulate;
        range(
            parts > 0 && 2 * parts <= self.batch,
            "accumulate",
            parts as f64,
            "1 to half of the batch",
        )?;
        let share = |x: f32| (0.0..=1.0).contains(&x);
        range(share(self.group_lasso), "group_lasso", self.group_lasso.into(), "0 to 1")?;
        range(share(self.resized_crop), "resized_crop", self.resized_crop.into(), "0 to 1")?;
        range(share(self.erase), "erase", self.erase.into(), "0 to 1")?;
        range(share(self.jitter), "jitter", self.jitter.into(), "0 to 1")?;
        let strength = self.rand_augment as f64;
        range(self.rand_augment <= 30, "rand_augment", strength, "0 to 30")?;
        let alpha = |x: f32| x == 0.0 || (0.01..=1.0).contains(&x);
        range(alpha(self.mixup), "mixup", self.mixup.into(), "0, or 0.01 to 1")?;
        range(alpha(self.cutmix), "cutmix", self.cutmix.into(), "0, or 0.01 to 1")?;
        range(self.patience != Some(0), "patience", 0.0, "at least 1")?;
        range(self.cutout <= 512, "cutout", self.cutout as f64, "0 to 512 pixels")?;
        let minutes = self.minutes.unwrap_or(1.0);
        range(minutes > 0.0 && minutes <= 1e6, "minutes", minutes, "above 0")
    }
}

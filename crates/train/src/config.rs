//! Settings of a training.

use std::path::PathBuf;
use std::time::Duration;

use edgecut_kernels::{Isa, Pool};
use serde::{Deserialize, Serialize};

use crate::data::{Augment, Mix, Sampling};
use crate::error::{Result, TrainError};
use crate::fine_tune::FineTune;
use crate::optim::{GroupLasso, Optimizer};
use crate::schedule::Decay;

/// What determines the result of a training, next to model and data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the training data.
    pub epochs: usize,
    /// Images per step; more than the data has counts as all of it.
    pub batch: usize,
    /// Parts that a batch is computed in, one after the other, with one step in the end: memory is
    /// that of a part. BatchNorm's statistics are those of a part, too.
    pub accumulate: usize,
    /// Largest learning rate; see [`Schedule`](crate::schedule::Schedule).
    pub lr: f32,
    /// Optimiser.
    pub optimizer: Optimizer,
    /// Share of a weight that decays per unit of learning rate. Biases and BatchNorm's parameters
    /// do not decay.
    pub weight_decay: f32,
    /// How the learning rate falls.
    pub decay: Decay,
    /// Epochs over which the learning rate rises; may be a fraction.
    pub warmup_epochs: f32,
    /// Share of each label spread over all classes (Szegedy et al. 2016).
    pub label_smoothing: f32,
    /// Weights of the classes in the loss.
    pub class_weights: ClassWeights,
    /// Decay per step of the moving average of the weights, or none.
    pub ema_decay: Option<f32>,
    /// Seed of data order and augmentation.
    pub seed: u64,
    /// Random variations of training images.
    pub augment: Augment,
    /// Mixing of training images.
    pub mix: Mix,
    /// How an epoch draws its images.
    pub sampling: Sampling,
    /// Training images that may be unreadable; they are skipped.
    pub skip: usize,
    /// Ends the training after this many epochs without a better accuracy on the validation data,
    /// with the weights of the best epoch. That accuracy then chose them, so it flatters them.
    pub patience: Option<usize>,
    /// Whether zero points of activations learn, too, where a graph is quantised (see
    /// [`qat`](crate::qat)).
    pub zero_points: bool,
    /// Whether weights that are zero stay zero, so that a pruned network is trained as pruned. Only
    /// those of layers: biases begin at zero.
    pub keep_zeros: bool,
    /// Channels that shrink together, so that they can be removed afterwards.
    pub group_lasso: Option<GroupLasso>,
    /// Whether weights of a layer that are equal stay equal, so that a network whose weights were
    /// clustered learns the values of its palettes. Zeros stay zeros.
    pub keep_palette: bool,
    /// Which layers learn, and how fast.
    pub fine_tune: FineTune,
    /// What products compute in.
    pub precision: Precision,
}

/// What the products of dense convolutions and layers with weights compute in while training, forward
/// and for both gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Float32.
    #[default]
    F32,
    /// Operands rounded to bfloat16, sums in float32; parameters, activations, gradients and
    /// evaluation stay float32. Grouped and depthwise convolutions and layers of few channels do,
    /// too. No thread changes a bit, but other kinds of units than AMX change the last ones.
    Bf16,
}

impl Precision {
    /// Whether operands are rounded.
    pub fn is_bf16(self) -> bool {
        self == Precision::Bf16
    }
}

/// How much each class counts in the loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// As often as it occurs.
    #[default]
    None,
    /// All alike: inversely to how often each occurs.
    Balanced,
    /// One factor per class.
    Each(Vec<f32>),
}

impl Default for TrainConfig {
    fn default() -> TrainConfig {
        TrainConfig {
            epochs: 10,
            batch: 128,
            accumulate: 1,
            lr: 0.1,
            optimizer: Optimizer::SGD,
            weight_decay: 1e-4,
            decay: Decay::Cosine,
            warmup_epochs: 1.0,
            label_smoothing: 0.1,
            class_weights: ClassWeights::None,
            ema_decay: Some(0.999),
            seed: 0,
            augment: Augment::default(),
            mix: Mix::default(),
            sampling: Sampling::Shuffled,
            skip: 0,
            patience: None,
            zero_points: false,
            keep_zeros: false,
            group_lasso: None,
            keep_palette: false,
            fine_tune: FineTune::default(),
            precision: Precision::F32,
        }
    }
}

impl TrainConfig {
    /// Arrays as long as all parameters that a training keeps beside them and their gradients.
    pub(crate) fn copies(&self) -> usize {
        let kept = [self.ema_decay.is_some(), self.patience.is_some(), self.accumulate > 1];
        self.optimizer.moments() + kept.into_iter().filter(|kept| *kept).count()
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is out of range, and the range.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, problem: String| Err(TrainError::config(field, problem));
        let unit = 0.0..1.0;
        self.fine_tune.validate()?;
        if self.epochs == 0 || self.epochs > 1_000_000 {
            return fail("epochs", format!("{}; must be 1 to 1000000", self.epochs));
        }
        if self.batch == 0 || self.batch > 1 << 16 {
            return fail("batch", format!("{}; must be 1 to 65536", self.batch));
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return fail("lr", format!("{}; must be positive", self.lr));
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            return fail("weight_decay", format!("{}; must be 0 to 1", self.weight_decay));
        }
        if !(self.warmup_epochs >= 0.0 && self.warmup_epochs <= self.epochs as f32) {
            let (warmup, epochs) = (self.warmup_epochs, self.epochs);
            return fail("warmup_epochs", format!("{warmup}; must be 0 to the {epochs} epochs"));
        }
        if !unit.contains(&self.label_smoothing) {
            return fail("label_smoothing", format!("{}; must be in [0, 1)", self.label_smoothing));
        }
        if let Some(decay) = self.ema_decay.filter(|d| !unit.contains(d)) {
            return fail("ema_decay", format!("{decay}; must be in [0, 1)"));
        }
        if self.accumulate == 0 || self.accumulate > self.batch {
            let problem =
                format!("{}; must be 1 to the {} of a batch", self.accumulate, self.batch);
            return fail("accumulate", problem);
        }
        if self.patience == Some(0) {
            return fail("patience", "0; must be at least 1".into());
        }
        if let ClassWeights::Each(weights) = &self.class_weights {
            let wrong = |w: &f32| !(w.is_finite() && *w >= 0.0);
            if weights.iter().any(wrong) || weights.iter().all(|&w| w == 0.0) {
                return fail("class_weights", "must be numbers from 0, one above it".into());
            }
        }
        self.group_lasso.as_ref().map_or(Ok(()), GroupLasso::validate)?;
        self.mix.validate()?;
        match self.optimizer {
            Optimizer::Sgd { momentum, .. } if !unit.contains(&momentum) => {
                fail("momentum", format!("{momentum}; must be in [0, 1)"))
            }
            Optimizer::AdamW { beta1, beta2, epsilon }
            | Optimizer::Lamb { beta1, beta2, epsilon }
                if !(unit.contains(&beta1) && unit.contains(&beta2) && epsilon > 0.0) =>
            {
                fail("optimizer", "beta1 and beta2 must be in [0, 1), epsilon positive".into())
            }
            _ => Ok(self.augment.validate()?),
        }
    }
}

/// How to run a training. Nothing here changes a bit of the result, except that
/// [`RunOptions::max_time`] ends it early.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Threads that compute; 0 takes one per processor.
    pub threads: usize,
    /// Instruction set; [`Isa::detect`] takes the best.
    pub isa: Isa,
    /// Most bytes of what a step works on: activations, gradients, scratch memory, parameters, and
    /// what the optimiser and averages keep. Activations that do not fit are computed twice. Images
    /// that are being prepared and teachers are not counted.
    pub memory: Option<usize>,
    /// Threads that prepare data beside the ones that compute.
    pub data_workers: usize,
    /// Ends the training after this much time with the weights that it has by then. The schedule
    /// is that of all epochs, so a training that is cut short has not cooled down: a budget is a
    /// guard, the number of epochs is the plan. When it strikes depends on the machine's speed;
    /// this is the only thing in training that is not deterministic.
    pub max_time: Option<Duration>,
    /// Where and how often to save the state, or not at all.
    pub checkpoint: Option<CheckpointOptions>,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            threads: 0,
            isa: Isa::detect(),
            memory: None,
            data_workers: 1,
            max_time: None,
            checkpoint: None,
        }
    }
}

/// Checkpoints of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointOptions {
    /// The file. If it exists, training goes on from it; its folder is made if need be.
    pub path: PathBuf,
    /// Time between two. One is also written when training stops or ends.
    pub every: Duration,
    /// Start anew, ignoring the file.
    pub restart: bool,
}

impl CheckpointOptions {
    /// A checkpoint at `path` every ten seconds: it takes milliseconds to write, so little is lost
    /// by a crash and little by guarding against it.
    pub fn new(path: impl Into<PathBuf>) -> CheckpointOptions {
        CheckpointOptions { path: path.into(), every: Duration::from_secs(10), restart: false }
    }
}

/// `threads` threads, or one per processor for 0, as [`RunOptions::threads`] means it.
pub(crate) fn pool(threads: usize) -> Pool {
    if threads == 0 { Pool::for_this_machine() } else { Pool::new(threads) }
}

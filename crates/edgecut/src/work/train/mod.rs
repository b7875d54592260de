//! Training with progress, checkpoints, records and a clean end on Ctrl-C.

mod curves;
mod integers;
mod records;
mod start;
mod tensorboard;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use edgecut_compress::prune::Channels;
use edgecut_graph::Graph;
use edgecut_train::data::{Augment, Data, Mix, RandAugment, Sampling};
use edgecut_train::distill::Guide;
use edgecut_train::schedule::Decay;
use edgecut_train::{
    CheckpointOptions, ClassWeights, Control, Ending, FineTune, Optimizer, Precision, Progress,
    RateCurve, RunOptions, TrainConfig, TrainOutcome, find_rate, fit_guided,
};

use super::precision;
use super::preprocessing::Preprocessing;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::Counter;
use crate::settings::{self, ModelSettings, TrainSettings};
pub use integers::{ANSWERS, Integers, is_quantised, own_teacher};
use records::Records;
pub use start::Start;
use view::View;

/// File of the checkpoint inside its folder.
const CHECKPOINT: &str = "train.checkpoint";

/// Steps of a search for a learning rate.
const SEARCH_STEPS: usize = 120;

/// Learning rate where none is set.
const FAST: f32 = 0.1;

/// The same for quantised networks: they are trained already, and have no BatchNorm that would make
/// up for large steps.
const SLOW: f32 = 0.0003;

/// Time between two checkpoints: writing one takes milliseconds, losing one costs this much.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// What to train.
pub struct Job<'a> {
    /// The pictures.
    pub data: &'a Data,
    /// The architecture, or a model to begin with.
    pub model: &'a ModelSettings,
    /// How pictures become the input of a model to begin with, where somebody says it.
    pub preprocessing: Option<&'a Preprocessing>,
    /// How.
    pub settings: &'a TrainSettings,
    /// Folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// Time between two checkpoints.
    pub every: Duration,
    /// Whether a checkpoint that is there is ignored.
    pub restart: bool,
}

/// The network before training, and how pictures become its input; its new head, if it has one.
pub fn prepare(job: &Job) -> Result<Start> {
    if let Some(path) = &job.model.start {
        return start::prepare(job, path);
    }
    if job.preprocessing.is_some_and(|p| !p.is_auto()) {
        let problem = "--preprocess and --fit are for a model to begin with";
        return Err(Failure::input(problem).hint("a new network sees pictures as its data are"));
    }
    let preprocess = super::data::preprocess(&job.data.train, job.model.resolution)?;
    if preprocess.height != preprocess.width {
        let (h, w) = (preprocess.height, preprocess.width);
        return Err(Failure::input(format!(
            "pictures are {h}x{w}, the zoo's networks take square ones"
        ))
        .hint("set a resolution: [model] resolution = 96, or --resolution 96"));
    }
    let options = edgecut_zoo::Options {
        width: Some(job.model.width),
        resolution: Some(preprocess.height),
        classes: Some(job.data.train.classes().len()),
        in_channels: Some(preprocess.channels.count()),
        seed: job.settings.seed,
    };
    let graph = edgecut_zoo::build(&job.model.arch, &options)?;
    Ok(Start { graph, preprocess, assumed: false, head: vec![] })
}

/// Trains, with teachers if there are any, showing progress. Ctrl-C ends it with a checkpoint and a
/// failure that says how to go on.
pub fn train(
    global: &Global,
    job: &Job,
    start: &Start,
    guide: Option<&mut Guide>,
) -> Result<TrainOutcome> {
    interrupt::listen();
    if job.settings.precision == settings::Precision::Bf16 {
        precision::say_of_training(global);
    }
    let checkpoint = CheckpointOptions {
        restart: job.restart,
        every: job.every,
        ..CheckpointOptions::new(job.checkpoint.join(CHECKPOINT))
    };
    let options = RunOptions {
        threads: global.threads(),
        memory: job.settings.memory.map(|size| size.0 as usize),
        max_time: job.settings.minutes.map(|m| Duration::from_secs_f64(m * 60.0)),
        checkpoint: Some(checkpoint),
        ..RunOptions::default()
    };
    let mut view = View::new(global);
    let mut records = Records::new(&job.checkpoint);
    let mut unrecorded = None;
    let (train, test) = (job.data.train.clone(), job.data.test.clone());
    let (preprocess, mut config) = (&start.preprocess, config_for(job, start));
    let followed = follow_channels(job, &start.graph)?;
    let graph = followed.as_ref().map_or(&start.graph, Channels::graph);
    config.group_lasso =
        followed.as_ref().map(|channels| channels.group_lasso(job.settings.group_lasso));
    let mut observer = |p: &Progress| {
        view.show(p);
        // A full disk must not end hours of training at once: the checkpoint comes first.
        if unrecorded.is_none() {
            unrecorded = records.add(p).err();
        }
        let stop = unrecorded.is_some() || interrupt::asked();
        if stop { Control::Stop } else { Control::Continue }
    };
    let test = Some(test);
    let outcome =
        fit_guided(graph, train, test, preprocess, &config, &options, guide, &mut observer);
    drop(view);
    if let Some(failure) = unrecorded {
        return Err(failure);
    }
    let outcome = outcome?;
    if outcome.ending == Ending::Stopped {
        let done = outcome.history.len();
        return Err(Failure::not_met(format!(
            "stopped after {done} of {} epochs",
            job.settings.epochs
        ))
        .hint(format!("the same command goes on from {}", job.checkpoint.display())));
    }
    Ok(outcome)
}

/// The channels that shall shrink, where they shall.
fn follow_channels(job: &Job, graph: &Graph) -> Result<Option<Channels>> {
    if job.settings.group_lasso == 0.0 {
        return Ok(None);
    }
    if is_quantised(graph) {
        let problem = "--group-lasso shrinks the channels of float models";
        return Err(Failure::input(problem).hint("prune the float model, and quantise it then"));
    }
    Ok(Some(Channels::of(graph)?))
}

/// Looks for a learning rate, from small ones to large ones. Ctrl-C ends it with what there is.
pub fn search_rate(global: &Global, job: &Job, start: &Start) -> Result<RateCurve> {
    interrupt::listen();
    let memory = job.settings.memory.map(|size| size.0 as usize);
    let options = RunOptions { threads: global.threads(), memory, ..RunOptions::default() };
    let mut bar = Counter::new(global, "rates", SEARCH_STEPS as u64);
    let mut done = 0;
    let train = job.data.train.clone();
    let (graph, preprocess, config) = (&start.graph, &start.preprocess, config_for(job, start));
    let curve =
        find_rate(graph, train, preprocess, &config, &options, SEARCH_STEPS, &mut |point| {
            done += 1;
            bar.set(done, || format!("rate {:.1e} · loss {:.3}", point.lr, point.smoothed));
            !interrupt::asked()
        })?;
    Ok(curve)
}

/// Settings as the trainer takes them, for what the job begins with.
fn config_for(job: &Job, start: &Start) -> TrainConfig {
    TrainConfig {
        fine_tune: start::fine_tune(job.model, &start.head),
        ..config(job.settings, is_quantised(&start.graph))
    }
}

/// Settings as the trainer takes them, of a network that is quantised or not.
pub fn config(s: &TrainSettings, quantised: bool) -> TrainConfig {
    TrainConfig {
        epochs: s.epochs,
        batch: s.batch,
        accumulate: s.accumulate,
        lr: s.lr.unwrap_or(if quantised { SLOW } else { FAST }),
        optimizer: match s.optimizer {
            settings::Optimizer::Sgd => Optimizer::Sgd { momentum: s.momentum, nesterov: true },
            settings::Optimizer::Adamw => Optimizer::ADAMW,
            settings::Optimizer::Lamb => Optimizer::LAMB,
        },
        weight_decay: s.weight_decay,
        decay: match s.schedule {
            settings::Schedule::Cosine => Decay::Cosine,
            settings::Schedule::OneCycle => Decay::OneCycle,
            settings::Schedule::Linear => Decay::Linear,
            settings::Schedule::Constant => Decay::Constant,
        },
        warmup_epochs: s.warmup_epochs,
        label_smoothing: s.label_smoothing,
        class_weights: match s.class_weights {
            settings::Weighting::None => ClassWeights::None,
            settings::Weighting::Balanced => ClassWeights::Balanced,
        },
        ema_decay: (s.ema_decay > 0.0).then_some(s.ema_decay),
        seed: s.seed,
        augment: Augment {
            resized_crop: s.resized_crop,
            crop_padding: s.crop,
            flip: s.flip,
            jitter: s.jitter,
            cutout: s.cutout,
            erase: s.erase,
            rand_augment: (s.rand_augment > 0)
                .then_some(RandAugment { count: 2, magnitude: s.rand_augment }),
        },
        mix: Mix { mixup: s.mixup, cutmix: s.cutmix },
        sampling: match s.sampling {
            settings::Sampling::Shuffled => Sampling::Shuffled,
            settings::Sampling::Balanced => Sampling::Balanced,
        },
        skip: s.skip_errors,
        patience: s.patience,
        zero_points: s.zero_points,
        keep_zeros: s.keep_zeros,
        group_lasso: None,
        keep_palette: s.keep_palette,
        fine_tune: FineTune::default(),
        precision: match s.precision {
            settings::Precision::F32 => Precision::F32,
            settings::Precision::Bf16 => Precision::Bf16,
        },
    }
}

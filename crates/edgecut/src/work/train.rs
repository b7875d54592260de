//! Training with progress, checkpoints and a clean end on Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use edgecut_graph::Graph;
use edgecut_train::data::{Augment, Data, Mix, Preprocess, RandAugment, Sampling};
use edgecut_train::schedule::Decay;
use edgecut_train::{
    CheckpointOptions, ClassWeights, Control, Ending, EpochStats, Event, Optimizer, Progress,
    RunOptions, TrainConfig, TrainOutcome, fit,
};

use super::model::{self, Model};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress::Counter;
use crate::settings::{self, ModelSettings, TrainSettings};
use crate::{interrupt, term};

/// File of the checkpoint inside its folder.
const CHECKPOINT: &str = "train.checkpoint";

/// Time between two checkpoints: writing one takes milliseconds, losing one costs this much.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// What to train.
pub struct Job<'a> {
    /// The pictures.
    pub data: &'a Data,
    /// The architecture, or a model to begin with.
    pub model: &'a ModelSettings,
    /// How.
    pub settings: &'a TrainSettings,
    /// Folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// Time between two checkpoints.
    pub every: Duration,
    /// Whether a checkpoint that is there is ignored.
    pub restart: bool,
}

/// The network before training, and how pictures become its input.
pub fn prepare(job: &Job) -> Result<(Graph, Preprocess)> {
    let classes = job.data.train.classes().len();
    if let Some(path) = &job.model.start {
        let start = Model::load(path)?;
        let preprocess = match start.preprocess()? {
            Some(known) => known,
            None => super::data::preprocess(
                &job.data.train,
                Some(model::image_input(&start.graph)?[1]),
            )?,
        };
        let outputs = model::class_count(&start.graph).map_err(|e| e.at(path))?;
        if outputs != classes {
            return Err(
                Failure::input(format!("has {outputs} classes, the data has {classes}")).at(path)
            );
        }
        return Ok((start.graph, preprocess));
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
        classes: Some(classes),
        in_channels: Some(preprocess.channels.count()),
        seed: job.settings.seed,
    };
    Ok((edgecut_zoo::build(&job.model.arch, &options)?, preprocess))
}

/// Trains, showing progress. Ctrl-C ends it with a checkpoint and a failure that says how to go on.
pub fn train(
    global: &Global,
    job: &Job,
    graph: &Graph,
    preprocess: &Preprocess,
) -> Result<TrainOutcome> {
    interrupt::listen();
    let checkpoint = CheckpointOptions {
        restart: job.restart,
        every: job.every,
        ..CheckpointOptions::new(job.checkpoint.join(CHECKPOINT))
    };
    let options = RunOptions {
        threads: global.threads(),
        max_time: job.settings.minutes.map(|m| Duration::from_secs_f64(m * 60.0)),
        checkpoint: Some(checkpoint),
        ..RunOptions::default()
    };
    let mut view = View::new(global);
    let (train, test) = (job.data.train.clone(), job.data.test.clone());
    let outcome =
        fit(graph, train, Some(test), preprocess, &config(job.settings), &options, &mut |p| {
            view.show(p);
            if interrupt::asked() { Control::Stop } else { Control::Continue }
        });
    drop(view);
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

/// Settings as the trainer takes them.
fn config(s: &TrainSettings) -> TrainConfig {
    TrainConfig {
        epochs: s.epochs,
        batch: s.batch,
        accumulate: s.accumulate,
        lr: s.lr,
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
    }
}

/// The progress of a training: a bar over all steps, and a line per epoch.
struct View<'a> {
    global: &'a Global,
    bar: Option<Counter>,
}

impl<'a> View<'a> {
    fn new(global: &'a Global) -> View<'a> {
        View { global, bar: None }
    }

    fn show(&mut self, p: &Progress) {
        let total = (p.epochs * p.steps_per_epoch) as u64;
        let bar = self.bar.get_or_insert_with(|| Counter::new(self.global, "train", total));
        match p.event {
            Event::Resumed => {
                bar.line(&format!(
                    "going on from step {} of epoch {}/{}",
                    p.step, p.epoch, p.epochs
                ));
            }
            Event::Skipped { sample, reason } => {
                bar.line(&format!("training picture {sample} is skipped: {reason}"));
            }
            Event::EpochEnd(stats) => bar.line(&epoch_line(stats, p)),
            Event::Step => {
                let done = ((p.epoch - 1) * p.steps_per_epoch + p.step) as u64;
                bar.set(done, || step_text(p));
            }
            Event::Validating | Event::Saved => {}
        }
    }
}

fn step_text(p: &Progress) -> String {
    let left = p
        .seconds_left
        .map_or("?".into(), |s| term::duration(Duration::from_secs_f64(s.clamp(0.0, 1e9))));
    format!(
        "epoch {}/{} · loss {:.3} · {:.1} % · {} images/s · {left} left",
        p.epoch,
        p.epochs,
        p.loss,
        100.0 * p.accuracy,
        term::count(p.images_per_second.round() as u64),
    )
}

fn epoch_line(stats: &EpochStats, p: &Progress) -> String {
    let test = match (stats.val_accuracy, stats.val_loss) {
        (Some(accuracy), Some(loss)) => {
            format!(" · test {:.2} % (loss {loss:.3})", 100.0 * accuracy)
        }
        _ => String::new(),
    };
    format!(
        "epoch {:>3}/{} · loss {:.3} · {:.2} %{test} · {} images/s · {}",
        stats.epoch,
        p.epochs,
        stats.train_loss,
        100.0 * stats.train_accuracy,
        term::count(p.images_per_second.round() as u64),
        term::duration(Duration::from_secs_f64(stats.seconds.clamp(0.0, 1e9))),
    )
}

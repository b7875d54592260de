//! Trains the weights that all networks of the space share.

use edgecut_search::supernet::{Sandwich, SharedWeights, train as train_shared};
use edgecut_train::config::{CheckpointOptions, RunOptions, TrainConfig};
use edgecut_train::progress::Control;

use super::{SHARED, Stage};
use crate::errors::Result;
use crate::interrupt;
use crate::progress::{Counter, say};
use crate::work::train::{CHECKPOINT_EVERY, config};

/// Random networks in each step, beside the largest and the smallest.
const RANDOM: usize = 2;

/// Trains, or goes on from the checkpoint.
pub fn train(stage: &Stage) -> Result<SharedWeights> {
    let task = stage.task;
    interrupt::listen();
    let config = TrainConfig {
        epochs: task.settings.shared_epochs,
        // Averages would belong to no network.
        ema_decay: None,
        ..config(task.training, false)
    };
    let checkpoint = CheckpointOptions {
        every: CHECKPOINT_EVERY,
        ..CheckpointOptions::new(task.folder.join(SHARED))
    };
    let options = RunOptions {
        threads: task.global.threads(),
        checkpoint: Some(checkpoint),
        ..RunOptions::default()
    };
    say(task.global, "training the weights that all networks share");
    let mut bar: Option<Counter> = None;
    let (weights, completed) = train_shared(
        &stage.space,
        (&stage.pictures.train, &stage.preprocess),
        &Sandwich { config, random: RANDOM },
        &options,
        &mut |progress| {
            let [step, all] = progress.steps;
            let bar = bar.get_or_insert_with(|| Counter::new(task.global, "shared", all));
            let [largest, smallest] = progress.losses;
            let pace = progress.images_per_second;
            bar.set(step, || {
                let epoch = step.div_ceil(progress.steps_per_epoch.max(1));
                format!(
                    "epoch {epoch} · loss {largest:.3}, smallest {smallest:.3} · {pace:.0} images/s"
                )
            });
            if interrupt::asked() { Control::Stop } else { Control::Continue }
        },
    )?;
    match completed {
        true => Ok(weights),
        false => Err(super::trials::stopped("while training the shared weights")),
    }
}

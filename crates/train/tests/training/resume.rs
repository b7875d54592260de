//! A training that is interrupted ends with the same bytes as one that is not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use edgecut_graph::rng::Rng;
use edgecut_train::data::{Augment, Mix, RandAugment, Sampling};
use edgecut_train::schedule::Decay;
use edgecut_train::{
    CheckpointOptions, ClassWeights, Control, Ending, Event, Optimizer, Progress, RunOptions,
    TrainConfig, TrainError, TrainOutcome, fit,
};

use crate::toy;

const EPOCHS: usize = 3;
const STEPS: usize = 4; // 50 images in batches of 12

fn config() -> TrainConfig {
    let augment = Augment::crop_and_flip(1);
    TrainConfig { augment, ..toy::config(EPOCHS) }
}

fn options(path: &Path) -> RunOptions {
    let checkpoint = CheckpointOptions { every: Duration::ZERO, ..CheckpointOptions::new(path) };
    RunOptions { threads: 2, checkpoint: Some(checkpoint), ..RunOptions::default() }
}

fn run(
    config: &TrainConfig,
    options: &RunOptions,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<TrainOutcome, TrainError> {
    let (train, val) = (toy::bars(50, 1), toy::bars(20, 2));
    fit(&toy::network(3), train, Some(val), &toy::preprocess(), config, options, observer)
}

fn undisturbed(config: &TrainConfig) -> TrainOutcome {
    run(config, &RunOptions::default(), &mut |_| Control::Continue).unwrap()
}

fn assert_same(found: &TrainOutcome, expected: &TrainOutcome, context: &str) {
    assert_eq!(found.ending, Ending::Completed, "{context}");
    assert!(toy::bytes(&found.graph) == toy::bytes(&expected.graph), "{context}: other weights");
    let timeless = |outcome: &TrainOutcome| {
        let epochs = outcome.history.iter();
        epochs.map(|&e| edgecut_train::EpochStats { seconds: 0.0, ..e }).collect::<Vec<_>>()
    };
    assert_eq!(timeless(found), timeless(expected), "{context}");
    assert_eq!(found.validation, expected.validation, "{context}");
    assert_eq!(found.steps, (EPOCHS * STEPS) as u64, "{context}");
}

/// All that a recipe may add.
fn everything() -> TrainConfig {
    TrainConfig {
        optimizer: Optimizer::LAMB,
        lr: 0.01,
        accumulate: 2,
        decay: Decay::OneCycle,
        class_weights: ClassWeights::Balanced,
        augment: Augment {
            erase: 0.5,
            rand_augment: Some(RandAugment { count: 2, magnitude: 9 }),
            ..Augment::crop_and_flip(1)
        },
        mix: Mix { mixup: 0.2, cutmix: 1.0 },
        sampling: Sampling::Balanced,
        patience: Some(EPOCHS),
        ..toy::config(EPOCHS)
    }
}

#[test]
fn stopping_and_going_on_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(4);
    let with = |optimizer| TrainConfig { optimizer, lr: 0.01, ..config() };
    let configs = [with(Optimizer::SGD), with(Optimizer::ADAMW), everything()];
    for (number, config) in configs.into_iter().enumerate() {
        let expected = undisturbed(&config);
        for attempt in 0..5 {
            let path = folder.path().join(format!("{number}{attempt}.ckpt"));
            let mut runs = 0;
            let outcome = loop {
                // Never written in between: only the checkpoint of the stop counts.
                let mut options = options(&path);
                options.checkpoint.as_mut().unwrap().every = Duration::from_secs(3600);
                let mut left = 1 + rng.below(EPOCHS * STEPS - 1);
                let mut stop = |p: &Progress| {
                    left -= usize::from(p.event == Event::Step && left > 0);
                    if left == 0 { Control::Stop } else { Control::Continue }
                };
                let outcome = run(&config, &options, &mut stop).unwrap();
                runs += 1;
                if outcome.ending == Ending::Completed {
                    break outcome;
                }
                assert_eq!(outcome.ending, Ending::Stopped);
            };
            assert_same(&outcome, &expected, &format!("attempt {attempt}, {runs} runs"));
        }
    }
}

/// A kill leaves the last checkpoint that was renamed into place: every one of them is tried, the
/// one between an epoch's last step and its validation included.
#[test]
fn every_checkpoint_leads_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.ckpt");
    let expected = undisturbed(&config());
    let mut copies = vec![];
    let outcome = run(&config(), &options(&path), &mut |p| {
        if p.event == Event::Saved {
            let copy = folder.path().join(format!("{}-{}", p.epoch, p.step));
            fs::copy(&path, &copy).unwrap();
            copies.push(copy);
        }
        Control::Continue
    });
    assert_same(&outcome.unwrap(), &expected, "with checkpoints");
    assert_eq!(copies.len(), EPOCHS * STEPS);
    for copy in copies {
        let mut resumed = false;
        let outcome = run(&config(), &options(&copy), &mut |p| {
            resumed |= p.event == Event::Resumed;
            Control::Continue
        });
        assert!(resumed);
        assert_same(&outcome.unwrap(), &expected, &copy.display().to_string());
    }
    // A finished training returns at once.
    let mut steps = 0;
    let again = run(&config(), &options(&path), &mut |p| {
        steps += usize::from(p.event == Event::Step);
        Control::Continue
    });
    assert_same(&again.unwrap(), &expected, "finished");
    assert_eq!(steps, 0);
}

#[test]
fn a_checkpoint_of_another_training_is_refused_unless_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.ckpt");
    let go = &mut |_: &Progress| Control::Continue;
    run(&config(), &options(&path), go).unwrap();
    let other = TrainConfig { seed: 6, ..config() };
    let error = run(&other, &options(&path), go).unwrap_err().to_string();
    assert!(error.contains("training.ckpt") && error.contains("other settings"), "{error}");

    let (graph, preprocess) = (toy::network(4), toy::preprocess());
    let result = fit(&graph, toy::bars(50, 1), None, &preprocess, &config(), &options(&path), go);
    assert!(result.unwrap_err().to_string().contains("another model"));
    let graph = toy::network(3);
    let result = fit(&graph, toy::bars(50, 9), None, &preprocess, &config(), &options(&path), go);
    assert!(result.unwrap_err().to_string().contains("other data"));

    let mut restarted = options(&path);
    restarted.checkpoint.as_mut().unwrap().restart = true;
    run(&other, &restarted, go).unwrap();
    assert_same(&run(&other, &options(&path), go).unwrap(), &undisturbed(&other), "restarted");
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.ckpt");
    let go = &mut |_: &Progress| Control::Continue;
    run(&config(), &options(&path), go).unwrap();
    let bytes = fs::read(&path).unwrap();
    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).unwrap();
        let error = run(&config(), &options(&path), go).unwrap_err().to_string();
        assert!(error.contains("training.ckpt"), "{error}");
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    fs::write(&path, flipped).unwrap();
    let error = run(&config(), &options(&path), go).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    fs::write(&path, vec![0; 200 << 20]).unwrap();
    let error = run(&config(), &options(&path), go).unwrap_err().to_string();
    assert!(error.contains("bytes"), "{error}");
}

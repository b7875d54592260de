//! What stays of a training: `metrics.jsonl` for scripts, and the same as TensorBoard's event file.
//!
//! A line holds what one moment is known by. A training that goes on from a checkpoint drops the lines
//! behind it, so that each step stands in the file once.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use edgecut_train::{Event, Progress};
use serde::{Deserialize, Serialize};

use super::tensorboard::Events;
use crate::errors::{Failure, Result};
use crate::files;

/// Lines about steps in an epoch, at most.
const LINES: usize = 50;

/// One line. Losses and accuracies of training are means of the epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    /// Seconds since 1970.
    time: f64,
    /// Steps since the beginning.
    step: u64,
    /// Epochs that are done, with a fraction.
    epoch: f64,
    /// Learning rate of the last step.
    lr: f32,
    train_loss: f64,
    /// 0 to 1, as the next one.
    train_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_accuracy: Option<f64>,
    images_per_second: f64,
}

impl Line {
    fn new(p: &Progress) -> Line {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        let epoch = (p.epoch - 1) as f64 + p.step as f64 / p.steps_per_epoch.max(1) as f64;
        Line {
            time,
            step: ((p.epoch - 1) * p.steps_per_epoch + p.step) as u64,
            epoch,
            lr: p.lr,
            train_loss: p.loss,
            train_accuracy: p.accuracy,
            images_per_second: p.images_per_second,
            ..Line::default()
        }
    }

    /// Its numbers by the names that TensorBoard groups by.
    fn scalars(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let known = [
            ("loss/train", Some(self.train_loss)),
            ("loss/test", self.test_loss),
            ("accuracy/train", Some(self.train_accuracy)),
            ("accuracy/test", self.test_accuracy),
            ("training/lr", Some(self.lr.into())),
            ("training/images_per_second", Some(self.images_per_second)),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Both files, opened when the first thing happens.
pub struct Records {
    folder: PathBuf,
    open: Option<(File, Events)>,
}

impl Records {
    /// Writes to `folder`, which is made if need be.
    pub fn new(folder: &Path) -> Records {
        Records { folder: folder.into(), open: None }
    }

    /// Records what has happened, as far as it is worth a line.
    ///
    /// # Errors
    /// What the operating system refused.
    pub fn add(&mut self, p: &Progress) -> Result<()> {
        let every = p.steps_per_epoch.div_ceil(LINES).max(1);
        let line = match p.event {
            Event::Step if p.step.is_multiple_of(every) => Line::new(p),
            Event::EpochEnd(stats) => Line {
                test_loss: stats.val_loss,
                test_accuracy: stats.val_accuracy,
                train_loss: stats.train_loss,
                train_accuracy: stats.train_accuracy,
                ..Line::new(p)
            },
            _ => return Ok(()),
        };
        if self.open.is_none() {
            self.open = Some(self.files(line.step)?);
        }
        let Some((metrics, events)) = &mut self.open else { return Ok(()) };
        write(metrics, &line)
            .and_then(|()| line.scalars().try_for_each(|(name, v)| events.add(&line.at(), name, v)))
            .map_err(|e| Failure::input(format!("cannot write the records: {e}")).at(&self.folder))
    }

    /// Both files with the lines of earlier runs before `step`.
    fn files(&self, step: u64) -> Result<(File, Events)> {
        files::make_folder(&self.folder)?;
        let path = self.folder.join("metrics.jsonl");
        let known = fs::read_to_string(&path).unwrap_or_default();
        let lines = known.lines().filter_map(|l| serde_json::from_str::<Line>(l).ok());
        let kept: Vec<Line> = lines.filter(|line| line.step < step).collect();
        let create = || {
            let mut metrics = File::create(&path)?;
            kept.iter().try_for_each(|line| write(&mut metrics, line))?;
            let mut events = Events::create(&self.folder)?;
            for line in &kept {
                line.scalars().try_for_each(|(name, v)| events.add(&line.at(), name, v))?;
            }
            Ok((metrics, events))
        };
        create().map_err(|e: std::io::Error| Failure::input(e.to_string()).at(&self.folder))
    }
}

impl Line {
    fn at(&self) -> super::tensorboard::Moment {
        super::tensorboard::Moment { time: self.time, step: self.step }
    }
}

/// One write for a line, so that a kill leaves whole ones.
fn write(file: &mut File, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(event: Event, epoch: usize, step: usize) -> Progress {
        Progress {
            event,
            epoch,
            epochs: 3,
            step,
            steps_per_epoch: 4,
            loss: 1.5,
            accuracy: 0.5,
            lr: 0.1,
            images_per_second: 10.0,
            seconds_left: None,
        }
    }

    #[test]
    fn a_training_that_goes_on_drops_what_it_does_again() {
        let folder = tempfile::tempdir().unwrap();
        let run = |steps: &[(usize, usize)]| {
            let mut records = Records::new(folder.path());
            for &(epoch, step) in steps {
                records.add(&progress(Event::Step, epoch, step)).unwrap();
            }
        };
        run(&[(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)]);
        run(&[(1, 4), (2, 1), (2, 2)]);
        let text = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
        let steps = text.lines().map(|l| serde_json::from_str::<Line>(l).unwrap().step);
        assert_eq!(steps.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }
}

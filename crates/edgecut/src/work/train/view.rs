//! What a person sees of a training.

use std::time::Duration;

use edgecut_train::plan::Memory;
use edgecut_train::{EpochStats, Event, Progress};

use super::curves::Curves;
use crate::cli::Global;
use crate::progress::Counter;
use crate::term;

/// Characters of a curve.
const CURVE_WIDTH: usize = 34;

/// The progress of a training: a bar over all steps with curves below it, and a line per epoch.
pub struct View<'a> {
    global: &'a Global,
    bar: Option<Counter>,
    curves: Curves,
}

impl<'a> View<'a> {
    /// Nothing yet.
    pub fn new(global: &'a Global) -> View<'a> {
        View { global, bar: None, curves: Curves::default() }
    }

    /// Shows what has happened.
    pub fn show(&mut self, p: &Progress) {
        let total = (p.epochs * p.steps_per_epoch) as u64;
        let bar = self.bar.get_or_insert_with(|| Counter::new(self.global, "train", total));
        self.curves.add(p);
        match p.event {
            Event::Planned(memory) => bar.line(&memory_line(memory)),
            Event::Resumed => {
                bar.line(&format!(
                    "going on from step {} of epoch {}/{}",
                    p.step, p.epoch, p.epochs
                ));
            }
            Event::Begun(found) => {
                let accuracy = 100.0 * found.counts.accuracy();
                bar.line(&format!("before · test {accuracy:.2} % (loss {:.3})", found.loss));
            }
            Event::Skipped { sample, reason } => {
                bar.line(&format!("training picture {sample} is skipped: {reason}"));
            }
            Event::EpochEnd(stats) => bar.line(&epoch_line(stats, p)),
            Event::Step => {
                let done = ((p.epoch - 1) * p.steps_per_epoch + p.step) as u64;
                let curves = &self.curves;
                bar.set_with(done, || step_text(p), || curves.draw(CURVE_WIDTH));
            }
            Event::Validating | Event::Saved => {}
        }
    }
}

fn memory_line(memory: &Memory) -> String {
    let bytes = |n: usize| term::bytes(n as u64);
    let again = match memory.recomputed {
        0 => String::new(),
        layers => format!(
            "; {layers} layers are computed again in the backward pass, about {:.0} % of the \
             forward pass",
            100.0 * memory.recomputation
        ),
    };
    format!(
        "a step works on {} (activations {}){again}",
        bytes(memory.total()),
        bytes(memory.activations)
    )
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

//! Pruning in steps, with training in between.
//!
//! Every step takes the same part of what is left: after step k of N the measure is
//! `before * (target / before)^(k / N)`. Zeros become many at first and few in the end, on the cubic
//! schedule of Zhu and Gupta. What is worth least is asked anew each time, of the network
//! that has learned to do without what went before.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgecut_compress::prune::Channels;
use edgecut_compress::sparse::gradual_share;
use edgecut_graph::{Graph, onnx};
use edgecut_kernels::Pool;
use edgecut_train::fingerprint;
use serde::Serialize;

use super::depth::shorten;
use super::journal::{Journal, StepRecord, TrainedRecord};
use super::recover::{Pictures, Places, accuracy, recover};
use super::sparse::WeightSettings;
use super::{Goal, Measure, Seen, prune};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{PruneSettings, RecoverSettings, TrainSettings};
use crate::stats::Share;
use crate::work::calibrate::Sample;
use crate::work::train::is_quantised;
use crate::{files, progress, term};

/// What goes, and how it is chosen.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What<'a> {
    /// Channels.
    Channels(&'a PruneSettings),
    /// Single weights, which become zero.
    Weights(&'a WeightSettings),
    /// Residual blocks, chosen on so many training pictures.
    Blocks(usize),
}

/// Everything that pruning in steps needs beside the network.
pub struct Progressive<'a> {
    pub global: &'a Global,
    pub what: What<'a>,
    /// How many steps, and how the network is trained on.
    pub recover: &'a RecoverSettings,
    /// Seed of the trainings.
    pub seed: u64,
    /// Pictures to train on; without them nothing is trained or measured.
    pub pictures: Option<&'a Pictures<'a>>,
    /// Folder of journal, networks and checkpoints.
    pub folder: &'a Path,
    /// Time between two checkpoints.
    pub every: Duration,
    /// Whether what is in the folder is ignored.
    pub restart: bool,
    pub pool: &'a Arc<Pool>,
}

/// What came of it.
pub struct Progressed {
    /// The network.
    pub graph: Graph,
    /// All steps.
    pub journal: Journal,
}

/// A network with less in it.
struct Smaller {
    graph: Graph,
    reached: f64,
    met: bool,
    removed: usize,
}

/// What a journal belongs to.
#[derive(Serialize)]
struct Identity<'a> {
    model: String,
    data: Option<String>,
    what: What<'a>,
    seed: u64,
    recover: &'a RecoverSettings,
    target: &'a str,
}

impl Progressive<'_> {
    /// Prunes `graph` to `goal`, which the user has stated as `target`. Whatever was done before a kill
    /// is not done again.
    ///
    /// # Errors
    /// Also Ctrl-C, which says how to go on.
    pub fn run(&self, whole: &Graph, goal: Goal, target: &str) -> Result<Progressed> {
        files::make_folder(self.folder)?;
        let mut journal = self.begin(whole, goal, target)?;
        let mut graph = whole.clone();
        for number in 1..=self.recover.steps {
            if journal.steps.len() < number {
                let record = self.shrink(&journal, number, (whole, &graph))?;
                journal.steps.push(record);
                journal.write()?;
            }
            if self.recover.epochs_after(number) > 0 && journal.steps[number - 1].trained.is_none()
            {
                let pruned = journal.after(number)?;
                let trained = self.train(&journal, number, pruned, whole)?;
                journal.steps[number - 1].trained = Some(trained);
                journal.write()?;
            }
            graph = journal.after(number)?;
            self.say(&journal.steps[number - 1], journal.goal.measure);
        }
        Ok(Progressed { graph, journal })
    }

    /// Prunes in one step without training, and keeps nothing of it on disk.
    ///
    /// # Errors
    /// What pruning says.
    pub fn once(&self, whole: &Graph, goal: Goal) -> Result<Progressed> {
        let smaller = self.cut((whole, whole), goal)?;
        let mut journal = Journal::new(self.folder, String::new(), goal);
        journal.accuracy_before = self.accuracy(whole)?;
        journal.steps.push(self.record(1, goal.at_most, &smaller)?);
        Ok(Progressed { graph: smaller.graph, journal })
    }

    /// The journal to go on with, or a new one.
    fn begin(&self, whole: &Graph, goal: Goal, target: &str) -> Result<Journal> {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let data = self.pictures.map(|pictures| -> Result<String> {
            let of = |set: &Arc<dyn edgecut_train::data::Dataset>| {
                fingerprint::of_data(set.as_ref(), pictures.preprocess)
            };
            let parts = [of(&pictures.data.train)?, of(&pictures.data.test)?];
            Ok(hex(fingerprint::combine(&parts)))
        });
        let model = files::sha256(&onnx::to_bytes(whole)?);
        let (what, seed, recover) = (self.what, self.seed, self.recover);
        let identity = Identity { model, data: data.transpose()?, what, seed, recover, target };
        let text = serde_json::to_vec(&identity).map_err(|e| Failure::input(e.to_string()))?;
        let of = files::sha256(&text);
        if !self.restart
            && let Some(mut found) = Journal::open(self.folder, &of)?
        {
            let done = found.steps.len();
            progress::say(self.global, &format!("going on from step {}", done.max(1)));
            // Times are measured; everything else comes out as it did.
            let goal = if goal.measure == Measure::Latency { found.goal } else { goal };
            found.goal = goal;
            return Ok(found);
        }
        let mut journal = Journal::new(self.folder, of, goal);
        journal.accuracy_before = self.accuracy(whole)?;
        journal.write()?;
        Ok(journal)
    }

    fn accuracy(&self, graph: &Graph) -> Result<Option<Share>> {
        let of = |pictures| accuracy(self.global, graph, pictures, self.pool);
        self.pictures.map(of).transpose()
    }

    /// The pruning of one step.
    fn shrink(
        &self,
        journal: &Journal,
        number: usize,
        (whole, graph): (&Graph, &Graph),
    ) -> Result<StepRecord> {
        let (goal, steps) = (journal.goal, self.recover.steps);
        let part = number as f64 / steps as f64;
        let at_most = match goal.measure {
            // Of what is left.
            Measure::Ratio => step_share(goal.at_most, steps),
            Measure::Blocks => {
                let gone: usize = journal.steps.iter().map(|step| step.removed).sum();
                (goal.at_most * part).round() - gone as f64
            }
            Measure::Zeros => gradual_share(goal.at_most, number, steps),
            _ => goal.before * (goal.at_most / goal.before.max(1e-9)).powf(part),
        };
        let smaller = self.cut((whole, graph), Goal { at_most, ..goal })?;
        let pruned = journal.keep(&smaller.graph, format!("step-{number}.pruned.onnx"))?;
        Ok(StepRecord { pruned: Some(pruned), ..self.record(number, at_most, &smaller)? })
    }

    /// `graph` with as much less as `goal` says; `whole` is the network to begin with.
    fn cut(&self, (whole, graph): (&Graph, &Graph), goal: Goal) -> Result<Smaller> {
        let (global, pool) = (self.global, self.pool);
        match self.what {
            What::Channels(settings) => {
                let max_ratio = step_share(settings.max_ratio, self.recover.steps);
                let settings = PruneSettings { max_ratio, ..settings.clone() };
                let pictures = self.pictures.map(|p| (&p.data.train, p.preprocess));
                let seen = Seen::of(global, &settings, pictures)?;
                let (channels, how) = (Channels::of(graph)?, (&settings, &goal, whole));
                let cut = prune(global, &channels, how, &seen, pool)?;
                let (reached, met, removed) = (cut.value, cut.met, cut.plan.len());
                Ok(Smaller { graph: cut.graph, reached, met, removed })
            }
            What::Blocks(pictures) => {
                let sample = self.sample(true, pictures)?.ok_or_else(super::no_pictures)?;
                let count = goal.at_most as usize;
                let (graph, removed) = shorten(global, graph, count, &sample, pool)?;
                let (reached, met) = (removed as f64, removed == count);
                Ok(Smaller { graph, reached, met, removed })
            }
            What::Weights(settings) => {
                let sample = self.sample(settings.needs_images(), settings.images())?;
                let (graph, reached, removed) =
                    settings.sparsify(global, graph, goal.at_most, sample.as_ref(), pool)?;
                Ok(Smaller { graph, reached, met: true, removed })
            }
        }
    }

    /// Training pictures to choose by.
    fn sample(&self, needed: bool, count: usize) -> Result<Option<Sample>> {
        let pictures = self.pictures.filter(|_| needed);
        let sample = |p: &Pictures| Sample::new(&p.data.train, p.preprocess, count);
        pictures.map(sample).transpose()
    }

    fn record(&self, number: usize, wanted: f64, smaller: &Smaller) -> Result<StepRecord> {
        Ok(StepRecord {
            number,
            wanted,
            reached: smaller.reached,
            met: smaller.met,
            removed: smaller.removed,
            pruned_accuracy: self.accuracy(&smaller.graph)?,
            pruned: None,
            trained: None,
        })
    }

    /// The training of one step.
    fn train(
        &self,
        journal: &Journal,
        number: usize,
        pruned: Graph,
        teacher: &Graph,
    ) -> Result<TrainedRecord> {
        let Some(pictures) = self.pictures else {
            return Err(Failure::input("training needs pictures; give --data"));
        };
        let places = Places {
            checkpoint: self.folder.join(format!("step-{number}")),
            shared: self.folder,
            every: self.every,
            // A new journal is followed by new trainings only.
            restart: self.restart,
        };
        let epochs = self.recover.epochs_after(number);
        progress::say(
            self.global,
            &format!("step {number} of {}: training {epochs} epochs", self.recover.steps),
        );
        let keep_zeros = matches!(self.what, What::Weights(_));
        let training = TrainSettings {
            keep_zeros,
            ..self.recover.training(epochs, self.seed, is_quantised(&pruned))
        };
        let graphs = (pruned, teacher);
        let outcome = recover(self.global, (self.recover, &training), graphs, pictures, &places)?;
        let counts = outcome.validation.map(|found| found.counts);
        Ok(TrainedRecord {
            accuracy: counts.map(|c| Share::of(c.top1 as usize, c.total as usize)),
            epochs,
            seconds: outcome.seconds,
            network: journal.keep(&outcome.graph, format!("step-{number}.onnx"))?,
        })
    }

    fn say(&self, record: &StepRecord, measure: Measure) {
        let share = |share: Option<Share>| share.map_or("-".into(), |s| term::percent(s.percent));
        let trained = record.trained.as_ref().and_then(|trained| trained.accuracy);
        let (pruned, trained) = (share(record.pruned_accuracy), share(trained));
        progress::say(
            self.global,
            &format!(
                "step {} of {}: {}, accuracy {pruned} pruned, {trained} trained",
                record.number,
                self.recover.steps,
                measure.say(record.reached)
            ),
        );
    }
}

/// The share that goes in each of `steps` steps, of what is left, so that `share` is gone in the end.
fn step_share(share: f64, steps: usize) -> f64 {
    1.0 - (1.0 - share).powf(1.0 / steps as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_make_up_the_whole() {
        for steps in [1, 2, 5] {
            let left = (1.0 - step_share(0.7, steps)).powi(steps as i32);
            assert!((left - 0.3).abs() < 1e-12);
        }
    }
}

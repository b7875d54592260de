//! What pruning in steps has done so far, so that it survives being killed.
//!
//! A folder holds `journal.json` and the networks that it names. Each is written whole before the
//! journal tells of it, so what the journal tells of is there.

use std::path::{Path, PathBuf};

use edgecut_graph::{Graph, onnx};
use serde::{Deserialize, Serialize};

use super::Goal;
use crate::errors::{Failure, Result};
use crate::stats::Share;
use crate::{files, term};

/// File of the journal inside its folder.
const NAME: &str = "journal.json";

/// A network in the journal's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its file.
    pub file: String,
    /// SHA-256 of it.
    pub sha256: String,
}

/// A step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its number, from 1.
    pub number: usize,
    /// What the goal's measure should fall to.
    pub wanted: f64,
    /// What it fell to.
    pub reached: f64,
    /// Whether that is enough.
    pub met: bool,
    /// Channels that went, or weights that are zero now.
    pub removed: usize,
    /// Accuracy on the test pictures before training.
    pub pruned_accuracy: Option<Share>,
    /// The network before training, where it is kept.
    pub pruned: Option<Kept>,
    /// What training made of it.
    pub trained: Option<TrainedRecord>,
}

/// The end of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainedRecord {
    /// Accuracy on the test pictures.
    pub accuracy: Option<Share>,
    /// Epochs of training.
    pub epochs: usize,
    /// Seconds of training, all runs together.
    pub seconds: f64,
    /// The network.
    pub network: Kept,
}

/// All steps so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Digest of what they are steps of: model, data, settings and target.
    of: String,
    /// The target, in its unit, as it was measured when the first step began.
    pub goal: Goal,
    /// Accuracy on the test pictures before.
    pub accuracy_before: Option<Share>,
    /// The steps, in order.
    pub steps: Vec<StepRecord>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Journal {
    /// Nothing yet, in `folder`.
    pub fn new(folder: &Path, of: String, goal: Goal) -> Journal {
        let folder = folder.to_path_buf();
        Journal { of, goal, accuracy_before: None, steps: vec![], folder }
    }

    /// The journal in `folder`, if there is one.
    ///
    /// # Errors
    /// Where it is damaged, or of other work than `of`.
    pub fn open(folder: &Path, of: &str) -> Result<Option<Journal>> {
        let path = folder.join(NAME);
        let text = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| Failure::io(&path, &e))?,
        };
        let again = "--restart begins anew";
        let journal: Journal = serde_json::from_slice(&text)
            .map_err(|e| Failure::input(format!("is damaged: {e}")).at(&path).hint(again))?;
        if journal.of != of {
            let problem = "is of another model, other data, settings or another target";
            return Err(Failure::input(problem).at(&path).hint(again));
        }
        Ok(Some(Journal { folder: folder.to_path_buf(), ..journal }))
    }

    /// Writes it whole or not at all.
    pub fn write(&self) -> Result<()> {
        files::write_json(&self.folder.join(NAME), self)
    }

    /// Writes `graph` into the folder as `file`.
    pub fn keep(&self, graph: &Graph, file: String) -> Result<Kept> {
        let bytes = onnx::to_bytes(graph)?;
        files::write(&self.folder.join(&file), &bytes)?;
        Ok(Kept { file, sha256: files::sha256(&bytes) })
    }

    /// The network after step `number`, trained where it was. What goes on from a network goes on from
    /// its file, so that an interruption makes no difference.
    pub fn after(&self, number: usize) -> Result<Graph> {
        let step = number.checked_sub(1).and_then(|at| self.steps.get(at));
        let trained = step.and_then(|step| step.trained.as_ref()).map(|t| &t.network);
        let kept = trained.or(step.and_then(|step| step.pruned.as_ref()));
        let missing = || Failure::input(format!("has no network of step {number}"));
        self.load(kept.ok_or_else(|| missing().at(&self.folder.join(NAME)))?)
    }

    fn load(&self, kept: &Kept) -> Result<Graph> {
        let path = self.folder.join(&kept.file);
        let bytes = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
        if files::sha256(&bytes) != kept.sha256 {
            let problem = "is not what the journal beside it tells of";
            return Err(Failure::input(problem).at(&path).hint("--restart begins anew"));
        }
        Ok(onnx::from_bytes(&kept.file, &bytes)?)
    }
}

/// Prints a table of the steps, where there is more to say than that there was one.
pub fn show_steps(journal: &Journal) {
    let Some(before) = journal.accuracy_before else { return };
    let share = |share: Option<Share>| share.map_or("-".into(), |s| term::percent(s.percent));
    let row = |step: &StepRecord| {
        let trained = step.trained.as_ref().and_then(|trained| trained.accuracy);
        let reached = journal.goal.measure.say(step.reached);
        let (number, removed) = (step.number.to_string(), step.removed.to_string());
        vec![number, removed, reached, share(step.pruned_accuracy), share(trained)]
    };
    let rows: Vec<Vec<String>> = journal.steps.iter().map(row).collect();
    let measure = format!("{:?}", journal.goal.measure).to_lowercase();
    let header = ["step", "removed", measure.as_str(), "accuracy", "trained"];
    files::print(&term::table(&header, &[0, 1, 2, 3, 4], &rows));
    files::print(&format!("accuracy was {} before", term::percent(before.percent)));
}

//! What a search has found so far, as it is written to disk.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use edgecut_graph::rng::Rng;
use edgecut_search::arch::SpaceFile;
use edgecut_search::{Costs, Genome, History, Problem, Subnets};
use edgecut_train::data::Preprocess;
use serde::{Deserialize, Serialize};

use super::device::{DeviceCosts, Kind};
use super::together::Shared;
use super::{FOUND, PAGE, Stage};
use crate::errors::{Failure, Result};
use crate::host::Machine;
use crate::progress::Counter;
use crate::settings::{SearchSettings, TrainSettings};
use crate::stats::{Share, Times};
use crate::{files, report, term};

/// Networks that are drawn to see what the space costs.
const DRAWN: u64 = 200;

/// Keeps their generator apart from others.
const STREAM: u64 = 0x7261_6e67_6573;

/// A search: what it was asked for, and what it has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    pub settings: SearchSettings,
    pub training: TrainSettings,
    /// Name of the data.
    pub data: String,
    /// What a reader must know before quoting a figure.
    pub note: Option<String>,
    /// Pictures to learn from, to judge by, and for the end.
    pub pictures: [usize; 3],
    /// The space as it was asked for.
    pub space: SpaceFile,
    /// What of it was searched, without what no network within the limits has; and how many networks
    /// that are.
    pub searched: SpaceFile,
    pub dropped: Vec<String>,
    pub space_size: String,
    /// Channels and side of the pictures, and number of classes.
    pub input: [usize; 3],
    /// How pictures become the input of the networks with the largest one.
    pub preprocess: Preprocess,
    pub machine: Machine,
    /// What networks cost; none before it was measured.
    pub device: Option<DeviceFacts>,
    /// Networks that were judged.
    pub trials: Vec<Net>,
    /// Those that no other one beats.
    pub front: Vec<usize>,
    /// Those that were trained to the end.
    pub winners: Vec<Winner>,
    /// Whether the search is over.
    pub done: bool,
}

/// What is known of the device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Networks that were measured.
    pub measured: usize,
    /// Of twenty networks, nineteen are within this share of their prediction.
    pub interval: f64,
    /// What networks of the space cost.
    pub ranges: Vec<Range>,
    /// Share of the space that is within all limits.
    pub within: f64,
}

/// One cost over the space.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Range {
    pub kind: Kind,
    pub limit: Option<f64>,
    /// Of networks drawn at random.
    pub least: f64,
    pub most: f64,
}

/// A network that was judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Net {
    /// Number of the trial.
    pub trial: usize,
    /// With shared weights, on the pictures held out, percent.
    pub accuracy: f64,
    /// Predicted milliseconds: on the device, or from the picture to the answer where a server helps.
    pub ms: f64,
    /// Trials that it comes from.
    pub parents: Vec<usize>,
    /// Its choices, for people and for programs.
    pub genes: String,
    pub genome: Genome,
}

/// A network that was trained to the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Winner {
    pub trial: usize,
    /// The winner that taught it; none for the first.
    pub teacher: Option<usize>,
    /// The file that is deployed, and the float one, in the folder of the search.
    pub files: [String; 2],
    pub sha256: String,
    pub bytes: u64,
    /// On the pictures held out, percent: with shared weights, trained, and as it is deployed.
    pub held_out: [f64; 3],
    /// On the test pictures: float, and as it is deployed.
    pub test: Option<[Share; 2]>,
    /// Predicted milliseconds, and nineteen of twenty lie between these.
    pub predicted: [f64; 3],
    /// Measured on the device.
    pub latency: Option<Times>,
    /// With the server, from what was measured; the link and the server are as they were named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// Packed weights and activations at run time.
    pub memory: u64,
    /// By a model.
    pub millijoules: f64,
    pub macs: u64,
    pub parameters: u64,
    /// Limits that it breaks as it was measured.
    pub over: Vec<Kind>,
    /// Seconds of training.
    pub seconds: f64,
    /// Where its time goes, and what it comes from.
    pub parts: Vec<Part>,
    pub lineage: Vec<Ancestor>,
}

/// A part of a network: the stem, a block, the head.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    /// What it is.
    pub what: String,
    /// Predicted milliseconds of its steps.
    pub ms: f64,
    pub macs: u64,
    pub weight_bytes: u64,
}

/// A network that another one comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ancestor {
    pub trial: usize,
    pub accuracy: f64,
    pub ms: f64,
    /// Choices that differ from the one before it in the list.
    pub changes: Vec<String>,
}

impl Range {
    /// A value with its unit.
    pub fn text(&self, value: f64) -> String {
        match self.kind {
            Kind::Latency | Kind::Together => term::milliseconds(value),
            Kind::Memory | Kind::Size => term::bytes(value as u64),
            Kind::Energy => format!("{value:.4} mJ"),
        }
    }
}

impl Found {
    /// Nothing yet.
    pub fn new(stage: &Stage) -> Result<Found> {
        let task = stage.task;
        let sets = [&stage.pictures.train, &stage.pictures.test, &task.data.test];
        let [channels, side] = stage.input;
        Ok(Found {
            settings: task.settings.clone(),
            training: task.training.clone(),
            data: task.data.name.clone(),
            note: task.data.note.clone(),
            pictures: sets.map(|set| set.len()),
            space: stage.space.file().clone(),
            searched: stage.space.file().clone(),
            dropped: vec![],
            space_size: stage.space.space().size()?.to_string(),
            input: [channels, side, task.data.train.classes().len()],
            preprocess: stage.preprocess.clone(),
            machine: stage.place.machine()?,
            device: None,
            trials: vec![],
            front: vec![],
            winners: vec![],
            done: false,
        })
    }

    /// That only the space of `stage` is searched.
    pub fn searched(&mut self, stage: &Stage, dropped: Vec<String>) -> Result<()> {
        self.searched = stage.space.file().clone();
        self.space_size = stage.space.space().size()?.to_string();
        self.dropped = dropped;
        Ok(())
    }

    /// What the search in `folder` has found; none where there is none.
    pub fn read(folder: &Path) -> Result<Option<Found>> {
        let path = folder.join(FOUND);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
        let found = serde_json::from_slice(&bytes);
        found.map(Some).map_err(|e| Failure::input(format!("is no search: {e}")).at(&path))
    }

    /// Takes over what `before` found, a search of the same folder.
    ///
    /// # Errors
    /// Where it searched for something else. More trials and other winners are the same search.
    pub fn after(self, before: Found, folder: &Path) -> Result<Found> {
        let asked = |found: &Found| {
            let mut settings = found.settings.clone();
            let fresh = SearchSettings::default();
            (settings.trials, settings.winners) = (fresh.trials, fresh.winners);
            // A device stays the same one, whatever its pass is called.
            settings.agent = None;
            (settings, found.training.clone(), found.space.clone(), found.input, found.pictures)
        };
        let same_machine = before.machine == self.machine;
        if asked(&self) != asked(&before) || self.data != before.data || !same_machine {
            let problem = "is of another search: its space, data, settings or machine are others";
            return Err(Failure::input(problem)
                .at(&folder.join(FOUND))
                .hint("search in another folder, or begin anew with --restart"));
        }
        let Found { device, winners, .. } = before;
        Ok(Found { device, winners, ..self })
    }

    /// Writes it down.
    pub fn save(&self, folder: &Path) -> Result<()> {
        files::write_json(&folder.join(FOUND), self)?;
        files::write(&folder.join(PAGE), report::search::page(self).as_bytes())
    }

    /// Sees what the space costs, unless that is known.
    pub fn about_device(&mut self, stage: &Stage, costs: &DeviceCosts) -> Result<()> {
        if self.device.is_some() {
            return Ok(());
        }
        let task = stage.task;
        let mut bar = Counter::new(task.global, "space", DRAWN);
        let mut drawn: Vec<Vec<f64>> = vec![];
        for number in 0..DRAWN {
            let mut rng = Rng::keyed(&[task.training.seed, STREAM, number]);
            let network = stage.space.network(&stage.space.draw(&mut rng)?, 0)?;
            // What was never measured is not counted; the search does not choose it either.
            drawn.extend(costs.of(&network));
            bar.set(number, String::new);
        }
        if drawn.is_empty() {
            return Err(Failure::input("no network of the space has all its steps measured")
                .hint("measure more networks: --measure N"));
        }
        let names = costs.names();
        let range = |(at, &kind): (usize, &Kind)| {
            let values = || drawn.iter().map(|costs| costs[at]);
            Range {
                kind,
                limit: names[at].limit,
                least: values().fold(f64::INFINITY, f64::min),
                most: values().fold(0.0, f64::max),
            }
        };
        let fits =
            |costs: &&Vec<f64>| costs.iter().zip(names).all(|(cost, name)| name.allows(*cost));
        let estimate = costs.estimate(&stage.space.least()?)?;
        self.device = Some(DeviceFacts {
            measured: costs.measured,
            interval: estimate.high_ms / estimate.ms - 1.0,
            ranges: costs.kinds().iter().enumerate().map(range).collect(),
            within: drawn.iter().filter(fits).count() as f64 / DRAWN as f64,
        });
        self.save(&task.folder)
    }

    /// Takes over what was judged.
    pub fn about_trials(&mut self, history: &History, problem: &Subnets) {
        let space = problem.space();
        let full = history.full(problem);
        let net = |&trial: &usize| {
            let found = &history.trials[trial];
            let &[accuracy, ms] = found.objectives()? else { return None };
            let parents = origins(history, &full, trial);
            let genome = found.proposal.genome.clone();
            let genes = space.describe(&genome);
            Some(Net { trial, accuracy, ms, parents, genes, genome })
        };
        self.trials = full.iter().filter_map(net).collect();
        self.front = history.front(problem);
    }

    /// A network that was judged.
    pub fn net(&self, trial: usize) -> Option<&Net> {
        self.trials.iter().find(|net| net.trial == trial)
    }
}

/// What a trial comes from among those by all pictures: earlier looks at the same network are passed over.
fn origins(history: &History, full: &[usize], trial: usize) -> Vec<usize> {
    let parents = |trial: usize| &history.trials[trial].proposal.parents;
    let mut left: VecDeque<usize> = parents(trial).iter().copied().collect();
    let (mut seen, mut found) = (HashSet::new(), vec![]);
    while let Some(parent) = left.pop_front() {
        if !seen.insert(parent) {
            continue;
        }
        match full.binary_search(&parent) {
            Ok(_) => found.push(parent),
            Err(_) => left.extend(parents(parent)),
        }
    }
    found
}

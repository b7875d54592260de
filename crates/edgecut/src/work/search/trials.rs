//! Judges networks by the shared weights, and shows how it goes.

use std::ops::ControlFlow;
use std::path::Path;

use edgecut_search::proxy::ProxyOptions;
use edgecut_search::supernet::Judge;
use edgecut_search::{
    Algorithm, End, Event, FileJournal, Genome, Halving, History, Outcome, Predictor, Problem,
    Proposal, Search, Subnets, Task, Threads, algorithm, warm_start,
};

use super::found::Found;
use super::limits::beyond;
use super::{JOURNAL, Stage};
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::{Counter, say};

/// Asks for `trials` judgements, as far as the journal does not have them. `device` is the digest of its
/// measurements.
pub fn run(
    stage: &Stage,
    (problem, judge): (&Subnets, &Judge),
    device: String,
    found: &mut Found,
) -> Result<History> {
    let warm = warm(stage, problem, judge)?;
    let (task, settings) = (stage.task, stage.task.settings);
    interrupt::listen();
    say(task.global, "searching");
    let chosen = chosen(&settings.algorithm, settings.trials, problem)?;
    let search = Search { problem, algorithm: &*chosen, seed: task.training.seed, warm: &warm };
    let (budget, about) = (settings.trials as f64, found.clone());
    let mut view = View {
        bar: Counter::new(task.global, "search", settings.trials as u64),
        folder: &task.folder,
        problem,
        found,
        tasks: vec![],
        done: 0.0,
        best: 0.0,
        unwritten: None,
    };
    let mut watch = |event: Event| {
        view.hear(&event);
        match interrupt::asked() || view.unwritten.is_some() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let (history, end) = match &task.meeting {
        Some(meeting) => {
            let subject = (&search, problem, judge);
            meeting.coordinate(task.global, subject, (&about, device), budget, &mut watch)?
        }
        None => {
            let mut journal = FileJournal::open(&task.folder.join(JOURNAL), &search.header())?;
            if let Some(notice) = journal.notice() {
                say(task.global, notice);
            }
            // One at a time: each uses all threads.
            let mut workers = Threads { problem, count: 1 };
            search.run(budget, &mut journal, &mut workers, &mut watch)?
        }
    };
    if let Some(failure) = view.unwritten.take() {
        return Err(failure);
    }
    drop(view);
    if end == End::Stopped {
        return Err(stopped("while searching"));
    }
    let excess = |&trial: &usize| problem.violation(history.genome(trial));
    match history.front(problem).first().map(excess) {
        Some(0.0) => Ok(history),
        Some(excess) => Err(beyond(&format!("the nearest is {:.1} % above", 100.0 * excess))),
        None => Err(beyond("none could be judged")),
    }
}

/// The networks to begin with. They are a function of settings and data, so that a search that goes on
/// finds them again.
fn warm(stage: &Stage, problem: &Subnets, judge: &Judge) -> Result<Vec<Genome>> {
    let (task, count) = (stage.task, stage.task.settings.warm);
    if count == 0 {
        return Ok(vec![]);
    }
    let options = ProxyOptions { seed: task.training.seed, threads: task.global.threads() };
    let mut bar = Counter::new(task.global, "score", count as u64);
    let mut told = |done: usize| {
        bar.set(done as u64, || "networks that nobody has trained".into());
        !interrupt::asked()
    };
    let pictures = judge.calibration;
    let found = warm_start(&stage.space, problem, pictures, count, &options, &mut told)?;
    match interrupt::asked() {
        true => Err(stopped("while scoring networks")),
        false => Ok(found),
    }
}

/// An interruption, and how to go on.
pub fn stopped(when: &str) -> Failure {
    Failure::not_met(format!("stopped {when}")).hint("the same command goes on where it was")
}

/// Most networks of these spaces take milliseconds to be priced, so the default looks at fewer
/// predictions than it does in tables.
fn chosen(name: &str, trials: usize, problem: &Subnets) -> Result<Box<dyn Algorithm>> {
    Ok(match name {
        "halving" => {
            let halving = Halving::default();
            let least = halving.bracket_cost(problem).ceil() as usize;
            if trials < least {
                let told = format!("halving judges none by all pictures in {trials} trials");
                return Err(Failure::input(told).hint(format!("allow --trials {least} or more")));
            }
            Box::new(halving)
        }
        "predictor" => {
            Box::new(Predictor { population: 40, generations: 8, ..Predictor::default() })
        }
        other => algorithm(other)?,
    })
}

/// What a person sees of a search: a bar, and a page that is written anew with each batch.
struct View<'a> {
    bar: Counter,
    folder: &'a Path,
    problem: &'a Subnets<'a>,
    found: &'a mut Found,
    /// Of the batch that is under way.
    tasks: Vec<Task>,
    /// In judgements by all pictures.
    done: f64,
    best: f64,
    unwritten: Option<Failure>,
}

impl View<'_> {
    fn cost(&self, proposal: &Proposal) -> f64 {
        self.problem.fidelities()[proposal.fidelity]
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Batch(tasks, notice, history) => {
                if let Some(notice) = notice {
                    self.bar.line(notice);
                }
                self.found.about_trials(history, self.problem);
                let before = history.trials.len() - tasks.len();
                let before = history.trials[..before].iter().map(|trial| &trial.proposal);
                self.done = before.map(|proposal| self.cost(proposal)).sum();
                self.tasks = tasks.to_vec();
                self.best = self.found.trials.iter().map(|net| net.accuracy).fold(0.0, f64::max);
                self.unwritten = self.found.save(self.folder).err();
            }
            Event::Result(trial, outcome) => {
                let task = self.tasks.iter().find(|task| task.trial == *trial);
                let cost = task.map_or(1.0, |task| self.cost(&task.proposal));
                self.done += cost;
                match outcome {
                    Outcome::Failed(reason) => {
                        self.bar.line(&format!("network {trial} failed: {reason}"));
                    }
                    // A part of the pictures says little.
                    Outcome::Objectives(values) if cost >= 1.0 => {
                        self.best = self.best.max(values[0]);
                    }
                    Outcome::Objectives(_) => {}
                }
            }
        }
        let (best, front) = (self.best, self.found.front.len());
        // A sum of parts may be a little less than whole.
        self.bar
            .set((self.done + 1e-9) as u64, || format!("best {best:.2} % · {front} on the front"));
    }
}

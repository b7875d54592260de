//! Judges networks by the shared weights, and shows how it goes.

use std::ops::ControlFlow;
use std::path::Path;

use edgecut_search::supernet::Judge;
use edgecut_search::{
    Algorithm, End, Event, FileJournal, History, Outcome, Predictor, Problem, Search, Subnets,
    Threads, algorithm,
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
    let (task, settings) = (stage.task, stage.task.settings);
    interrupt::listen();
    say(task.global, "searching");
    let chosen = chosen(&settings.algorithm)?;
    let search = Search { problem, algorithm: &*chosen, seed: task.training.seed, warm: &[] };
    let (budget, about) = (settings.trials as f64, found.clone());
    let mut view = View {
        bar: Counter::new(task.global, "search", settings.trials as u64),
        folder: &task.folder,
        problem,
        found,
        done: 0,
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

/// An interruption, and how to go on.
pub fn stopped(when: &str) -> Failure {
    Failure::not_met(format!("stopped {when}")).hint("the same command goes on where it was")
}

/// Most networks of these spaces take milliseconds to be priced, so the default looks at fewer
/// predictions than it does in tables.
fn chosen(name: &str) -> Result<Box<dyn Algorithm>> {
    Ok(match name {
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
    done: u64,
    best: f64,
    unwritten: Option<Failure>,
}

impl View<'_> {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Batch(tasks, notice, history) => {
                if let Some(notice) = notice {
                    self.bar.line(notice);
                }
                self.found.about_trials(history, self.problem);
                self.done = (history.trials.len() - tasks.len()) as u64;
                self.best = self.found.trials.iter().map(|net| net.accuracy).fold(0.0, f64::max);
                self.unwritten = self.found.save(self.folder).err();
            }
            Event::Result(trial, Outcome::Failed(reason)) => {
                self.bar.line(&format!("network {trial} failed: {reason}"));
                self.done += 1;
            }
            Event::Result(_, Outcome::Objectives(values)) => {
                self.done += 1;
                self.best = self.best.max(values[0]);
            }
        }
        let (best, front) = (self.best, self.found.front.len());
        self.bar.set(self.done, || format!("best {best:.2} % · {front} on the front"));
    }
}

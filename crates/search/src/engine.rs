//! Runs a search: asks the algorithm, has nets evaluated, keeps the journal.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::algorithm::{Algorithm, Context};
use crate::error::{Result, SearchError};
use crate::history::{History, Outcome, Trial};
use crate::journal::{Header, Journal, Record};
use crate::problem::{self, Problem, Proposal};
use crate::space::Genome;

/// An evaluation to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its number.
    pub trial: usize,
    /// What it is.
    pub proposal: Proposal,
}

/// What a worker reports to: whether to go on.
pub type Done<'a> = dyn FnMut(usize, Outcome) -> Result<ControlFlow<()>> + 'a;

/// Whoever evaluates nets: threads of this process, or workers elsewhere.
pub trait Workers {
    /// Evaluates `tasks` in any order, each once, and reports each as soon as it has ended. Stops early
    /// where `done` breaks or fails, or where it is told to stop by other ways: the search then ends.
    ///
    /// # Errors
    /// Those of `done`, and where nobody can evaluate.
    fn evaluate(&mut self, tasks: &[Task], done: &mut Done) -> Result<()>;
}

/// Threads of this process.
pub struct Threads<'a> {
    /// What evaluates.
    pub problem: &'a dyn Problem,
    /// How many at a time, at least one.
    pub count: usize,
}

impl Workers for Threads<'_> {
    fn evaluate(&mut self, tasks: &[Task], done: &mut Done) -> Result<()> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = |results: mpsc::Sender<(usize, Outcome)>| {
            while !stop.load(Ordering::Relaxed) {
                let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let outcome = evaluate(self.problem, task);
                if results.send((task.trial, outcome)).is_err() {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            let (sender, results) = mpsc::channel();
            for _ in 0..self.count.clamp(1, tasks.len().max(1)) {
                let sender = sender.clone();
                scope.spawn(move || work(sender));
            }
            drop(sender);
            // What is under way when the search stops is still reported: it was paid for.
            let mut ended = Ok(());
            for (trial, outcome) in results {
                match done(trial, outcome) {
                    Ok(ControlFlow::Continue(())) => continue,
                    Ok(ControlFlow::Break(())) => {}
                    Err(e) => ended = Err(e),
                }
                stop.store(true, Ordering::Relaxed);
                if ended.is_err() {
                    break;
                }
            }
            ended
        })
    }
}

/// One evaluation; what is no list of finite numbers, one for each objective, has failed.
pub fn evaluate(problem: &dyn Problem, task: &Task) -> Outcome {
    let objectives = problem.objectives();
    match problem.evaluate(&task.proposal, task.trial) {
        Err(reason) => Outcome::Failed(reason),
        Ok(values) if values.len() != objectives.len() => {
            Outcome::Failed(format!("{} values for {} objectives", values.len(), objectives.len()))
        }
        Ok(values) => match values.iter().zip(objectives).find(|(v, _)| !v.is_finite()) {
            Some((value, objective)) => Outcome::Failed(format!("{} is {value}", objective.name)),
            None => Outcome::Objectives(values),
        },
    }
}

/// Something that a search tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// These evaluations begin, with what is to be said about them; all so far, these included.
    Batch(&'a [Task], Option<&'a str>, &'a History),
    /// An evaluation has ended.
    Result(usize, &'a Outcome),
}

/// Why a search has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The budget is spent.
    Budget,
    /// Nothing new is left that keeps the limits.
    Exhausted,
    /// It was told to stop.
    Stopped,
}

/// A search.
pub struct Search<'a> {
    /// What is searched.
    pub problem: &'a dyn Problem,
    /// How.
    pub algorithm: &'a dyn Algorithm,
    /// Of everything random.
    pub seed: u64,
    /// Nets to begin with, the most promising first, as zero-cost scores propose them.
    pub warm: &'a [Genome],
}

impl Search<'_> {
    /// What its journal begins with.
    pub fn header(&self) -> Header {
        Header::new(self.problem, self.algorithm, self.seed, self.warm)
    }

    /// Searches until evaluations have cost as much as `budget` full ones, with what the journal knows
    /// already. A search with a smaller budget is the beginning of one with a larger.
    ///
    /// # Errors
    /// Where settings and problem do not fit, or the journal is of another search or cannot be written.
    pub fn run(
        &self,
        budget: f64,
        journal: &mut dyn Journal,
        workers: &mut dyn Workers,
        watch: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(History, End)> {
        problem::check(self.problem)?;
        let mut history = restore(self.problem, journal.take_records())?;
        loop {
            let open = history.batches.last().copied().unwrap_or(0)..history.trials.len();
            let is_over = |trial: usize| history.trials[trial].outcome.is_some();
            if open.clone().all(is_over) {
                if spent(self.problem, &history) >= budget {
                    return Ok((history, End::Budget));
                }
                if !self.ask(&mut history, journal, watch)? {
                    return Ok((history, End::Exhausted));
                }
                continue;
            }
            let tasks = affordable(self.problem, &history, budget);
            if tasks.is_empty() {
                return Ok((history, End::Budget));
            }
            let mut stopped = false;
            workers.evaluate(&tasks, &mut |trial, outcome| {
                let slot = history.trials.get_mut(trial).filter(|t| t.outcome.is_none());
                // Somebody may report twice where workers die and are replaced: the first counts.
                let Some(slot) = slot else { return Ok(ControlFlow::Continue(())) };
                journal.append(&Record::Result { trial, outcome: outcome.clone() })?;
                let flow = watch(Event::Result(trial, &outcome));
                slot.outcome = Some(outcome);
                stopped |= flow.is_break();
                Ok(flow)
            })?;
            let is_open = |task: &Task| history.trials[task.trial].outcome.is_none();
            if stopped || tasks.iter().any(is_open) {
                return Ok((history, End::Stopped));
            }
        }
    }

    /// Opens the next batch; says whether there is one.
    fn ask(
        &self,
        history: &mut History,
        journal: &mut dyn Journal,
        watch: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<bool> {
        let context = Context { problem: self.problem, seed: self.seed, warm: self.warm, history };
        let batch = self.algorithm.propose(&context)?;
        if batch.proposals.is_empty() {
            return Ok(false);
        }
        let first = history.trials.len();
        let (proposals, notice) = (batch.proposals.clone(), batch.notice.clone());
        journal.append(&Record::Batch { first, proposals, notice })?;
        let number = |(k, proposal): (usize, &Proposal)| Task {
            trial: first + k,
            proposal: proposal.clone(),
        };
        let tasks: Vec<Task> = batch.proposals.iter().enumerate().map(number).collect();
        history.open_batch(batch.proposals);
        let _ = watch(Event::Batch(&tasks, batch.notice.as_deref(), history));
        Ok(true)
    }
}

/// What the evaluations of whole batches have cost.
fn spent(problem: &dyn Problem, history: &History) -> f64 {
    history.trials.iter().map(|t| problem.fidelities()[t.proposal.fidelity]).sum()
}

/// Those evaluations of the open batch that are not over and within the budget, counted in order.
fn affordable(problem: &dyn Problem, history: &History, budget: f64) -> Vec<Task> {
    let mut cost = 0.0;
    let mut tasks = vec![];
    for (trial, found) in history.trials.iter().enumerate() {
        cost += problem.fidelities()[found.proposal.fidelity];
        // A sum of thirds is not quite whole.
        if cost > budget + 1e-9 {
            break;
        }
        if found.outcome.is_none() {
            tasks.push(Task { trial, proposal: found.proposal.clone() });
        }
    }
    tasks
}

/// The history that `records` tell.
///
/// # Errors
/// Where they do not fit each other or the problem.
pub fn restore(problem: &dyn Problem, records: Vec<Record>) -> Result<History> {
    let mut history = History::default();
    for (index, record) in records.into_iter().enumerate() {
        // The header is record 1.
        let wrong =
            |what: &str| SearchError::Input(format!("record {} of the journal {what}", index + 2));
        match record {
            Record::Begin(_) => return Err(wrong("is a second header")),
            Record::Batch { first, proposals, .. } => {
                let closed = history.trials.iter().all(|trial| trial.outcome.is_some());
                if first != history.trials.len() || !closed || proposals.is_empty() {
                    return Err(wrong("is a batch out of order"));
                }
                if !proposals.iter().enumerate().all(|(k, p)| fits(problem, p, first + k)) {
                    return Err(wrong("asks for what is not in the space"));
                }
                history.open_batch(proposals);
            }
            Record::Result { trial, outcome } => {
                let open = history.trials.get_mut(trial).filter(|t| t.outcome.is_none());
                let open = open.ok_or_else(|| wrong("is the result of no open trial"))?;
                let values = match &outcome {
                    Outcome::Objectives(values) => values.as_slice(),
                    Outcome::Failed(_) => &[],
                };
                let is_result = matches!(outcome, Outcome::Failed(_))
                    || values.len() == problem.objectives().len();
                if !is_result || !values.iter().all(|v| v.is_finite()) {
                    return Err(wrong("is no value for each objective"));
                }
                open.outcome = Some(outcome);
            }
        }
    }
    Ok(history)
}

fn fits(problem: &dyn Problem, proposal: &Proposal, number: usize) -> bool {
    let genome = problem.space().genome(proposal.genome.choices().to_vec());
    genome.is_ok_and(|genome| genome == proposal.genome)
        && proposal.fidelity < problem.fidelities().len()
        && proposal.parents.iter().all(|&parent| parent < number)
}

impl History {
    fn open_batch(&mut self, proposals: Vec<Proposal>) {
        self.batches.push(self.trials.len());
        let open = |proposal| Trial { proposal, outcome: None };
        self.trials.extend(proposals.into_iter().map(open));
    }
}

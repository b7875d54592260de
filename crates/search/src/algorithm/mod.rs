//! Algorithms: what to evaluate next, as a function of what is known.

mod draft;
mod ehvi;
mod evolution;
mod halving;
mod improvement;
mod inner;
mod lessons;
mod models;
mod nsga2;
mod places;
mod predictor;
mod random;
mod scale;

use edgecut_graph::rng::Rng;
use serde::Serialize;

pub use ehvi::Ehvi;
pub use evolution::Evolution;
pub use halving::Halving;
pub use nsga2::Nsga2;
pub use predictor::Predictor;
pub use random::Random;

use crate::error::{Result, SearchError};
use crate::history::History;
use crate::pareto::Standing;
use crate::problem::{Problem, Proposal};
use crate::space::Genome;
use draft::Draft;

/// What an algorithm decides from.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What is searched.
    pub problem: &'a dyn Problem,
    /// The search's seed.
    pub seed: u64,
    /// Nets to begin with, the most promising first.
    pub warm: &'a [Genome],
    /// All trials so far, each of which has ended.
    pub history: &'a History,
}

impl Context<'_> {
    /// Number of the next trial.
    pub fn next_trial(&self) -> usize {
        self.history.trials.len()
    }

    /// Random nets, where fewer than `least` were evaluated in full.
    fn first_batch(&self, least: usize) -> Option<Batch> {
        let missing = least.max(1).saturating_sub(self.history.full(self.problem).len());
        (missing > 0).then(|| {
            let mut draft = Draft::new(self);
            draft.fill(missing);
            draft.finish()
        })
    }

    /// Those of `trials` with what they are judged by.
    fn judged<'s>(
        &'s self,
        trials: &[usize],
        standings: &'s [Standing],
    ) -> Vec<(&'s Genome, &'s Standing)> {
        trials.iter().map(|&trial| (self.history.genome(trial), &standings[trial])).collect()
    }

    /// The generator of trial `trial`.
    fn rng(&self, trial: usize) -> Rng {
        Rng::keyed(&[self.seed, trial as u64])
    }
}

/// What is to be evaluated next, in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The evaluations; none where nothing is left.
    pub proposals: Vec<Proposal>,
    /// What is to be said about it.
    pub notice: Option<String>,
}

/// A search algorithm.
pub trait Algorithm: Sync {
    /// Its name, as in [`algorithm`].
    fn name(&self) -> &'static str;

    /// Its settings, for the journal's header.
    fn settings(&self) -> serde_json::Value;

    /// The next batch.
    ///
    /// A function of the arguments alone, so that a search that was interrupted goes on as if it had not
    /// been; the size of a batch does not depend on the number of workers, so neither does the result.
    ///
    /// # Errors
    /// Where settings and problem do not fit.
    fn propose(&self, context: &Context) -> Result<Batch>;
}

/// Names of all algorithms, the default first.
pub const ALGORITHMS: [&str; 6] = ["predictor", "nsga2", "ehvi", "halving", "evolution", "random"];

/// The algorithm `name` with its usual settings.
///
/// # Errors
/// Where there is none; lists those that are.
pub fn algorithm(name: &str) -> Result<Box<dyn Algorithm>> {
    match name {
        "predictor" => Ok(Box::new(Predictor::default())),
        "nsga2" => Ok(Box::new(Nsga2::default())),
        "ehvi" => Ok(Box::new(Ehvi::default())),
        "halving" => Ok(Box::new(Halving::default())),
        "evolution" => Ok(Box::new(Evolution::default())),
        "random" => Ok(Box::new(Random::default())),
        _ => {
            let problem = format!("no algorithm `{name}`; there are {}", ALGORITHMS.join(", "));
            Err(SearchError::Input(problem))
        }
    }
}

fn settings_of(algorithm: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(algorithm).expect("settings are JSON")
}

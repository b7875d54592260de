//! What a search knows: trials, in the order in which they were asked for.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::pareto::{Bounds, Standing, constrained_sort};
use crate::problem::{Problem, Proposal, full_fidelity};
use crate::space::Genome;

/// How an evaluation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The value of each objective.
    Objectives(Vec<f64>),
    /// Why there are none.
    Failed(String),
}

/// An evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What was asked for.
    pub proposal: Proposal,
    /// How it ended; `None` where it has not.
    pub outcome: Option<Outcome>,
}

impl Trial {
    /// The objectives' values, where there are any.
    pub fn objectives(&self) -> Option<&[f64]> {
        match &self.outcome {
            Some(Outcome::Objectives(values)) => Some(values),
            _ => None,
        }
    }
}

/// All trials; a trial's number is its index. What algorithms see ends with a whole batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The trials.
    pub trials: Vec<Trial>,
    /// Number of the first trial of each batch.
    pub batches: Vec<usize>,
}

impl History {
    /// Numbers of the trials of each batch, in order.
    pub fn by_batch(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let end = |index: usize| self.batches.get(index + 1).copied().unwrap_or(self.trials.len());
        self.batches.iter().enumerate().map(move |(index, &start)| start..end(index))
    }

    /// The net of a trial.
    pub fn genome(&self, trial: usize) -> &Genome {
        &self.trials[trial].proposal.genome
    }

    /// Nets that were evaluated at `fidelity`.
    pub fn genomes(&self, fidelity: usize) -> HashSet<&Genome> {
        let at = self.trials.iter().filter(|trial| trial.proposal.fidelity == fidelity);
        at.map(|trial| &trial.proposal.genome).collect()
    }

    /// What each trial is judged by; one without result is worse than everything.
    pub fn standings(&self, problem: &dyn Problem) -> Vec<Standing> {
        let objectives = problem.objectives();
        let stand = |trial: &Trial| match trial.objectives() {
            None => {
                Standing { violation: f64::INFINITY, costs: vec![f64::INFINITY; objectives.len()] }
            }
            Some(values) => Standing {
                violation: problem.violation(&trial.proposal.genome),
                costs: objectives.iter().zip(values).map(|(o, &v)| o.cost(v)).collect(),
            },
        };
        self.trials.iter().map(stand).collect()
    }

    /// Numbers of the fully evaluated trials, in order.
    pub fn full(&self, problem: &dyn Problem) -> Vec<usize> {
        let fidelity = full_fidelity(problem);
        let full =
            |trial: &Trial| trial.proposal.fidelity == fidelity && trial.objectives().is_some();
        (0..self.trials.len()).filter(|&i| full(&self.trials[i])).collect()
    }

    /// Numbers of the fully evaluated trials that no other dominates, ascending; where none keeps the
    /// limits, of those that break them least.
    pub fn front(&self, problem: &dyn Problem) -> Vec<usize> {
        let full = self.full(problem);
        let standings = self.standings(problem);
        let judged: Vec<Standing> = full.iter().map(|&i| standings[i].clone()).collect();
        let first = constrained_sort(&judged).into_iter().next().unwrap_or_default();
        first.into_iter().map(|k| full[k]).collect()
    }
}

/// The scale of the costs of `standings`: what the objectives state, and the best and worst seen of
/// what they leave open. `None` where nothing was seen.
pub fn bounds(problem: &dyn Problem, standings: &[&Standing]) -> Option<Bounds> {
    let points: Vec<&[f64]> = standings.iter().map(|s| s.costs.as_slice()).collect();
    let mut bounds = Bounds::of(&points)?;
    for (axis, objective) in problem.objectives().iter().enumerate() {
        if let Some(value) = objective.ideal {
            bounds.ideal[axis] = objective.cost(value);
        }
        if let Some(value) = objective.reference {
            bounds.reference[axis] = objective.cost(value);
        }
    }
    Some(bounds)
}

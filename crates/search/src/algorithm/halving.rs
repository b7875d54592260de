//! Successive halving with several objectives.

use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::nsga2::{offer_child, preference};
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::{Result, SearchError};
use crate::problem::{Problem, Proposal, full_fidelity};

/// Successive halving (Jamieson, Talwalkar 2016) for any number of objectives: many nets are evaluated
/// at the lowest fidelity, a part of them at the next, and so on to a full evaluation. Who goes on is
/// decided by front under constraint domination and then by crowding. Then the next bracket begins:
/// half of its nets are children of the best so far, half are random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Halving {
    /// Nets of a bracket at the lowest fidelity.
    pub bracket: usize,
    /// One of so many goes on, at least 2.
    pub factor: usize,
}

impl Default for Halving {
    fn default() -> Halving {
        Halving { bracket: 27, factor: 3 }
    }
}

impl Algorithm for Halving {
    fn name(&self) -> &'static str {
        "halving"
    }

    fn settings(&self) -> serde_json::Value {
        settings_of(self)
    }

    fn propose(&self, context: &Context) -> Result<Batch> {
        if self.factor < 2 || self.bracket == 0 {
            let problem = "halving needs a factor of at least 2 and a bracket of at least 1 net";
            return Err(SearchError::Input(problem.into()));
        }
        let promoted = self.promoted(context);
        match promoted.is_empty() {
            true => Ok(self.bracket(context)),
            false => Ok(Batch { proposals: promoted, notice: None }),
        }
    }
}

impl Halving {
    /// What a bracket costs, in full evaluations: with less, none is fully evaluated.
    pub fn bracket_cost(&self, problem: &dyn Problem) -> f64 {
        let mut nets = self.bracket;
        let rung = |cost: &f64| {
            let all = nets as f64 * cost;
            nets = nets.div_ceil(self.factor.max(2));
            all
        };
        problem.fidelities().iter().map(rung).sum()
    }

    /// The best of the last batch at the next fidelity; none where that was the last.
    fn promoted(&self, context: &Context) -> Vec<Proposal> {
        let trials = &context.history.trials;
        let Some(last) = context.history.by_batch().last() else { return vec![] };
        let fidelity = trials[last.start].proposal.fidelity + 1;
        if fidelity > full_fidelity(context.problem) {
            return vec![];
        }
        let standings = context.history.standings(context.problem);
        let rung: Vec<usize> = last.filter(|&i| trials[i].objectives().is_some()).collect();
        let kept = rung.len().div_ceil(self.factor);
        let best = preference(&standings, &rung).into_iter().take(kept);
        let again = |trial: usize| {
            let genome = context.history.genome(trial).clone();
            Proposal { genome, fidelity, parents: vec![trial] }
        };
        best.map(again).collect()
    }

    /// The nets of a new bracket.
    fn bracket(&self, context: &Context) -> Batch {
        let mut draft = Draft::at(context, 0);
        let standings = context.history.standings(context.problem);
        let full = context.history.full(context.problem);
        let mut best = preference(&standings, &full);
        best.truncate(self.bracket);
        for _ in 0..self.bracket / 2 {
            if best.is_empty() {
                break;
            }
            offer_child(context, &mut draft, &best, 0.9);
        }
        draft.fill(self.bracket);
        draft.finish()
    }
}

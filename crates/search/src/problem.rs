//! What is searched: the seam between the algorithms and whatever trains and measures nets.

use serde::{Deserialize, Serialize};

use crate::error::{Result, SearchError};
use crate::space::{Genome, Space};

/// Which end of an objective is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Smaller is better.
    Minimise,
    /// Larger is better.
    Maximise,
}

/// Something that nets are judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Its name, with its unit.
    pub name: String,
    /// Which end is good.
    pub direction: Direction,
    /// The value from which on a net is worth nothing: a corner of what the front is measured in. The
    /// worst that was seen, where there is none.
    #[serde(default)]
    pub reference: Option<f64>,
    /// The best that is conceivable, only to scale by. The best that was seen, where there is none.
    #[serde(default)]
    pub ideal: Option<f64>,
}

impl Objective {
    /// Smaller is better.
    pub fn minimise(name: &str) -> Objective {
        let direction = Direction::Minimise;
        Objective { name: name.into(), direction, reference: None, ideal: None }
    }

    /// Larger is better.
    pub fn maximise(name: &str) -> Objective {
        Objective { direction: Direction::Maximise, ..Objective::minimise(name) }
    }

    /// A value as a cost, which is smaller where the value is better, or the reverse.
    pub fn cost(&self, value: f64) -> f64 {
        match self.direction {
            Direction::Minimise => value,
            Direction::Maximise => -value,
        }
    }
}

/// One evaluation that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The net.
    pub genome: Genome,
    /// How well it is to be known: an index of [`Problem::fidelities`].
    pub fidelity: usize,
    /// The trials that it comes from: parents, or the same net at a lower fidelity. Their numbers are
    /// smaller than its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<usize>,
}

/// What is searched.
///
/// All methods but [`Problem::evaluate`] are cheap, and functions of their arguments: they are asked
/// again when a search resumes. An evaluation may take hours, and is asked for once.
pub trait Problem: Sync {
    /// The nets.
    fn space(&self) -> &Space;

    /// What they are judged by, at least one.
    fn objectives(&self) -> &[Objective];

    /// Digest of all else that results depend on: data, recipe, device. A journal with another one is
    /// refused.
    fn digest(&self) -> String {
        String::new()
    }

    /// By how much a net breaks limits, 0 where it breaks none. A sum over limits of the part by which
    /// each is exceeded, or infinite for what can be no net. Nets above 0 are not evaluated, unless
    /// the search finds no other.
    fn violation(&self, genome: &Genome) -> f64 {
        let _ = genome;
        0.0
    }

    /// Values of those objectives that are known without evaluating the net, as of a table or a cost
    /// model; the algorithms then predict the others alone. An empty list is none.
    fn known(&self, genome: &Genome) -> Vec<Option<f64>> {
        let _ = genome;
        vec![]
    }

    /// Further facts about a net for predictors, such as its operations or zero-cost scores: equally
    /// many finite numbers for every net.
    fn features(&self, genome: &Genome) -> Vec<f64> {
        let _ = genome;
        vec![]
    }

    /// What an evaluation costs at each fidelity, ascending, as a part of a full one, which is the last
    /// and costs 1.
    fn fidelities(&self) -> &[f64] {
        &[1.0]
    }

    /// The net's objectives, all finite.
    ///
    /// Must depend on the arguments alone. `trial` is the number of the evaluation, for seeds and
    /// names of files.
    ///
    /// # Errors
    /// With the reason, where the net cannot be judged (its training diverged): the trial has failed,
    /// and the search goes on.
    fn evaluate(&self, proposal: &Proposal, trial: usize) -> std::result::Result<Vec<f64>, String>;
}

/// Index of the full fidelity of `problem`.
pub(crate) fn full_fidelity(problem: &dyn Problem) -> usize {
    problem.fidelities().len().saturating_sub(1)
}

/// Checks what a search relies on.
pub(crate) fn check(problem: &dyn Problem) -> Result<()> {
    if problem.objectives().is_empty() {
        return Err(SearchError::Input("a search needs at least one objective".into()));
    }
    let costs = problem.fidelities();
    let ascending = costs.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || costs.last() != Some(&1.0) || costs[0] <= 0.0 {
        let problem = format!("costs of fidelities ascend from above 0 to 1, unlike {costs:?}");
        return Err(SearchError::Input(problem));
    }
    Ok(())
}

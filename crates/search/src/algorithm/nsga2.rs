//! NSGA-II.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::Result;
use crate::pareto::{Standing, constrained_sort, crowding};
use crate::space::{Genome, Space};

/// NSGA-II (Deb et al. 2002) with constraint domination: binary tournaments by front and crowding,
/// uniform crossover, mutation of each gene with probability 1/genes; children and parents survive by
/// the same order. What breaks limits is never evaluated, unless nothing keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nsga2 {
    /// Nets that survive, and children of a generation.
    pub population: usize,
    /// Probability that a child has two parents.
    pub crossover: f32,
}

impl Default for Nsga2 {
    fn default() -> Nsga2 {
        Nsga2 { population: 20, crossover: 0.9 }
    }
}

impl Algorithm for Nsga2 {
    fn name(&self) -> &'static str {
        "nsga2"
    }

    fn settings(&self) -> serde_json::Value {
        settings_of(self)
    }

    fn propose(&self, context: &Context) -> Result<Batch> {
        let mut draft = Draft::new(context);
        let survivors = self.survivors(context);
        if survivors.is_empty() {
            draft.fill(self.population);
            return Ok(draft.finish());
        }
        for _ in 0..self.population {
            offer_child(context, &mut draft, &survivors, self.crossover);
        }
        Ok(draft.finish())
    }
}

impl Nsga2 {
    /// The population after all batches, best first.
    fn survivors(&self, context: &Context) -> Vec<usize> {
        let standings = context.history.standings(context.problem);
        let mut alive: Vec<usize> = vec![];
        for batch in context.history.by_batch() {
            alive.extend(batch);
            alive = preference(&standings, &alive);
            alive.truncate(self.population);
        }
        alive
    }
}

/// `members` with the best first: by front under constraint domination, then the loneliest, then the
/// earliest.
pub fn preference(standings: &[Standing], members: &[usize]) -> Vec<usize> {
    let judged: Vec<Standing> = members.iter().map(|&i| standings[i].clone()).collect();
    let mut order = vec![];
    for front in constrained_sort(&judged) {
        let costs: Vec<&[f64]> = front.iter().map(|&k| judged[k].costs.as_slice()).collect();
        let lonely = crowding(&costs);
        let mut places: Vec<usize> = (0..front.len()).collect();
        places.sort_by(|&a, &b| lonely[b].total_cmp(&lonely[a]).then(front[a].cmp(&front[b])));
        order.extend(places.into_iter().map(|place| members[front[place]]));
    }
    order
}

/// The better of two drawn from `best_first`.
pub fn tournament(best_first: &[usize], rng: &mut Rng) -> usize {
    best_first[rng.below(best_first.len()).min(rng.below(best_first.len()))]
}

/// Adds a new child of two of the trials `best_first`, where one is found.
pub fn offer_child(context: &Context, draft: &mut Draft, best_first: &[usize], crossover: f32) {
    let mut rng = context.rng(draft.next_trial());
    draft.offer_child(&mut rng, |rng| {
        let (a, b) = (tournament(best_first, rng), tournament(best_first, rng));
        let genome = |trial: usize| context.history.genome(trial);
        child(context.problem.space(), genome(a), genome(b), crossover, rng, (a, b))
    });
}

/// A child of both, or of the first alone, with at least one gene changed where it has one parent.
pub fn child(
    space: &Space,
    a: &Genome,
    b: &Genome,
    crossover: f32,
    rng: &mut Rng,
    trials: (usize, usize),
) -> (Genome, Vec<usize>) {
    let rate = 1.0 / space.genes().len() as f32;
    if trials.0 == trials.1 || rng.uniform() >= crossover {
        return (space.mutate_each(a, rate, rng), vec![trials.0]);
    }
    let crossed = space.cross(a, b, rng);
    (space.mutate_each(&crossed, rate, rng), vec![trials.0, trials.1])
}

//! The default search: nets are evolved on predicted costs, and the most promising are evaluated.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::inner::{Effort, Guess, evolve, start};
use super::models::Models;
use super::nsga2::{offer_child, preference};
use super::places::Places;
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::{Result, SearchError};
use crate::pareto::Standing;
use crate::space::Genome;

/// For each net to be chosen so many of the predicted best are compared.
const POOL: usize = 20;

/// Predictor in the loop (as LINAS: Cummings et al. 2022): after some random nets, models learn each
/// cost from all results, NSGA-II evolves nets on their predictions, and a batch is chosen: for random
/// weights of the objectives (ParEGO: Knowles 2006) the net that one member of the ensemble, each time
/// another, sees nearest to the best. The rest of a batch are children of the best nets so far, whatever
/// is predicted of them, so that the models learn where they are wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Predictor {
    /// Random nets before the first prediction.
    pub initial: usize,
    /// Nets between two trainings of the models.
    pub batch: usize,
    /// How many of them are children that no prediction chooses.
    pub children: usize,
    /// Population of the search on predictions, and of parents.
    pub population: usize,
    /// Generations of the search on predictions.
    pub generations: usize,
}

impl Default for Predictor {
    fn default() -> Predictor {
        Predictor { initial: 30, batch: 10, children: 3, population: 64, generations: 16 }
    }
}

impl Algorithm for Predictor {
    fn name(&self) -> &'static str {
        "predictor"
    }

    fn settings(&self) -> serde_json::Value {
        settings_of(self)
    }

    fn propose(&self, context: &Context) -> Result<Batch> {
        if self.batch == 0 || self.children > self.batch || self.population < 2 {
            let problem = "predictor needs a batch of at least 1, no more children than that, and a \
                           population of at least 2";
            return Err(SearchError::Input(problem.into()));
        }
        if let Some(random) = context.first_batch(self.initial) {
            return Ok(random);
        }
        let mut draft = Draft::new(context);
        let full = context.history.full(context.problem);
        let standings = context.history.standings(context.problem);
        let best = preference(&standings, &full);
        let judged = context.judged(&full, &standings);
        let models = Models::fit(context, &judged);
        let pool = self.pool(context, &draft, &models, &best);
        let points: Vec<&[f64]> = judged.iter().map(|(_, s)| s.costs.as_slice()).collect();
        self.choose(context, &mut draft, &models, &Places::of(&points), &pool);
        self.add_children(context, &mut draft, &best);
        draft.fill(self.batch);
        Ok(draft.finish())
    }
}

impl Predictor {
    /// New nets of which the best is predicted, evolved from the best so far and random ones.
    fn pool(
        &self,
        context: &Context,
        draft: &Draft,
        models: &Models,
        best: &[usize],
    ) -> Vec<Genome> {
        let mut rng = Rng::keyed(&[context.seed, context.next_trial() as u64, 1]);
        let mut new: Vec<Guess> = evolve(
            context.problem.space(),
            start(context, draft, best, self.population, &mut rng),
            &|genome| draft.is_allowed(genome),
            &|genome| models.mean(genome),
            Effort { population: self.population, generations: self.generations },
            &mut rng,
        );
        new.retain(|guess| draft.is_new(&guess.genome));
        let stand = |guess: &Guess| Standing { violation: 0.0, costs: guess.costs.clone() };
        let standings: Vec<Standing> = new.iter().map(stand).collect();
        let all: Vec<usize> = (0..new.len()).collect();
        let first = preference(&standings, &all).into_iter().take(POOL * self.batch);
        first.map(|i| new[i].genome.clone()).collect()
    }

    /// Adds the nets of `pool` that are nearest to the best in random directions.
    fn choose(
        &self,
        context: &Context,
        draft: &mut Draft,
        models: &Models,
        places: &Places,
        pool: &[Genome],
    ) {
        let said: Vec<Vec<Vec<f64>>> = pool.iter().map(|genome| models.members(genome)).collect();
        for _ in 0..self.batch - self.children {
            let trial = draft.next_trial();
            let weights = weights(context.problem.objectives().len(), &mut context.rng(trial));
            let distance = |net: usize| {
                let members = &said[net];
                places.distance(&members[trial % members.len()], &weights)
            };
            let left = (0..pool.len()).filter(|&net| draft.is_new(&pool[net]));
            let nearest = left.map(|net| (distance(net), net));
            let nearest = nearest.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let Some((_, net)) = nearest else { break };
            draft.offer(pool[net].clone(), vec![]);
        }
    }

    /// Adds children of the best nets.
    fn add_children(&self, context: &Context, draft: &mut Draft, best: &[usize]) {
        let parents = &best[..best.len().min(self.population / 2)];
        for _ in 0..self.children.min(self.batch - draft.len()) {
            offer_child(context, draft, parents, 0.5);
        }
    }
}

/// Weights with sum 1, uniform over all such: the gaps between sorted uniform numbers.
fn weights(count: usize, rng: &mut Rng) -> Vec<f64> {
    let mut ends: Vec<f64> = (1..count).map(|_| f64::from(rng.uniform())).collect();
    ends.extend([0.0, 1.0]);
    ends.sort_by(f64::total_cmp);
    ends.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

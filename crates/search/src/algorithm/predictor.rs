//! The default search: nets are evolved on predicted costs, and the most promising are evaluated.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::inner::{Effort, Guess, evolve};
use super::models::Models;
use super::nsga2::preference;
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::Result;
use crate::history::bounds;
use crate::pareto::{Bounds, Standing, front, hypervolume};
use crate::space::Genome;

/// For each net to be chosen so many of the predicted best are compared.
const POOL: usize = 20;

/// Predictor in the loop (as LINAS: Cummings et al. 2022): after some random nets, an ensemble learns
/// each cost from all results; NSGA-II evolves nets on its predictions; each net of the next batch is
/// the one that adds most to the front if one member of the ensemble, each time another, were right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Predictor {
    /// Random nets before the first prediction.
    pub initial: usize,
    /// Nets between two trainings of the predictor.
    pub batch: usize,
    /// Population of the search on predictions.
    pub population: usize,
    /// Its generations.
    pub generations: usize,
}

impl Default for Predictor {
    fn default() -> Predictor {
        Predictor { initial: 30, batch: 10, population: 64, generations: 16 }
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
        let mut draft = Draft::new(context);
        let full = context.history.full(context.problem);
        if full.len() < self.initial.max(1) {
            draft.fill(self.initial.max(1) - full.len());
            return Ok(draft.finish());
        }
        let standings = context.history.standings(context.problem);
        let judged: Vec<(&Genome, &Standing)> =
            full.iter().map(|&i| (context.history.genome(i), &standings[i])).collect();
        let models = Models::fit(context, &judged);
        let mut rng = Rng::keyed(&[context.seed, context.next_trial() as u64, 1]);
        let best = preference(&standings, &full).into_iter().take(self.population / 2);
        let mut start: Vec<Genome> = best.map(|i| context.history.genome(i).clone()).collect();
        start.extend((start.len()..self.population).filter_map(|_| draft.random(&mut rng)));
        let guesses = evolve(
            context.problem.space(),
            start,
            &|genome| draft.is_allowed(genome),
            &|genome| models.mean(genome),
            Effort { population: self.population, generations: self.generations },
            &mut rng,
        );
        if let Some(front) = Front::of(context, &judged) {
            let pool = self.pool(&draft, guesses);
            self.choose(&mut draft, &models, &front, &pool);
        }
        draft.fill(self.batch);
        Ok(draft.finish())
    }
}

impl Predictor {
    /// The best of those guesses that were not evaluated.
    fn pool(&self, draft: &Draft, guesses: Vec<Guess>) -> Vec<Genome> {
        let new: Vec<Guess> = guesses.into_iter().filter(|g| draft.is_new(&g.genome)).collect();
        let stand = |guess: &Guess| Standing { violation: 0.0, costs: guess.costs.clone() };
        let standings: Vec<Standing> = new.iter().map(stand).collect();
        let all: Vec<usize> = (0..new.len()).collect();
        let best = preference(&standings, &all).into_iter().take(POOL * self.batch);
        best.map(|i| new[i].genome.clone()).collect()
    }

    /// Net by net: each member of the ensemble in turn names the one that adds most to the front as it
    /// sees it, the nets named before included.
    fn choose(&self, draft: &mut Draft, models: &Models, front: &Front, pool: &[Genome]) {
        let said: Vec<Vec<Vec<f64>>> = pool.iter().map(|genome| models.members(genome)).collect();
        let scaled = |net: usize, pick: usize| {
            front.bounds.normalise(&said[net][(front.turn + pick) % said[net].len()])
        };
        let mut chosen: Vec<usize> = vec![];
        for pick in 0..self.batch.min(pool.len()) {
            let mut points = front.points.clone();
            points.extend(chosen.iter().map(|&net| scaled(net, pick)));
            // Where nobody adds anything, the smallest sum of costs decides.
            let mut volume = |net: usize| {
                points.push(scaled(net, pick));
                let volume = hypervolume(&points, &front.reference);
                let sum: f64 = points.pop().iter().flatten().sum();
                (volume, -sum)
            };
            let left = (0..pool.len()).filter(|net| !chosen.contains(net));
            let best = left.map(|net| (volume(net), net)).max_by(|(a, i), (b, j)| {
                a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(j.cmp(i))
            });
            let Some((_, net)) = best else { break };
            chosen.push(net);
        }
        for net in chosen {
            draft.offer(pool[net].clone(), vec![]);
        }
    }
}

/// The front so far, on the scale of [`bounds`].
struct Front {
    bounds: Bounds,
    points: Vec<Vec<f64>>,
    reference: Vec<f64>,
    /// Which member of the ensemble comes first.
    turn: usize,
}

impl Front {
    fn of(context: &Context, judged: &[(&Genome, &Standing)]) -> Option<Front> {
        let standings: Vec<&Standing> = judged.iter().map(|(_, standing)| *standing).collect();
        let bounds = bounds(context.problem, &standings)?;
        let scaled: Vec<Vec<f64>> = standings.iter().map(|s| bounds.normalise(&s.costs)).collect();
        let points = front(&scaled).into_iter().map(|i| scaled[i].clone()).collect();
        let reference = vec![1.0; bounds.reference.len()];
        Some(Front { bounds, points, reference, turn: context.next_trial() })
    }
}

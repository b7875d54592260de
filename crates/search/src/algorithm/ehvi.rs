//! Expected hypervolume improvement, for small budgets.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::improvement::Improvement;
use super::inner::{Effort, evolve, start};
use super::lessons::Lessons;
use super::nsga2::preference;
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::Result;
use crate::pareto::Standing;
use crate::regress::{Gaussian, Normal};
use crate::space::Genome;

/// Draws for the expectation over more than two costs.
const DRAWS: usize = 64;

/// Bayesian optimisation of the front: a Gaussian process for each cost, and the nets from which the
/// largest gain in hypervolume is expected (Emmerich et al. 2006; its logarithm, Ament et al. 2023),
/// measured on the scale of the predictors. Nets of one batch take the mean of those before them for
/// granted. Its work grows with the third power of the evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ehvi {
    /// Random nets before the first prediction.
    pub initial: usize,
    /// Nets between two trainings of the processes.
    pub batch: usize,
    /// Population of the search for the largest expectation.
    pub population: usize,
    /// Its generations.
    pub generations: usize,
}

impl Default for Ehvi {
    fn default() -> Ehvi {
        Ehvi { initial: 20, batch: 4, population: 48, generations: 8 }
    }
}

impl Algorithm for Ehvi {
    fn name(&self) -> &'static str {
        "ehvi"
    }

    fn settings(&self) -> serde_json::Value {
        settings_of(self)
    }

    fn propose(&self, context: &Context) -> Result<Batch> {
        if let Some(random) = context.first_batch(self.initial) {
            return Ok(random);
        }
        let mut draft = Draft::new(context);
        let full = context.history.full(context.problem);
        let standings = context.history.standings(context.problem);
        let belief = Belief::fit(context, &context.judged(&full, &standings));
        let mut rng = Rng::keyed(&[context.seed, context.next_trial() as u64, 2]);
        let best = preference(&standings, &full);
        let start = start(context, &draft, &best, self.population, &mut rng);
        let mut known = belief.seen();
        let improvement = belief.improvement(&known, &mut rng.clone());
        let guesses = evolve(
            context.problem.space(),
            start,
            &|genome| draft.is_allowed(genome),
            &|genome| vec![-improvement.log_expected(&belief.costs(genome))],
            Effort { population: self.population, generations: self.generations },
            &mut rng,
        );
        let nets = guesses.into_iter().map(|guess| guess.genome);
        let nets: Vec<(Genome, Vec<Normal>)> = nets
            .filter(|genome| draft.is_new(genome))
            .map(|genome| (genome.clone(), belief.costs(&genome)))
            .collect();
        for _ in 0..self.batch {
            let improvement = belief.improvement(&known, &mut rng.clone());
            let left = nets.iter().filter(|(genome, _)| draft.is_new(genome));
            let best = left
                .map(|net| (improvement.log_expected(&net.1), net))
                .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.0.cmp(&a.1.0)));
            let Some((_, (genome, costs))) = best else { break };
            draft.offer(genome.clone(), vec![]);
            known.push(costs.iter().map(|cost| cost.mean).collect());
        }
        draft.fill(self.batch);
        Ok(draft.finish())
    }
}

/// What is believed of all costs, on their scales.
struct Belief<'a> {
    lessons: Lessons<'a>,
    axes: Vec<Gaussian>,
}

impl<'a> Belief<'a> {
    fn fit(context: &Context<'a>, judged: &[(&Genome, &Standing)]) -> Belief<'a> {
        let lessons = Lessons::new(context, judged);
        let fit =
            |(_, targets): &(_, Vec<f64>)| Gaussian::fit(&lessons.binning, &lessons.rows, targets);
        let axes = lessons.axes.iter().map(fit).collect();
        Belief { lessons, axes }
    }

    /// The costs of all nets that were learned from.
    fn seen(&self) -> Vec<Vec<f64>> {
        let net = |i: usize| self.lessons.axes.iter().map(|(_, places)| places[i]).collect();
        (0..self.lessons.rows.len()).map(net).collect()
    }

    /// The costs of a net; what is known of it is certain.
    fn costs(&self, genome: &Genome) -> Vec<Normal> {
        let row = self.lessons.row(genome);
        let axes = self.axes.iter().zip(&self.lessons.axes).zip(self.lessons.known(genome));
        axes.map(|((model, (scale, _)), known)| match known {
            Some(cost) => Normal { mean: scale.shrink(cost), deviation: 0.0 },
            None => model.predict(&row),
        })
        .collect()
    }

    /// Over `known` costs on their scales, up to the worst of them.
    fn improvement(&self, known: &[Vec<f64>], rng: &mut Rng) -> Improvement {
        let worst = |axis: usize| known.iter().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max);
        let reference: Vec<f64> = (0..self.axes.len()).map(worst).collect();
        let mut draw = || reference.iter().map(|_| f64::from(rng.normal())).collect();
        let count = if reference.len() > 2 { DRAWS } else { 0 };
        let draws = (0..count).map(|_| draw()).collect();
        Improvement::new(known, reference, draws)
    }
}

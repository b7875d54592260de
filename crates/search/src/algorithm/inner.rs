//! NSGA-II over nets whose costs are predicted, so that thousands cost nothing.

use std::collections::HashSet;

use edgecut_graph::rng::Rng;

use super::Context;
use super::draft::Draft;
use super::nsga2::{child, preference, tournament};
use crate::pareto::Standing;
use crate::space::{Genome, Space};

/// A net and its predicted costs.
#[derive(Clone, Debug)]
pub struct Guess {
    /// The net.
    pub genome: Genome,
    /// Its costs.
    pub costs: Vec<f64>,
}

/// Size of an inner search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Nets that survive, and children of a generation.
    pub population: usize,
    /// Generations.
    pub generations: usize,
}

/// Nets to evolve from: the best trials so far as one half, random ones beside them.
pub fn start(
    context: &Context,
    draft: &Draft,
    best: &[usize],
    population: usize,
    rng: &mut Rng,
) -> Vec<Genome> {
    let half = best.iter().take(population / 2);
    let mut start: Vec<Genome> = half.map(|&i| context.history.genome(i).clone()).collect();
    start.extend((start.len()..population).filter_map(|_| draft.random(rng)));
    start
}

/// Evolves from `start`, and returns every net that was looked at, each once.
pub fn evolve(
    space: &Space,
    start: Vec<Genome>,
    allowed: &dyn Fn(&Genome) -> bool,
    costs: &dyn Fn(&Genome) -> Vec<f64>,
    effort: Effort,
    rng: &mut Rng,
) -> Vec<Guess> {
    let mut seen: HashSet<Genome> = HashSet::new();
    let mut guesses: Vec<Guess> = vec![];
    let mut standings: Vec<Standing> = vec![];
    let mut alive: Vec<usize> = vec![];
    let mut wave = start;
    for generation in 0..=effort.generations {
        for genome in wave.drain(..) {
            if seen.insert(genome.clone()) {
                let costs = costs(&genome);
                alive.push(guesses.len());
                standings.push(Standing { violation: 0.0, costs: costs.clone() });
                guesses.push(Guess { genome, costs });
            }
        }
        if alive.is_empty() || generation == effort.generations {
            break;
        }
        alive = preference(&standings, &alive);
        alive.truncate(effort.population);
        for _ in 0..effort.population {
            let (a, b) = (tournament(&alive, rng), tournament(&alive, rng));
            let genome = |i: usize| &guesses[i].genome;
            let (genome, _) = child(space, genome(a), genome(b), 0.9, rng, (a, b));
            if !seen.contains(&genome) && allowed(&genome) {
                wave.push(genome);
            }
        }
    }
    guesses
}

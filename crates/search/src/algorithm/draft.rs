//! A batch in the making: new nets that keep the limits, each once.

use std::collections::HashSet;

use edgecut_graph::rng::Rng;

use super::{Batch, Context};
use crate::problem::{Proposal, full_fidelity};
use crate::space::Genome;

/// Draws before something else is tried.
const TRIES: usize = 200;

/// Population and generations of the search for nets that break limits by less.
const RESCUE: (usize, usize) = (64, 32);

/// Where limits must be broken, by up to so many times the least that was found, so that there is more
/// than one net to choose from.
const SLACK: f64 = 1.1;

/// A key that no trial has: what is drawn for a whole batch.
const WHOLE_BATCH: u64 = u64::MAX;

/// A batch in the making.
pub struct Draft<'a> {
    context: Context<'a>,
    seen: HashSet<Genome>,
    /// By how much limits may be broken: 0, unless every net that was found breaks them.
    epsilon: f64,
    /// Nets that are allowed.
    allowed: Vec<Genome>,
    fidelity: usize,
    proposals: Vec<Proposal>,
}

impl<'a> Draft<'a> {
    /// An empty batch of full evaluations.
    pub fn new(context: &Context<'a>) -> Draft<'a> {
        Draft::at(context, full_fidelity(context.problem))
    }

    /// An empty batch of evaluations at `fidelity`.
    pub fn at(context: &Context<'a>, fidelity: usize) -> Draft<'a> {
        let seen = context.history.genomes(fidelity).into_iter().cloned().collect();
        let (context, proposals) = (*context, vec![]);
        let mut draft = Draft { context, seen, epsilon: 0.0, allowed: vec![], fidelity, proposals };
        draft.allow();
        draft
    }

    /// Finds out what is allowed: nets that keep all limits, or that break them least.
    fn allow(&mut self) {
        let problem = self.context.problem;
        let tried = self.context.history.trials.iter().map(|trial| &trial.proposal.genome);
        let tried: Vec<&Genome> = self.context.warm.iter().chain(tried).collect();
        self.allowed = tried.into_iter().filter(|g| problem.violation(g) <= 0.0).cloned().collect();
        if !self.allowed.is_empty() {
            return;
        }
        let mut rng = Rng::keyed(&[self.context.seed, self.batch_key(), WHOLE_BATCH]);
        let mut population: Vec<(f64, Genome)> = vec![];
        for _ in 0..TRIES {
            let genome = problem.space().sample(&mut rng);
            population.push((problem.violation(&genome), genome));
            if population.last().is_some_and(|(violation, _)| *violation <= 0.0) {
                self.allowed = population.pop().map(|(_, genome)| genome).into_iter().collect();
                return;
            }
        }
        self.rescue(population, &mut rng);
    }

    /// Evolves nets by what they break alone, which costs no evaluation.
    fn rescue(&mut self, mut population: Vec<(f64, Genome)>, rng: &mut Rng) {
        let space = self.context.problem.space();
        for _ in 0..RESCUE.1 {
            population.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            population.dedup();
            population.truncate(RESCUE.0);
            if population[0].0 <= 0.0 {
                break;
            }
            for _ in 0..RESCUE.0 {
                let parent =
                    |rng: &mut Rng| rng.below(population.len()).min(rng.below(population.len()));
                let (a, b) = (parent(rng), parent(rng));
                let child = space.cross(&population[a].1, &population[b].1, rng);
                let child = space.mutate(&child, rng);
                population.push((self.context.problem.violation(&child), child));
            }
        }
        let least =
            population.iter().map(|(violation, _)| *violation).fold(f64::INFINITY, f64::min);
        if least.is_finite() {
            self.epsilon = least.max(0.0) * SLACK;
            let within = population.into_iter().filter(|(violation, _)| *violation <= self.epsilon);
            self.allowed = within.map(|(_, genome)| genome).collect();
        }
    }

    fn batch_key(&self) -> u64 {
        self.context.next_trial() as u64
    }

    /// Whether a net was neither evaluated nor is in this batch.
    pub fn is_new(&self, genome: &Genome) -> bool {
        !self.seen.contains(genome)
    }

    /// Whether a net breaks limits by no more than it must.
    pub fn is_allowed(&self, genome: &Genome) -> bool {
        self.context.problem.violation(genome) <= self.epsilon && self.epsilon.is_finite()
    }

    /// Number of the next proposal of the batch.
    pub fn next_trial(&self) -> usize {
        self.context.next_trial() + self.proposals.len()
    }

    /// Size so far.
    pub fn len(&self) -> usize {
        self.proposals.len()
    }

    /// Adds a net if it is new and allowed; says whether it was.
    pub fn offer(&mut self, genome: Genome, parents: Vec<usize>) -> bool {
        let fits = self.is_new(&genome) && self.is_allowed(&genome);
        if fits {
            self.seen.insert(genome.clone());
            self.proposals.push(Proposal { genome, fidelity: self.fidelity, parents });
        }
        fits
    }

    /// Adds what `make` makes, tried again where it does not fit, and a random net in the end.
    pub fn offer_child(
        &mut self,
        rng: &mut Rng,
        make: impl Fn(&mut Rng) -> (Genome, Vec<usize>),
    ) -> bool {
        for _ in 0..TRIES {
            let (genome, parents) = make(rng);
            if self.offer(genome, parents) {
                return true;
            }
        }
        self.offer_random(rng)
    }

    /// Adds a random net; where few are allowed, one near a net that is.
    pub fn offer_random(&mut self, rng: &mut Rng) -> bool {
        let random = self.random(rng);
        random.is_some_and(|genome| self.offer(genome, vec![]))
    }

    /// A random net that is new and allowed.
    pub fn random(&self, rng: &mut Rng) -> Option<Genome> {
        let space = self.context.problem.space();
        let fits = |genome: &Genome| self.is_new(genome) && self.is_allowed(genome);
        for _ in 0..TRIES {
            let genome = space.sample(rng);
            if fits(&genome) {
                return Some(genome);
            }
        }
        if self.allowed.is_empty() {
            return None;
        }
        if let Some(genome) = self.allowed.iter().find(|genome| fits(genome)) {
            return Some(genome.clone());
        }
        // Steps among allowed nets, new or not, which lead away from where all is known.
        let mut place = self.allowed[rng.below(self.allowed.len())].clone();
        for _ in 0..TRIES {
            let next = space.mutate(&place, rng);
            if fits(&next) {
                return Some(next);
            }
            if self.is_allowed(&next) {
                place = next;
            }
        }
        None
    }

    /// Fills the batch up to `size`: with what is left of the nets to begin with, then at random.
    pub fn fill(&mut self, size: usize) {
        for genome in self.context.warm {
            if self.len() < size {
                self.offer(genome.clone(), vec![]);
            }
        }
        while self.len() < size {
            let mut rng = self.context.rng(self.next_trial());
            if !self.offer_random(&mut rng) {
                break;
            }
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        let relaxed = self.epsilon > 0.0 && !self.proposals.is_empty();
        let notice = relaxed.then(|| {
            format!(
                "no net was found that keeps all limits; nets are allowed to exceed them by {:.4} of \
                 their value, hardly more than the least that was found",
                self.epsilon
            )
        });
        Batch { proposals: self.proposals, notice }
    }
}

//! Networks of a described space as a problem: accuracy by shared weights, costs by a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use edgecut_graph::Graph;
use edgecut_graph::cost::cost;
use sha2::{Digest, Sha256};

use crate::arch::ArchSpace;
use crate::problem::{Objective, Problem, Proposal};
use crate::space::{Genome, Space};
use crate::supernet::Judge;

/// What networks cost, all smaller is better: of a device, without training or running them.
pub trait Costs: Sync {
    /// What is counted, with units, such as `latency, ms`.
    fn names(&self) -> Vec<String>;

    /// The costs of `graph`, one for each name, finite.
    ///
    /// # Errors
    /// With the reason, where they cannot be said: an operator that was never measured.
    fn of(&self, graph: &Graph) -> std::result::Result<Vec<f64>, String>;
}

/// Networks of a space, judged by shared weights, within limits of their costs.
pub struct Subnets<'a> {
    space: &'a ArchSpace,
    judge: Judge<'a>,
    costs: &'a dyn Costs,
    /// The largest value of each cost that will do.
    limits: Vec<Option<f64>>,
    objectives: Vec<Objective>,
    known: Mutex<HashMap<Genome, Option<Arc<Facts>>>>,
}

/// What is known of a network without judging it.
struct Facts {
    costs: Vec<f64>,
    /// Logarithms of multiply-adds and parameters.
    features: Vec<f64>,
}

impl<'a> Subnets<'a> {
    /// Accuracy in percent is the first objective, each cost another one. `limits` has the largest value
    /// of each cost that will do, in the order of its names; what is missing has none.
    pub fn new(
        space: &'a ArchSpace,
        judge: Judge<'a>,
        costs: &'a dyn Costs,
        mut limits: Vec<Option<f64>>,
    ) -> Subnets<'a> {
        let names = costs.names();
        limits.resize(names.len(), None);
        let mut objectives = vec![Objective::maximise("accuracy, %")];
        // What lies beyond a limit is worth nothing.
        objectives.extend(
            names
                .iter()
                .zip(&limits)
                .map(|(name, &limit)| Objective { reference: limit, ..Objective::minimise(name) }),
        );
        Subnets { space, judge, costs, limits, objectives, known: Mutex::default() }
    }

    /// The costs of a network; none where it cannot be built or they cannot be said.
    pub fn costs(&self, genome: &Genome) -> Option<Vec<f64>> {
        self.facts(genome).map(|facts| facts.costs.clone())
    }

    fn facts(&self, genome: &Genome) -> Option<Arc<Facts>> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(genome) {
            return known.clone();
        }
        // Outside of the lock: two threads may find out the same.
        let facts = self.find_out(genome).map(Arc::new);
        lock().insert(genome.clone(), facts.clone());
        facts
    }

    fn find_out(&self, genome: &Genome) -> Option<Facts> {
        let graph = self.space.graph(genome, 0).ok()?;
        let costs = self.costs.of(&graph).ok()?;
        let counts = cost(&graph, 1).ok()?;
        let features = [counts.macs, counts.parameters];
        let features = features.iter().map(|&n| libm::log(n.max(1) as f64)).collect();
        Some(Facts { costs, features })
    }
}

impl Problem for Subnets<'_> {
    fn space(&self) -> &Space {
        self.space.space()
    }

    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{:?} {:?}", self.objectives, self.limits));
        let values = &self.judge.weights.values;
        values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        hash.update(format!("{} {}", self.judge.calibration.len(), self.judge.pictures.len()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn violation(&self, genome: &Genome) -> f64 {
        let Some(facts) = self.facts(genome) else { return f64::INFINITY };
        let over = |(cost, limit): (&f64, &Option<f64>)| match limit {
            Some(limit) => (cost / limit - 1.0).max(0.0),
            None => 0.0,
        };
        facts.costs.iter().zip(&self.limits).map(over).sum()
    }

    fn known(&self, genome: &Genome) -> Vec<Option<f64>> {
        match self.facts(genome) {
            Some(facts) => {
                [None].into_iter().chain(facts.costs.iter().copied().map(Some)).collect()
            }
            None => vec![],
        }
    }

    fn features(&self, genome: &Genome) -> Vec<f64> {
        self.facts(genome).map_or(vec![0.0; 2], |facts| facts.features.clone())
    }

    fn evaluate(&self, proposal: &Proposal, _: usize) -> std::result::Result<Vec<f64>, String> {
        let genome = &proposal.genome;
        let costs = self.costs(genome).ok_or("its costs are not known")?;
        let graph = self.space.graph(genome, 0).map_err(|e| e.to_string())?;
        let counts = self.judge.judge(graph).map_err(|e| e.to_string())?;
        Ok([100.0 * counts.accuracy()].into_iter().chain(costs).collect())
    }
}

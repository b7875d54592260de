//! Networks of a described space as a problem: accuracy by shared weights, costs by a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use edgecut_graph::cost::cost;
use sha2::{Digest, Sha256};

use crate::arch::ArchSpace;
use crate::history::Outcome;
use crate::problem::{Objective, Problem, Proposal};
use crate::space::{Genome, Space};
use crate::supernet::{Judge, Network};

/// One thing that networks cost; smaller is better.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// What is counted, with its unit, such as `latency, ms`.
    pub name: String,
    /// The largest value that will do.
    pub limit: Option<f64>,
    /// Whether the search looks for networks that cost less of it; else the limit is all it asks.
    pub objective: bool,
}

impl Cost {
    /// Whether `value` is within the limit.
    pub fn allows(&self, value: f64) -> bool {
        self.limit.is_none_or(|limit| value <= limit)
    }
}

/// What networks cost: of a device, without training or running them.
pub trait Costs: Sync {
    /// What is counted.
    fn names(&self) -> &[Cost];

    /// The costs of `network`, one for each name, finite.
    ///
    /// # Errors
    /// With the reason, where they cannot be said: an operator that was never measured.
    fn of(&self, network: &Network) -> std::result::Result<Vec<f64>, String>;

    /// Digest of what they depend on, such as measurements of the device.
    fn digest(&self) -> String {
        String::new()
    }
}

/// A network is judged by a ninth, a third or all of the batches of pictures.
const LOOKS: [usize; 3] = [9, 3, 1];

/// Networks of a space, judged by shared weights, within limits of their costs.
///
/// Its fidelities are how many of the pictures a network is judged by. What comes before, statistics of
/// its own for BatchNorm, is the same for all, so the first look costs more than its part of the pictures.
pub struct Subnets<'a> {
    space: &'a ArchSpace,
    judge: Judge<'a>,
    costs: &'a dyn Costs,
    objectives: Vec<Objective>,
    /// Batches of pictures of each fidelity, and its cost.
    looks: Vec<usize>,
    fidelities: Vec<f64>,
    known: Mutex<HashMap<Genome, Option<Arc<Facts>>>>,
}

/// What is known of a network without judging it.
struct Facts {
    costs: Vec<f64>,
    /// Logarithms of multiply-adds and parameters.
    features: Vec<f64>,
}

impl<'a> Subnets<'a> {
    /// Accuracy in percent is the first objective, each cost that is one another.
    pub fn new(space: &'a ArchSpace, judge: Judge<'a>, costs: &'a dyn Costs) -> Subnets<'a> {
        let mut objectives = vec![Objective::maximise("accuracy, %")];
        // What lies beyond a limit is worth nothing.
        let objective =
            |cost: &Cost| Objective { reference: cost.limit, ..Objective::minimise(&cost.name) };
        objectives.extend(costs.names().iter().filter(|cost| cost.objective).map(objective));
        let (looks, fidelities) = looks(&judge);
        Subnets { space, judge, costs, objectives, looks, fidelities, known: Mutex::default() }
    }

    /// The costs of a network; none where it cannot be built or they cannot be said.
    pub fn costs(&self, genome: &Genome) -> Option<Vec<f64>> {
        self.facts(genome).map(|facts| facts.costs.clone())
    }

    /// `outcome` of a network with its costs as they are known here, whoever judged it.
    pub fn priced(&self, genome: &Genome, outcome: Outcome) -> Outcome {
        match (outcome, self.costs(genome)) {
            (Outcome::Objectives(values), Some(costs)) => {
                let accuracy = values.into_iter().take(1);
                Outcome::Objectives(accuracy.chain(self.objective_costs(&costs)).collect())
            }
            (outcome, _) => outcome,
        }
    }

    /// Those costs that are objectives.
    fn objective_costs(&self, costs: &[f64]) -> impl Iterator<Item = f64> {
        costs.iter().zip(self.costs.names()).filter(|(_, cost)| cost.objective).map(|(&c, _)| c)
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
        let network = self.space.network(genome, 0).ok()?;
        let costs = self.costs.of(&network).ok()?;
        let counts = cost(&network.graph, 1).ok()?;
        let features = [counts.macs, counts.parameters];
        let features = features.iter().map(|&n| libm::log(n.max(1) as f64)).collect();
        Some(Facts { costs, features })
    }
}

/// How many batches each fidelity looks at, ascending, and what that costs as a part of all.
fn looks(judge: &Judge) -> (Vec<usize>, Vec<f64>) {
    let batches = judge.pictures.batches();
    let mut looks: Vec<usize> = LOOKS.iter().map(|part| batches.len().div_ceil(*part)).collect();
    looks.dedup();
    let pictures = |look: &usize| batches.iter().take(*look).map(|batch| batch.n).sum::<usize>();
    let forward = |look: &usize| (judge.calibration.len() + pictures(look)).max(1) as f64;
    let costs = looks.iter().map(|look| forward(look) / forward(&batches.len())).collect();
    (looks, costs)
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
        hash.update(format!("{:?} {}", self.costs.names(), self.costs.digest()));
        let values = &self.judge.weights.values;
        values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        hash.update(format!("{} {}", self.judge.calibration.len(), self.judge.pictures.len()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn violation(&self, genome: &Genome) -> f64 {
        let Some(facts) = self.facts(genome) else { return f64::INFINITY };
        let over = |(value, cost): (&f64, &Cost)| match cost.limit {
            Some(limit) => (value / limit - 1.0).max(0.0),
            None => 0.0,
        };
        facts.costs.iter().zip(self.costs.names()).map(over).sum()
    }

    fn known(&self, genome: &Genome) -> Vec<Option<f64>> {
        match self.facts(genome) {
            Some(facts) => {
                [None].into_iter().chain(self.objective_costs(&facts.costs).map(Some)).collect()
            }
            None => vec![],
        }
    }

    fn features(&self, genome: &Genome) -> Vec<f64> {
        self.facts(genome).map_or(vec![0.0; 2], |facts| facts.features.clone())
    }

    fn fidelities(&self) -> &[f64] {
        &self.fidelities
    }

    fn evaluate(&self, proposal: &Proposal, _: usize) -> std::result::Result<Vec<f64>, String> {
        let genome = &proposal.genome;
        let costs = self.costs(genome).ok_or("its costs are not known")?;
        let network = self.space.network(genome, 0).map_err(|e| e.to_string())?;
        let batches = self.looks[proposal.fidelity];
        let counts = self.judge.judge_by(network, batches).map_err(|e| e.to_string())?;
        let costs = self.objective_costs(&costs);
        Ok([100.0 * counts.accuracy()].into_iter().chain(costs).collect())
    }
}

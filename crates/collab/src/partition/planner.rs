//! The decision: local-only, the picture or the raw input to the server, or a split.

use serde::{Deserialize, Serialize};

use super::flow::{Prices, least};
use super::problem::radio_energy;
use super::{Conditions, Cost, Family, Problem, Radio, Transfer};

/// What a plan is chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Least time from the input to the answer.
    #[default]
    Latency,
    /// Least energy of the device, by model.
    Energy,
    /// Least time of the server. Without a limit on latency that is local-only.
    Server,
    /// Least time of the slowest stage among device, uplink and server, which requests pass one
    /// behind the other.
    Throughput,
}

impl Objective {
    /// What is to be small: nanoseconds, or picojoules.
    pub fn of(self, cost: &Cost) -> u64 {
        match self {
            Objective::Latency => cost.total_ns(),
            Objective::Energy => cost.picojoules,
            Objective::Server => cost.server_ns,
            Objective::Throughput => cost.stage_ns(),
        }
    }
}

/// What a plan must not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of the device's part in bytes.
    pub memory_bytes: Option<u64>,
    /// Time from the input to the answer.
    pub latency_ns: Option<u64>,
}

impl Limits {
    /// Whether a plan of this cost keeps them.
    pub fn admit(&self, cost: &Cost) -> bool {
        self.memory_bytes.is_none_or(|most| cost.memory_bytes <= most)
            && self.latency_ns.is_none_or(|most| cost.total_ns() <= most)
    }
}

/// The kinds of plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Everything on the device.
    Local,
    /// A head on the device, a tail on the server.
    Split,
    /// Everything on the server, which gets the input as it is.
    Raw,
    /// Everything on the server, which gets the picture as a JPEG file.
    Picture,
}

/// A plan and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its kind.
    pub placement: Placement,
    /// For each vertex whether the device computes it.
    pub device: Vec<bool>,
    /// What it costs under the conditions of the decision.
    pub cost: Cost,
    /// No plan within the limits has a smaller value of the objective than this. Equal to this one's
    /// where it is the best.
    pub bound: u64,
}

/// Built once from a problem, asked for a plan whenever link or load have changed.
#[derive(Clone, Debug)]
pub struct Planner {
    problem: Problem,
    radio: Radio,
    picture: Option<Transfer>,
    family: Family,
}

impl Planner {
    /// A planner of `problem`, whose input exists as a JPEG file too where `picture` says what that
    /// takes to send.
    pub fn new(problem: Problem, radio: Radio, picture: Option<Transfer>) -> Planner {
        let family = Family::of(&problem);
        Planner { problem, radio, picture, family }
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Plans that are looked at one by one.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// The best plan for latency or energy without limits, of any graph, by one minimum cut.
    /// Throughput and the server's time are not sums that a cut can minimise; for them this is the
    /// plan of least latency.
    pub fn least(&self, objective: Objective, now: &Conditions) -> Decision {
        let prices = Linear { planner: self, now, energy: objective == Objective::Energy };
        let cut = least(&self.problem, &prices);
        let local = self.decision(vec![true; cut.len()], now);
        let mut options = vec![local, self.decision(cut, now)];
        options.extend(self.picture(now));
        let best = choose(objective, options).expect("local-only is an option");
        Decision { bound: objective.of(&best.cost), ..best }
    }

    /// The best plan within the limits; none where no plan that is known keeps them.
    pub fn decide(
        &self,
        objective: Objective,
        limits: &Limits,
        now: &Conditions,
    ) -> Option<Decision> {
        let linear = matches!(objective, Objective::Latency | Objective::Energy);
        let least = linear.then(|| self.least(objective, now));
        if let Some(least) = least.as_ref().filter(|least| limits.admit(&least.cost)) {
            return Some(least.clone());
        }
        let mut options = self.candidates(now);
        let mut bound = least.map_or(0, |least| least.bound);
        if objective == Objective::Throughput && !self.family.exhaustive {
            let (plans, found) = self.balanced(now);
            options.extend(plans.into_iter().map(|plan| self.decision(plan, now)));
            let picture = self.picture(now).map_or(u64::MAX, |p| p.cost.stage_ns());
            bound = found.min(picture);
        }
        let admitted = options.into_iter().filter(|option| limits.admit(&option.cost)).collect();
        let best = choose(objective, admitted)?;
        let value = objective.of(&best.cost);
        Some(Decision {
            bound: if self.family.exhaustive { value } else { bound.min(value) },
            ..best
        })
    }

    /// Every plan of the family and the picture's, each with its cost. Bounds are 0.
    pub fn candidates(&self, now: &Conditions) -> Vec<Decision> {
        let plans = self.family.plans.iter().map(|plan| self.decision(plan.clone(), now));
        plans.chain(self.picture(now)).collect()
    }

    /// A plan with its cost, without a bound.
    pub fn decision(&self, device: Vec<bool>, now: &Conditions) -> Decision {
        let placement = match (device.contains(&true), device.contains(&false)) {
            (_, false) => Placement::Local,
            (false, true) => Placement::Raw,
            (true, true) => Placement::Split,
        };
        let cost = self.problem.cost(&device, now, &self.radio);
        Decision { placement, device, cost, bound: 0 }
    }

    /// The plan that sends the picture.
    fn picture(&self, now: &Conditions) -> Option<Decision> {
        let picture = self.picture?;
        let nothing = vec![false; self.problem.vertices().len()];
        let raw = self.problem.cost(&nothing, now, &self.radio);
        let server = self.problem.vertices().iter().map(|v| now.loaded_ns(v.server_ns)).sum();
        let mut cost = Cost { server_ns: server, fixed_ns: raw.fixed_ns, ..Cost::default() };
        picture.add_to(&mut cost, now);
        cost.picojoules = radio_energy(&cost, &self.radio);
        cost.memory_bytes = picture.bytes;
        Some(Decision { placement: Placement::Picture, device: nothing, cost, bound: 0 })
    }

    /// Plans whose stages are near each other, and what no plan's slowest stage is below. For any
    /// weights of the stages that add up to 1, the largest stage is at least their weighted sum,
    /// which a cut minimises; weights move towards the stages that are slow in that cut.
    fn balanced(&self, now: &Conditions) -> (Vec<Vec<bool>>, u64) {
        const ROUNDS: usize = 64;
        const WHOLE: u64 = 1 << 20;
        let (mut weights, mut plans, mut bound) = ([1.0f64; 3], vec![], 0);
        for _ in 0..ROUNDS {
            let sum: f64 = weights.iter().sum();
            let shares = weights.map(|w| (w / sum * WHOLE as f64) as u64);
            let plan = least(&self.problem, &Stages { planner: self, now, shares });
            let cost = self.decision(plan.clone(), now).cost;
            let stages = [cost.device_ns, cost.link_ns, cost.server_ns];
            let weighed = stages.iter().zip(shares).map(|(&s, w)| u128::from(s) * u128::from(w));
            // Shares are rounded down, so their sum is at most the whole and the bound still holds.
            bound = bound.max((weighed.sum::<u128>() / u128::from(WHOLE)) as u64);
            let slowest = cost.stage_ns().max(1) as f64;
            for (weight, stage) in weights.iter_mut().zip(stages) {
                *weight *= 1.0 + 0.25 * stage as f64 / slowest;
            }
            plans.push(plan);
        }
        (plans, bound)
    }
}

/// The option of least value; of equal ones the fastest, then local-only, then the one that
/// computes least on the device, and a picture, which loses detail, last.
fn choose(objective: Objective, options: Vec<Decision>) -> Option<Decision> {
    let rank = |d: &Decision| {
        let size = d.device.iter().filter(|&&here| here).count();
        let (local, picture) = (d.placement == Placement::Local, d.placement == Placement::Picture);
        (objective.of(&d.cost), d.cost.total_ns(), !local, picture, size)
    };
    options.into_iter().min_by_key(rank)
}

/// Prices of latency or energy.
struct Linear<'a> {
    planner: &'a Planner,
    now: &'a Conditions,
    energy: bool,
}

impl Prices for Linear<'_> {
    fn vertex(&self, index: usize) -> [u128; 2] {
        let vertex = &self.planner.problem.vertices()[index];
        let there = self.now.loaded_ns(vertex.server_ns) + self.now.reply_ns(vertex.reply_bytes);
        let [device, server] = match self.energy {
            false => [vertex.device_ns, there],
            true => [vertex.picojoules, there.saturating_mul(self.planner.radio.on_mw)],
        };
        [device.into(), server.into()]
    }

    fn tensor(&self, index: usize) -> u128 {
        let mut cost = Cost::default();
        self.planner.problem.tensors()[index].transfer.add_to(&mut cost, self.now);
        match self.energy {
            false => cost.total_ns().into(),
            true => radio_energy(&cost, &self.planner.radio).into(),
        }
    }
}

/// Prices of a weighted sum of device, uplink and server.
struct Stages<'a> {
    planner: &'a Planner,
    now: &'a Conditions,
    shares: [u64; 3],
}

impl Prices for Stages<'_> {
    fn vertex(&self, index: usize) -> [u128; 2] {
        let vertex = &self.planner.problem.vertices()[index];
        let [device, _, server] = self.shares.map(u128::from);
        let there = self.now.loaded_ns(vertex.server_ns);
        [u128::from(vertex.device_ns) * device, u128::from(there) * server]
    }

    fn tensor(&self, index: usize) -> u128 {
        let mut cost = Cost::default();
        self.planner.problem.tensors()[index].transfer.add_to(&mut cost, self.now);
        let stages = [cost.device_ns, cost.link_ns, cost.server_ns];
        stages.iter().zip(self.shares).map(|(&ns, share)| u128::from(ns) * u128::from(share)).sum()
    }
}

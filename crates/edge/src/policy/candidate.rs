//! The plans that are kept ready.

use std::collections::HashMap;

use edgecut_collab::partition::{Conditions, Decision, Objective, Placement, Planner};
use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// Most splits that are kept ready.
pub const MAX_SPLITS: usize = 8;

/// Links and loads that plans are made for: rates a factor of 1.5 apart, and a busy server.
const RATES: [f64; 25] = rates();
const SLOWDOWNS: [u32; 3] = [1000, 4000, 16_000];

const fn rates() -> [f64; 25] {
    let mut rates = [0.05; 25];
    let mut at = 1;
    while at < rates.len() {
        rates[at] = rates[at - 1] * 1.5;
        at += 1;
    }
    rates
}

/// A plan, and what it takes beside the link. Times in nanoseconds, as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Its kind.
    pub placement: Placement,
    /// The device's part, with coding.
    pub own_ns: Time,
    /// Bytes on the uplink.
    pub bytes: u64,
    /// The server's part, with decoding.
    pub server_ns: Time,
    /// What the device still has to compute for an answer of its own.
    pub rest_ns: Time,
}

impl Candidate {
    /// What `decision` of `planner` takes.
    pub fn of(planner: &Planner, decision: &Decision) -> Candidate {
        let there = planner.problem().vertices().iter().zip(&decision.device);
        let rest = there.filter(|(_, here)| !**here).map(|(vertex, _)| vertex.device_ns);
        Candidate {
            placement: decision.placement,
            own_ns: decision.cost.device_ns,
            bytes: decision.cost.bytes,
            server_ns: decision.cost.server_ns,
            rest_ns: rest.sum(),
        }
    }

    /// The plans worth keeping: local-only, the whole input, the picture where there is one, and the
    /// splits that are fastest for some link and load, at most `splits` of them, those that are
    /// fastest most often first. Each comes with its decision.
    pub fn best(planner: &Planner, splits: usize) -> Vec<(Candidate, Decision)> {
        let idle = Conditions::idle(1e6, 0.0);
        let count = planner.problem().vertices().len();
        let mut decisions = vec![
            planner.decision(vec![true; count], &idle),
            planner.decision(vec![false; count], &idle),
        ];
        let fastest = fastest_splits(planner, splits);
        decisions.extend(fastest.into_iter().map(|device| planner.decision(device, &idle)));
        let pictures = planner.candidates(&idle).into_iter();
        decisions.extend(pictures.filter(|d| d.placement == Placement::Picture));
        decisions.into_iter().map(|d| (Candidate::of(planner, &d), d)).collect()
    }
}

/// Splits by how often they are fastest, then by size.
fn fastest_splits(planner: &Planner, most: usize) -> Vec<Vec<bool>> {
    let mut wins: HashMap<Vec<bool>, usize> = HashMap::new();
    for rate in RATES {
        for slowdown in SLOWDOWNS {
            let now = Conditions { slowdown_permille: slowdown, ..Conditions::idle(rate, 0.0) };
            let best = planner.least(Objective::Latency, &now);
            if best.placement == Placement::Split {
                *wins.entry(best.device).or_default() += 1;
            }
        }
    }
    let mut splits: Vec<(Vec<bool>, usize)> = wins.into_iter().collect();
    let size = |device: &[bool]| device.iter().filter(|&&here| here).count();
    splits.sort_by(|a, b| b.1.cmp(&a.1).then(size(&a.0).cmp(&size(&b.0))).then(a.0.cmp(&b.0)));
    splits.truncate(most);
    splits.sort_by_key(|(device, _)| size(device));
    splits.into_iter().map(|(device, _)| device).collect()
}

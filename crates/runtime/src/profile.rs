//! Where the time of a run goes.

use crate::{Plan, StepInfo};

/// Times of several runs, step by step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Profile {
    /// Number of runs.
    pub runs: usize,
    /// Median time of a whole run in nanoseconds.
    pub total_ns: u64,
    /// One entry a step, in execution order.
    pub steps: Vec<StepProfile>,
}

/// Time of one step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StepProfile {
    /// What the step does.
    #[serde(flatten)]
    pub info: StepInfo,
    /// Median time in nanoseconds.
    pub ns: u64,
    /// Its part of the sum of all medians, 0 to 1.
    pub share: f64,
}

impl Profile {
    /// Medians over `runs`, each a list of nanoseconds by step.
    pub(crate) fn new(plan: &Plan, runs: &[Vec<u64>]) -> Profile {
        let ns: Vec<u64> =
            (0..plan.steps().len()).map(|i| median(runs.iter().map(|run| run[i]))).collect();
        let sum = ns.iter().sum::<u64>().max(1) as f64;
        let steps = plan.steps().iter().zip(ns);
        Profile {
            runs: runs.len(),
            total_ns: median(runs.iter().map(|run| run.iter().sum())),
            steps: steps
                .map(|(info, ns)| StepProfile { info: info.clone(), ns, share: ns as f64 / sum })
                .collect(),
        }
    }
}

/// The lower median; 0 of nothing.
fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

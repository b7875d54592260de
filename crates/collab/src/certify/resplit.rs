//! The guarantee tried: labelled samples split at random, again and again.

use edgecut_graph::rng::Rng;
use serde::Serialize;

use super::{Binomial, Goal, Ledger, Losses, Risk};

/// Keeps its generator apart from others under the same seed.
const STREAM: u64 = 0x7265_7370_6c69_7400;

/// How often the risk was above epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Violations {
    /// Splits.
    pub count: u64,
    /// Their share.
    pub rate: f64,
    /// Probability of as many or more if the rate were delta: below some percent, the guarantee does
    /// not hold.
    pub p_value: f64,
}

/// What re-splits say.
///
/// A split certifies with one part. The risk is then measured on the part that is left, whose own
/// sampling error adds to the violations, and on all samples, the population that both parts are drawn
/// from and that the guarantee is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resplits {
    /// Splits.
    pub splits: u64,
    /// Samples that certify in each.
    pub calibration: usize,
    /// On the part that is left.
    pub on_the_rest: Violations,
    /// On all samples.
    pub on_all: Violations,
    /// Splits that certified nothing.
    pub nothing: u64,
    /// How often each configuration was certified, and the last place how often none was.
    #[serde(skip)]
    pub steps: Vec<u64>,
}

impl Ledger {
    /// Splits samples `splits` times: `calibration` of them certify, the rest tests.
    pub fn resplit(&self, splits: u64, calibration: usize, goal: &Goal, seed: u64) -> Resplits {
        let mut order: Vec<usize> = (0..self.len()).collect();
        let calibration = calibration.min(order.len());
        let (all, total) = self.losses(0..order.len());
        let mut steps = vec![0; all.len() + 1];
        let [mut rest, mut whole] = [0, 0];
        for split in 0..splits {
            Rng::keyed(&[STREAM, seed, split]).shuffle(&mut order);
            let (losses, n) = self.losses(order[..calibration].iter().copied());
            let Some(step) = goal.last_that_holds(&losses, n) else {
                steps[all.len()] += 1;
                continue;
            };
            steps[step] += 1;
            let left = Losses {
                worse: all[step].worse - losses[step].worse,
                better: all[step].better - losses[step].better,
            };
            rest += u64::from(goal.risk.of(&left, total - n) > goal.epsilon);
            whole += u64::from(goal.risk.of(&all[step], total) > goal.epsilon);
        }
        let violations = |count: u64| Violations {
            count,
            rate: count as f64 / splits.max(1) as f64,
            p_value: match count.checked_sub(1) {
                Some(fewer) => 1.0 - Binomial { n: splits, p: goal.delta }.at_most(fewer),
                None => 1.0,
            },
        };
        Resplits {
            splits,
            calibration,
            on_the_rest: violations(rest),
            on_all: violations(whole),
            nothing: steps[all.len()],
            steps,
        }
    }
}

impl Risk {
    /// The mean of these losses over `n` samples.
    pub fn of(self, losses: &Losses, n: u64) -> f64 {
        (losses.worse as f64 - losses.better as f64) / n.max(1) as f64
    }
}

//! What networks of one family cost on a device: a table of their steps, each measured there by the
//! runtime that ships, and a residual over whole networks.
//!
//! A [`DeviceProfile`](crate::DeviceProfile) knows what lightweight networks are made of in general. A
//! [`CostModel`] is made for the networks that a search is about to choose from: up to some hundred of
//! them are run ([`Sample`]), float and int8 alike, and
//!
//! 1. a step that was measured has the least time that it took; one between measured ones of its kind
//!    follows from a regression over those of its window and its nearest neighbours ([`steps`](Steps));
//! 2. the sum over steps, each predicted from other networks, and what whole networks were measured
//!    to take differ by what steps do to each other's caches: a ridge regression on the logarithm of
//!    their ratio ([`Ridge`]);
//! 3. what is left over, each network predicted from the others, is the interval (split conformal
//!    prediction; Lei et al. 2018, arXiv:1604.04173).
//!
//! Memory and size are not predicted: the plan that would ship has them. A step of a kind that was never
//! measured is an error.

mod ridge;
mod sample;
mod steps;

use edgecut_runtime::{Plan, StepInfo};
use serde::Serialize;

use crate::energy::EnergyModel;
use crate::{DeviceError, Result, Work};
use ridge::Ridge;
pub use sample::{Sample, Timed};
use steps::Steps;

/// Share of networks that shall lie within the interval.
const COVERAGE: f64 = 0.95;

/// Parts of the networks, each predicted from the others.
const FOLDS: usize = 10;

/// Fewest networks of one precision that a residual is learnt from.
const LEAST: usize = 8;

/// Latency by steps and residual, of networks like those measured.
#[derive(Clone, Debug)]
pub struct CostModel {
    steps: Steps,
    float: Residual,
    int8: Residual,
    energy: EnergyModel,
    near_bytes: usize,
}

/// What a network costs. Only the latency is a prediction; energy is a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Milliseconds of a run, predicted.
    pub ms: f64,
    /// Of twenty networks like those measured, nineteen lie between this
    pub low_ms: f64,
    /// and this.
    pub high_ms: f64,
    /// Bytes that a session takes: activations, scratch memory, and packed weights.
    pub memory_bytes: usize,
    /// Bytes of activations alone, the largest set that is alive at one time.
    pub peak_activation_bytes: usize,
    /// Millijoules of a run by the device's model.
    pub millijoules: f64,
}

/// Measured over summed, of the networks of one precision.
#[derive(Clone, Debug, Default)]
struct Residual {
    ridge: Option<Ridge>,
    /// Largest error of a logarithm that the interval allows for.
    width: f64,
}

impl CostModel {
    /// Learns from `samples`. `near_bytes`: what the caches that a core has for itself hold.
    ///
    /// # Errors
    /// Fewer than eight networks of each precision that occurs.
    pub fn fit(samples: &[Sample], energy: EnergyModel, near_bytes: usize) -> Result<CostModel> {
        let all: Vec<&Sample> = samples.iter().collect();
        let steps = Steps::fit(&all);
        let residual = |int8: bool| -> Result<Residual> {
            let own: Vec<usize> =
                (0..samples.len()).filter(|&i| samples[i].int8() == int8).collect();
            match own.len() {
                0 => Ok(Residual::default()),
                n if n < LEAST => Err(DeviceError::TooFew { found: n, least: LEAST }),
                _ => Ok(Residual::fit(samples, &own)),
            }
        };
        let (float, int8) = (residual(false)?, residual(true)?);
        Ok(CostModel { steps, float, int8, energy, near_bytes })
    }

    /// What `plan` costs on `threads` threads of the device.
    ///
    /// # Errors
    /// Where a step is of a kind that was never measured there.
    pub fn estimate(&self, plan: &Plan, threads: usize) -> Result<Estimate> {
        let work = Work::of(plan);
        let us = self.alone(plan, &work)?;
        let residual = self.residual(&work);
        let log = residual.log_us(&us, &work);
        let weights = plan.weight_bytes();
        let resident = plan.arena_bytes() + weights <= self.near_bytes;
        let joules: f64 = work.iter().map(|step| self.energy.joules(step, resident)).sum();
        Ok(Estimate {
            ms: log.exp() / 1e3,
            low_ms: (log - residual.width).exp() / 1e3,
            high_ms: (log + residual.width).exp() / 1e3,
            memory_bytes: plan.arena_bytes() + plan.scratch_bytes(threads) + weights,
            peak_activation_bytes: plan.arena_bytes(),
            millijoules: 1e3 * joules,
        })
    }

    /// What each step of `plan` takes of its latency: milliseconds whose sum is that of
    /// [`CostModel::estimate`].
    ///
    /// # Errors
    /// As [`CostModel::estimate`].
    pub fn steps(&self, plan: &Plan) -> Result<Vec<(Work, f64)>> {
        let work = Work::of(plan);
        let us = self.alone(plan, &work)?;
        let whole = self.residual(&work).log_us(&us, &work).exp();
        let scale = whole / us.iter().sum::<f64>().max(1e-9) / 1e3;
        Ok(work.into_iter().zip(us).map(|(work, us)| (work, us * scale)).collect())
    }

    /// Microseconds of each step alone.
    fn alone(&self, plan: &Plan, work: &[Work]) -> Result<Vec<f64>> {
        let us = |(step, info): (&Work, &StepInfo)| {
            let unmeasured =
                || DeviceError::Unmeasured { step: info.name.clone(), kind: step.kind.clone() };
            self.steps.us(step).ok_or_else(unmeasured)
        };
        work.iter().zip(plan.steps()).map(us).collect()
    }

    fn residual(&self, work: &[Work]) -> &Residual {
        if sample::is_int8(work) { &self.int8 } else { &self.float }
    }
}

impl Residual {
    /// Of the networks `own`, the steps of each tenth predicted from all other samples.
    fn fit(samples: &[Sample], own: &[usize]) -> Residual {
        let (mut rows, mut logs) = (vec![], vec![]);
        for fold in 0..FOLDS.min(own.len()) {
            let left_out: Vec<usize> = own.iter().copied().skip(fold).step_by(FOLDS).collect();
            let others = samples.iter().enumerate().filter(|(i, _)| !left_out.contains(i));
            let steps = Steps::fit(&others.map(|(_, sample)| sample).collect::<Vec<_>>());
            for sample in left_out.iter().map(|&i| &samples[i]) {
                let work: Vec<Work> = sample.steps.iter().map(|step| step.work.clone()).collect();
                // A kind that no other network has says nothing of those to come.
                if let Some(us) = work.iter().map(|w| steps.us(w)).collect::<Option<Vec<f64>>>() {
                    logs.push(sample.us.ln() - us.iter().sum::<f64>().ln());
                    rows.push(features(&us, &work));
                }
            }
        }
        let usual = usual(&logs);
        let kept: Vec<usize> = (0..logs.len()).filter(|&i| usual[i]).collect();
        let kept_rows: Vec<Vec<f64>> = kept.iter().map(|&i| rows[i].clone()).collect();
        let kept_logs: Vec<f64> = kept.iter().map(|&i| logs[i]).collect();
        let Some((ridge, mut errors)) = Ridge::fit(&kept_rows, &kept_logs) else {
            return Residual::default();
        };
        let others = (0..logs.len()).filter(|&i| !usual[i]);
        errors.extend(others.map(|i| logs[i] - ridge.predict(&rows[i])));
        errors.iter_mut().for_each(|e| *e = e.abs());
        errors.sort_by(f64::total_cmp);
        // With n errors the next one is below the k-th with chance k / (n + 1).
        let rank = (COVERAGE * (errors.len() + 1) as f64).ceil() as usize;
        let width = errors[rank.min(errors.len()) - 1];
        Residual { ridge: Some(ridge), width }
    }

    /// Logarithm of the microseconds of a run whose steps take `us` one by one.
    fn log_us(&self, us: &[f64], work: &[Work]) -> f64 {
        let correction =
            self.ridge.as_ref().map_or(0.0, |ridge| ridge.predict(&features(us, work)));
        us.iter().sum::<f64>().ln() + correction
    }
}

/// Which of `logs` are near their median: within six times the median distance from it, or a tenth. What
/// is not was disturbed, and says nothing of the networks; it counts for the interval.
fn usual(logs: &[f64]) -> Vec<bool> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let middle = median(logs.to_vec());
    let distance = median(logs.iter().map(|log| (log - middle).abs()).collect());
    logs.iter().map(|log| (log - middle).abs() <= (6.0 * distance).max(0.1)).collect()
}

/// What the ratio of a run to the sum of its steps may depend on: how long it takes, in how many steps,
/// how much weights and activations pass through the caches, and which part of the time is whose.
fn features(us: &[f64], work: &[Work]) -> Vec<f64> {
    let sum: f64 = us.iter().sum::<f64>().max(1e-9);
    let weights: u64 = work.iter().map(|w| w.weight_bytes).sum();
    let bytes: u64 = work.iter().map(|w| w.bytes).sum();
    let share = |part: &str| {
        let own = us.iter().zip(work).filter(|(_, w)| w.kind.starts_with(part));
        own.map(|(us, _)| us).sum::<f64>() / sum
    };
    let log = |n: f64| (n + 1.0).ln();
    let mut row = vec![sum.ln(), log(us.len() as f64), log(weights as f64), log(bytes as f64)];
    row.extend(["pointwise", "depthwise", "conv"].map(share));
    row
}

#[cfg(test)]
mod tests;

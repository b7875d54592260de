//! Optimisers over the flat arrays of [`Params`](crate::params::Params).
//!
//! | module | rule |
//! | --- | --- |
//! | `sgd` | momentum as PyTorch defines it: `b = mu b + g`, a step of `lr b` (Nesterov: `lr (g + mu b)`), decay added to the gradient |
//! | `lasso` | a proximal step behind the optimiser's, by which whole channels become zero |
//! | `adam` | AdamW (Loshchilov and Hutter 2019), which decays weights directly, and LAMB (You et al. 2020) |
//!
//! Plain `+ - * /` and square root only, each element on its own, norms in one fixed order: the same
//! bits on every machine and any number of threads.

mod adam;
mod kept;
mod lasso;
mod sgd;
mod shared;
mod zeros;

use std::ops::Range;

use edgecut_kernels::Pool;
use serde::{Deserialize, Serialize};

use crate::params::{Kind, Params};
use adam::Adam;
use sgd::Sgd;
use shared::Shared;
use zeros::without_zeros;

pub(crate) use kept::Kept;
pub(crate) use lasso::Shrinkage;
pub use lasso::{GroupLasso, Part};

/// Which optimiser, with the numbers that belong to it alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd {
        /// Share of the last update that the next one keeps; 0 is plain SGD.
        momentum: f32,
        /// Whether the step looks ahead by one update.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the mean of gradients.
        beta1: f32,
        /// Decay of the mean of squared gradients.
        beta2: f32,
        /// Added to the root of the mean square.
        epsilon: f32,
    },
    /// AdamW whose step in each weight tensor is as long as the tensor's norm times the rate: for
    /// large batches (arXiv:1904.00962). Tensors that do not decay step as in AdamW.
    Lamb {
        /// Decay of the mean of gradients.
        beta1: f32,
        /// Decay of the mean of squared gradients.
        beta2: f32,
        /// Added to the root of the mean square.
        epsilon: f32,
    },
}

impl Optimizer {
    /// SGD with Nesterov momentum 0.9.
    pub const SGD: Optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    /// AdamW with its paper's constants.
    pub const ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// LAMB with its paper's constants.
    pub const LAMB: Optimizer = Optimizer::Lamb { beta1: 0.9, beta2: 0.999, epsilon: 1e-6 };

    /// Arrays as long as the parameters that it keeps.
    pub(crate) fn moments(&self) -> usize {
        match self {
            Optimizer::Sgd { .. } => 1,
            Optimizer::AdamW { .. } | Optimizer::Lamb { .. } => 2,
        }
    }

    /// Whether a tensor must be updated as a whole.
    fn sees_tensors(&self) -> bool {
        matches!(self, Optimizer::Lamb { .. })
    }
}

/// Neighbouring parameters that are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Where they lie.
    pub range: Range<usize>,
    /// Factor of the learning rate; 0 leaves them as they are.
    pub lr: f32,
    /// Factor of the weight decay.
    pub decay: f32,
}

impl Group {
    /// A group for each tensor of `params`, with its rate: weights decay, biases and scales do not.
    pub fn of_tensors(params: &Params) -> Vec<Group> {
        let group = |(kind, range, lr): (Kind, Range<usize>, f32)| {
            let decay = if kind == Kind::Weight { 1.0 } else { 0.0 };
            Group { range, lr, decay }
        };
        let mut groups: Vec<Group> = params.rates().map(group).collect();
        groups.sort_by_key(|group| group.range.start);
        groups
    }

    /// Joins neighbours that differ in nothing but their place: fewer and longer loops.
    fn joined(groups: Vec<Group>) -> Vec<Group> {
        let mut joined: Vec<Group> = vec![];
        for group in groups {
            match joined.last_mut() {
                Some(last)
                    if last.range.end == group.range.start
                        && (last.lr, last.decay) == (group.lr, group.decay) =>
                {
                    last.range.end = group.range.end;
                }
                _ => joined.push(group),
            }
        }
        joined
    }
}

/// What an optimiser remembers between steps.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    optimizer: Optimizer,
    groups: Vec<Group>,
    /// Momentum, or Adam's first and second moments; each as long as the parameters.
    pub moments: Vec<Vec<f32>>,
}

/// Elements that one task updates: large enough to hide the hand-over to a thread.
const CHUNK: usize = 1 << 14;

impl OptimizerState {
    /// Zero moments for the parameters of `groups`, which lie one behind the other from 0.
    pub fn new(optimizer: Optimizer, groups: Vec<Group>) -> OptimizerState {
        let len = groups.last().map_or(0, |group| group.range.end);
        let groups = if optimizer.sees_tensors() { groups } else { Group::joined(groups) };
        OptimizerState { optimizer, groups, moments: vec![vec![0.0; len]; optimizer.moments()] }
    }

    /// Updates `values` by their gradients. `step` counts from 0.
    pub fn step(
        &mut self,
        pool: &Pool,
        values: &mut [f32],
        gradients: &[f32],
        weight_decay: f32,
        lr: f32,
        step: u64,
    ) {
        for group in self.groups.iter().filter(|group| group.lr != 0.0) {
            let range = group.range.clone();
            let (w, g) = (&mut values[range.clone()], &gradients[range.clone()]);
            let (decay, lr) = (weight_decay * group.decay, lr * group.lr);
            match (self.optimizer, self.moments.as_mut_slice()) {
                (Optimizer::Sgd { momentum, nesterov }, [m]) => {
                    Sgd { momentum, nesterov, decay, lr }.step(pool, w, &mut m[range], g);
                }
                (Optimizer::AdamW { beta1, beta2, epsilon }, [m, v]) => {
                    let rule = Adam::new(beta1, beta2, epsilon, step);
                    rule.moments(pool, &mut m[range.clone()], &mut v[range.clone()], g);
                    rule.step(pool, w, &m[range.clone()], &v[range], decay, lr);
                }
                (Optimizer::Lamb { beta1, beta2, epsilon }, [m, v]) => {
                    let rule = Adam::new(beta1, beta2, epsilon, step);
                    rule.moments(pool, &mut m[range.clone()], &mut v[range.clone()], g);
                    let (m, v) = (&m[range.clone()], &v[range]);
                    let trust = if decay > 0.0 { rule.trust(w, m, v, decay) } else { 1.0 };
                    rule.step(pool, w, m, v, decay, lr * trust);
                }
                _ => unreachable!("moments are made for the optimiser"),
            }
        }
    }
}

/// The part of `values` that belongs to chunk number `chunk` of length `len`.
fn part(values: &[f32], chunk: usize, len: usize) -> &[f32] {
    &values[chunk * CHUNK..][..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values up to `decayed` decay, the others do not.
    fn groups(decayed: usize, len: usize) -> Vec<Group> {
        [(0..decayed, 1.0), (decayed..len, 0.0)]
            .map(|(range, decay)| Group { range, lr: 1.0, decay })
            .to_vec()
    }

    fn two_steps(optimizer: Optimizer) -> Vec<f32> {
        let pool = Pool::new(1);
        let mut state = OptimizerState::new(optimizer, groups(1, 2));
        let mut values = vec![1.0, -2.0];
        state.step(&pool, &mut values, &[0.5, 0.25], 0.1, 0.1, 0);
        state.step(&pool, &mut values, &[-0.5, 0.5], 0.1, 0.05, 1);
        values
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 2e-6;
        assert!(found.iter().zip(expected).all(near), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn sgd_follows_its_definition() {
        // Value 0 decays, value 1 does not. g0 = 0.6, then -0.406; b = 0.6, then 0.134.
        close(&two_steps(Optimizer::Sgd { momentum: 0.9, nesterov: false }), &[0.9333, -2.06125]);
    }

    #[test]
    fn nesterov_looks_ahead() {
        // Value 0: 1 - 0.1 (0.6 + 0.54) = 0.886; g = -0.4114, b = 0.1286, step -0.29566.
        // Value 1: -2 - 0.1 (0.25 + 0.225) = -2.0475; b = 0.725, step 0.5 + 0.6525.
        close(&two_steps(Optimizer::SGD), &[0.900783, -2.105125]);
    }

    #[test]
    fn adamw_first_step_has_the_size_of_the_rate() {
        let mut state = OptimizerState::new(Optimizer::ADAMW, groups(1, 2));
        let mut values = vec![1.0, -2.0];
        state.step(&Pool::new(1), &mut values, &[0.5, 0.25], 0.1, 0.1, 0);
        close(&values, &[0.99 - 0.1, -2.1]);
    }

    #[test]
    fn lamb_steps_by_the_norm_of_a_decaying_tensor() {
        // The first update is the sign of the gradient, plus 0.1 w: [1.3, -0.6] of norm 1.431782;
        // the tensor has norm 5, so the step is 0.1 * 5 / 1.431782 * [1.3, -0.6].
        let mut state = OptimizerState::new(Optimizer::LAMB, groups(2, 3));
        let mut values = vec![3.0, 4.0, 1.0];
        state.step(&Pool::new(1), &mut values, &[0.5, -0.25, 2.0], 0.1, 0.1, 0);
        close(&values, &[2.546022, 4.209528, 0.9]);
    }

    #[test]
    fn groups_have_rates_of_their_own() {
        let mut groups = groups(1, 3);
        groups[1].range = 1..2;
        groups.push(Group { range: 2..3, lr: 0.0, decay: 1.0 });
        groups[1].lr = 0.5;
        let plain = Optimizer::Sgd { momentum: 0.0, nesterov: false };
        let mut values = vec![1.0; 3];
        let mut state = OptimizerState::new(plain, groups);
        state.step(&Pool::new(1), &mut values, &[1.0; 3], 0.0, 0.1, 0);
        close(&values, &[0.9, 0.95, 1.0]);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let n = 3 * CHUNK + 5;
        let gradients: Vec<f32> = (0..n).map(|i| (i % 97) as f32 * 0.01 - 0.4).collect();
        for optimizer in [Optimizer::SGD, Optimizer::ADAMW, Optimizer::LAMB] {
            let run = |threads| {
                let pool = Pool::new(threads);
                let mut values = gradients.clone();
                let mut state = OptimizerState::new(optimizer, groups(n / 2, n));
                for step in 0..3 {
                    state.step(&pool, &mut values, &gradients, 1e-3, 0.1, step);
                }
                values
            };
            assert_eq!(run(1), run(3), "{optimizer:?}");
        }
    }
}

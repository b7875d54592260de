//! Optimisers over the flat arrays of [`Params`](crate::params::Params).
//!
//! Both follow PyTorch's definitions: SGD with momentum keeps `b = mu b + g` and steps by
//! `lr * b` (Nesterov: `lr * (g + mu b)`), with decay added to the gradient; AdamW (Loshchilov and
//! Hutter 2019) decays the weights directly. Plain `+ - * /` and square root only, each element on
//! its own: the same bits on every machine and any number of threads.

use edgecut_kernels::Pool;
use serde::{Deserialize, Serialize};

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
}

impl Optimizer {
    /// SGD with Nesterov momentum 0.9.
    pub const SGD: Optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    /// AdamW with its paper's constants.
    pub const ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    fn moments(&self) -> usize {
        match self {
            Optimizer::Sgd { .. } => 1,
            Optimizer::AdamW { .. } => 2,
        }
    }
}

/// What an optimiser remembers between steps.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    optimizer: Optimizer,
    /// Momentum, or Adam's first and second moments; each as long as the parameters.
    pub moments: Vec<Vec<f32>>,
}

/// Elements that one task updates: large enough to hide the hand-over to a thread.
const CHUNK: usize = 1 << 14;

impl OptimizerState {
    /// Zero moments for `len` parameters.
    pub fn new(optimizer: Optimizer, len: usize) -> OptimizerState {
        OptimizerState { optimizer, moments: vec![vec![0.0; len]; optimizer.moments()] }
    }

    /// Updates `values` by their gradients. The first `decayed` values decay at the rate
    /// `weight_decay`. `step` counts from 0.
    pub fn step(
        &mut self,
        pool: &Pool,
        values: &mut [f32],
        gradients: &[f32],
        decayed: usize,
        weight_decay: f32,
        lr: f32,
        step: u64,
    ) {
        let (with, without) = values.split_at_mut(decayed);
        let optimizer = self.optimizer;
        let parts = [(with, 0, weight_decay), (without, decayed, 0.0)];
        for (values, start, decay) in parts {
            let end = start + values.len();
            let gradients = &gradients[start..end];
            match (optimizer, self.moments.as_mut_slice()) {
                (Optimizer::Sgd { momentum, nesterov }, [moment]) => {
                    let rule = Sgd { momentum, nesterov, decay, lr };
                    pool.for_each_chunk2_mut(
                        values,
                        CHUNK,
                        &mut moment[start..end],
                        CHUNK,
                        |i, w, m| rule.update(w, m, part(gradients, i, w.len())),
                    );
                }
                (Optimizer::AdamW { beta1, beta2, epsilon }, [first, second]) => {
                    let rule = AdamW::new(beta1, beta2, epsilon, decay, lr, step);
                    for (i, w) in values.chunks_mut(CHUNK).enumerate() {
                        let range = start + i * CHUNK..start + i * CHUNK + w.len();
                        let g = part(gradients, i, w.len());
                        rule.update(w, &mut first[range.clone()], &mut second[range], g);
                    }
                }
                _ => unreachable!("moments are made for the optimiser"),
            }
        }
    }
}

fn part(gradients: &[f32], chunk: usize, len: usize) -> &[f32] {
    &gradients[chunk * CHUNK..][..len]
}

struct Sgd {
    momentum: f32,
    nesterov: bool,
    decay: f32,
    lr: f32,
}

impl Sgd {
    fn update(&self, w: &mut [f32], m: &mut [f32], g: &[f32]) {
        for ((w, m), &g) in w.iter_mut().zip(m).zip(g) {
            let g = g + self.decay * *w;
            *m = self.momentum * *m + g;
            let update = if self.nesterov { g + self.momentum * *m } else { *m };
            *w -= self.lr * update;
        }
    }
}

struct AdamW {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// 1 - lr * weight decay.
    keep: f32,
    /// lr / (1 - beta1^t).
    rate: f32,
    /// 1 / sqrt(1 - beta2^t).
    scale: f32,
}

impl AdamW {
    fn new(beta1: f32, beta2: f32, epsilon: f32, decay: f32, lr: f32, step: u64) -> AdamW {
        let bias1 = 1.0 - power(f64::from(beta1), step + 1);
        let bias2 = 1.0 - power(f64::from(beta2), step + 1);
        AdamW {
            beta1,
            beta2,
            epsilon,
            keep: 1.0 - lr * decay,
            rate: (f64::from(lr) / bias1) as f32,
            scale: (1.0 / bias2.sqrt()) as f32,
        }
    }

    fn update(&self, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
            *m += (1.0 - self.beta1) * (g - *m);
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            *w = *w * self.keep - self.rate * *m / (v.sqrt() * self.scale + self.epsilon);
        }
    }
}

/// base^exponent by squaring: `powi` leaves its rounding to the platform.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_steps(optimizer: Optimizer) -> Vec<f32> {
        let pool = Pool::new(1);
        let mut state = OptimizerState::new(optimizer, 2);
        let mut values = vec![1.0, -2.0];
        state.step(&pool, &mut values, &[0.5, 0.25], 1, 0.1, 0.1, 0);
        state.step(&pool, &mut values, &[-0.5, 0.5], 1, 0.1, 0.05, 1);
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
        let mut state = OptimizerState::new(Optimizer::ADAMW, 2);
        let mut values = vec![1.0, -2.0];
        state.step(&Pool::new(1), &mut values, &[0.5, 0.25], 1, 0.1, 0.1, 0);
        close(&values, &[0.99 - 0.1, -2.1]);
    }

    #[test]
    fn power_is_repeated_multiplication() {
        assert_eq!(power(0.5, 10), 1.0 / 1024.0);
        assert!((power(0.999, 100_000) - 0.999f64.powi(100_000)).abs() < 1e-12);
        assert_eq!(power(0.9, 0), 1.0);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let n = 3 * CHUNK + 5;
        let gradients: Vec<f32> = (0..n).map(|i| (i % 97) as f32 * 0.01 - 0.4).collect();
        let run = |threads| {
            let pool = Pool::new(threads);
            let mut values = gradients.clone();
            let mut state = OptimizerState::new(Optimizer::SGD, n);
            for step in 0..3 {
                state.step(&pool, &mut values, &gradients, n / 2, 1e-3, 0.1, step);
            }
            values
        };
        assert_eq!(run(1), run(3));
    }
}

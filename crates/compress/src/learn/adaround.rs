//! Learned rounding: every weight slides between its two neighbouring codes and is pushed to one of
//! them (Nagel et al. 2020).
//!
//! A weight w (in units of its scale) becomes `floor(w) + h(v)` with the rectified sigmoid
//! `h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1)`. Adam minimises the layer's squared error plus
//! `lambda sum(1 - |2h - 1|^beta)`, with beta falling from 20 to 2 and lambda growing: first the
//! error decides freely, then all h are driven to 0 or 1.

use std::sync::Arc;

use edgecut_kernels::elementwise::{Unary, unary};
use edgecut_kernels::gemm::{PackedB, gemm};
use edgecut_kernels::{Ctx, Epilogue, Pool};

use super::problem::Problem;

/// Steps where arithmetic allows; below [`LEAST`] it is not worth beginning.
const STEPS: usize = 400;
const LEAST: usize = 100;
/// Multiply-adds that a layer may cost.
const BUDGET: usize = 400_000_000_000;
/// Weights below which descent finds the best rounding by itself.
const SMALL: usize = 16;
/// Stretch of the sigmoid beyond 0 and 1.
const STRETCH: f32 = 1.2;
const BELOW: f32 = 0.1;
const RATE: f32 = 0.05;
/// Of Adam: gradients far below it stay small steps, since no noise hides them here.
const EPSILON: f32 = 0.01;
/// At the end the term's curvature, `-8 lambda` at beta 2, outweighs the error's, at most 2 for a
/// single weight, so that no weight can stay between its codes.
const LAMBDA: f32 = 0.3;
const BETAS: (f32, f32) = (0.9, 0.999);

/// Codes `[channels, k]` near the optimum of the relaxed problem; `None` where they would take too
/// long or are not worth it.
pub(super) fn relax(problem: &Problem, scales: &[f32], pool: &Arc<Pool>) -> Option<Vec<f32>> {
    let (k, n) = (problem.k, problem.channels);
    let steps = (BUDGET / (k * k * n).max(1)).min(STEPS);
    if steps < LEAST || k <= SMALL {
        return None;
    }
    let ctx = Ctx::new(pool);
    let units = Units::of(problem, scales);
    let in_units = |(i, w): (usize, &f32)| w / scales[i / k];
    let weights: Vec<f32> = problem.weights.iter().enumerate().map(in_units).collect();
    let floor: Vec<f32> = weights.iter().map(|w| w.floor()).collect();
    let mut v: Vec<f32> = weights.iter().map(|w| inverse(w - w.floor())).collect();
    let mut moments = vec![(0f32, 0f32); v.len()];
    let mut sigmoid = vec![0f32; v.len()];
    let mut soft = vec![0f32; v.len()];
    let mut product = vec![0f32; k * n];
    let mut packed = PackedB::new();
    let mut decay = (1f32, 1f32);
    for step in 0..steps {
        unary(ctx, Unary::Sigmoid, &v, &mut sigmoid);
        for (soft, (floor, s)) in soft.iter_mut().zip(floor.iter().zip(&sigmoid)) {
            *soft = (floor + rectified(*s)).clamp(-problem.limit, problem.limit);
        }
        // The transpose of soft, [channels, k], is the right factor.
        packed.repack(k, n, &soft, 1, k);
        gemm(ctx, k, problem.gram, k, &packed, &mut product, n, &Epilogue::default());
        decay = (decay.0 * BETAS.0, decay.1 * BETAS.1);
        let regular = Regular::at(step, steps);
        let product = &product;
        let sigmoid = &sigmoid;
        let body = |channel: usize, v: &mut [f32], moments: &mut [(f32, f32)]| {
            for i in 0..k {
                let s = sigmoid[channel * k + i];
                let h = STRETCH * s - BELOW;
                let inside = h > 0.0 && h < 1.0;
                let slope = if inside { STRETCH * s * (1.0 - s) } else { 0.0 };
                let at = i * n + channel;
                let error = units.gradient(channel, product[at], problem.cross[channel * k + i]);
                let gradient = (error + regular.gradient(h.clamp(0.0, 1.0))) * slope;
                let (m, u) = &mut moments[i];
                *m = BETAS.0 * *m + (1.0 - BETAS.0) * gradient;
                *u = BETAS.1 * *u + (1.0 - BETAS.1) * gradient * gradient;
                let (m, u) = (*m / (1.0 - decay.0), *u / (1.0 - decay.1));
                v[i] -= RATE * m / (u.sqrt() + EPSILON);
            }
        };
        pool.for_each_chunk2_mut(&mut v, k, &mut moments, k, body);
    }
    unary(ctx, Unary::Sigmoid, &v, &mut sigmoid);
    let hard = |(floor, s): (&f32, &f32)| {
        (floor + rectified(*s).round()).clamp(-problem.limit, problem.limit)
    };
    Some(floor.iter().zip(&sigmoid).map(hard).collect())
}

/// The error in units in which the curvature of an average weight is 1, so that one lambda fits
/// every layer.
struct Units<'a> {
    /// One over the mean variance of the inputs.
    share: f32,
    scales: &'a [f32],
}

impl<'a> Units<'a> {
    fn of(problem: &Problem, scales: &'a [f32]) -> Units<'a> {
        let k = problem.k;
        let trace: f64 = (0..k).map(|i| f64::from(problem.gram[i * k + i])).sum();
        Units { share: (k as f64 / trace.max(1e-30)) as f32, scales }
    }

    /// Derivative of the error by a code: `(s G q - c) / s`, in these units.
    fn gradient(&self, channel: usize, product: f32, cross: f32) -> f32 {
        2.0 * (product - cross / self.scales[channel]) * self.share
    }
}

/// The term that drives h to 0 or 1, at one step.
struct Regular {
    lambda: f32,
    /// An integer, so that the power is the same product everywhere.
    beta: i32,
}

impl Regular {
    fn at(step: usize, steps: usize) -> Regular {
        let warm = steps / 5;
        if step < warm {
            return Regular { lambda: 0.0, beta: 20 };
        }
        let progress = (step - warm) as f32 / (steps - warm) as f32;
        Regular { lambda: LAMBDA * progress * progress, beta: 20 - (18.0 * progress) as i32 }
    }

    fn gradient(&self, h: f32) -> f32 {
        if self.lambda == 0.0 {
            return 0.0;
        }
        let x = 2.0 * h - 1.0;
        let mut power = 1.0;
        (1..self.beta).for_each(|_| power *= x.abs());
        -2.0 * self.lambda * self.beta as f32 * power * x.signum()
    }
}

fn rectified(sigmoid: f32) -> f32 {
    (STRETCH * sigmoid - BELOW).clamp(0.0, 1.0)
}

/// The v whose h is about `share`, by the first terms of the inverse of the sigmoid. It is where
/// the search begins, and must be the same on every CPU, which a logarithm is not.
fn inverse(share: f32) -> f32 {
    let x = (share + BELOW) / STRETCH - 0.5;
    let square = x * x;
    x * (4.0 + square * (16.0 / 3.0 + square * (64.0 / 5.0 + square * (256.0 / 7.0))))
}

#[cfg(test)]
mod tests {
    use super::super::descent::descend;
    use super::super::problem::moments_of;
    use super::*;
    use edgecut_graph::rng::Rng;

    /// Correlated inputs, of which nearest rounding does not know.
    #[test]
    fn far_better_than_nearest() {
        let (k, n, rows) = (48, 3, 200);
        let mut rng = Rng::new(7);
        let mut x = vec![];
        for _ in 0..rows {
            let common = rng.normal();
            x.extend((0..k).map(|_| common + 0.4 * rng.normal()));
        }
        let (scales, limit) = ([0.3, 0.1, 1.0], 7.0);
        let weights: Vec<f32> = (0..n * k).map(|i| 2.0 * rng.normal() * scales[i / k]).collect();
        let (gram, cross) = moments_of(&x, k, &weights);
        let problem = Problem { k, channels: n, gram: &gram, cross, weights, limit };
        let relaxed = relax(&problem, &scales, &Arc::new(Pool::new(2))).unwrap();
        for o in 0..n {
            let row = problem.weights_of(o).iter().map(|w| w / scales[o]);
            let clamped: Vec<f32> = row.map(|w| w.clamp(-7.0, 7.0)).collect();
            let codes = &relaxed[o * k..][..k];
            assert!(codes.iter().zip(&clamped).all(|(q, w)| (q - w).abs() <= 1.0));
            let mut settled = codes.to_vec();
            descend(&problem, o, scales[o], &mut settled);
            let nearest: Vec<f32> = problem.nearest(o, scales[o]).collect();
            let over = |codes: &[f32]| {
                problem.error(o, scales[o], codes) - problem.error(o, scales[o], &clamped)
            };
            let (ours, plain) = (over(&settled), over(&nearest));
            assert!(ours < 0.4 * plain, "channel {o}: {ours} against {plain}");
        }
    }
}

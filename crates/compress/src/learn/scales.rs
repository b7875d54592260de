//! Scales of channels by what the layer computes.
//!
//! The scale of least error in the weights is not that of least error in the result: it depends on
//! which inputs are large, and on what the other codes can make up for. So several are tried, each
//! with the codes that descent finds for it. At the end codes and scale take turns: for given codes
//! the best scale is a quotient, and costs nothing at run time.

use std::sync::Arc;

use edgecut_kernels::Pool;

use super::descent::descend;
use super::problem::{Problem, Solution};

/// Codes up to this limit are so few that the choice of scale decides.
const FEW: f32 = 7.0;
/// Scales tried: 16ths of the one at which nothing saturates.
const SIXTEENTHS: std::ops::RangeInclusive<usize> = 6..=16;
/// Turns that codes and scale take.
const TURNS: usize = 4;

/// Codes and scales of the least error found, for `scales` or others; `least` are bounds of scales.
pub(super) fn choose(
    problem: &Problem,
    scales: &[f32],
    least: &[f32],
    pool: &Arc<Pool>,
) -> Solution {
    let k = problem.k;
    let mut found = Solution { codes: vec![0.0; problem.channels * k], scales: scales.to_vec() };
    let Solution { codes, scales } = &mut found;
    pool.for_each_chunk2_mut(codes, k, scales, 1, |channel, codes, scale| {
        let widest = problem.weights_of(channel).iter().fold(0f32, |m, w| m.max(w.abs()));
        let share = |n: usize| widest / problem.limit * n as f32 / 16.0;
        let few = problem.limit <= FEW;
        let others = SIXTEENTHS.filter(|_| few).map(share).filter(|&s| s > least[channel]);
        let mut best = f64::INFINITY;
        for tried in std::iter::once(scale[0]).chain(others) {
            let mut trial: Vec<f32> = problem.nearest(channel, tried).collect();
            descend(problem, channel, tried, &mut trial);
            let error = problem.error(channel, tried, &trial);
            if error < best {
                (best, scale[0]) = (error, tried);
                codes.copy_from_slice(&trial);
            }
        }
    });
    found
}

/// Lets codes and scale take turns while the error falls.
pub(super) fn settle(problem: &Problem, found: &mut Solution, least: &[f32], pool: &Arc<Pool>) {
    let Solution { codes, scales } = found;
    pool.for_each_chunk2_mut(codes, problem.k, scales, 1, |channel, codes, scale| {
        let mut error = problem.error(channel, scale[0], codes);
        for _ in 0..TURNS {
            let best = problem.best_scale(channel, codes);
            if !(best > least[channel] && best.is_finite()) {
                break;
            }
            let mut trial = codes.to_vec();
            descend(problem, channel, best, &mut trial);
            let found = problem.error(channel, best, &trial);
            if found >= error {
                break;
            }
            (error, scale[0]) = (found, best);
            codes.copy_from_slice(&trial);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::problem::moments_of;
    use super::*;
    use edgecut_graph::rng::Rng;

    /// One input hardly varies, and its weight is large: its error does not count, so it may
    /// saturate for the others' sake. Turns never raise the error.
    #[test]
    fn quiet_inputs_may_saturate() {
        let pool = Arc::new(Pool::new(2));
        let k = 24;
        for seed in 0..8 {
            let mut rng = Rng::new(seed);
            let size = |i: usize| if i.is_multiple_of(k) { 0.01 } else { 1.0 };
            let rows: Vec<f32> = (0..200 * k).map(|i| rng.normal() * size(i)).collect();
            let weights: Vec<f32> =
                (0..k).map(|i| if i == 0 { 12.0 } else { rng.normal() }).collect();
            let (gram, cross) = moments_of(&rows, k, &weights);
            let problem = Problem { k, channels: 1, gram: &gram, cross, weights, limit: 7.0 };
            let widest = [12.0 / 7.0];
            let mut found = choose(&problem, &widest, &[0.0], &pool);
            assert!(found.scales[0] < widest[0], "seed {seed}");
            let before = problem.error(0, found.scales[0], &found.codes);
            settle(&problem, &mut found, &[0.0], &pool);
            let after = problem.error(0, found.scales[0], &found.codes);
            assert!(after <= before, "seed {seed}: {after} after {before}");
            let slope = problem.slope(0, 1.0, &found.codes);
            assert!(slope.iter().all(|s| s.is_finite()));
        }
    }
}

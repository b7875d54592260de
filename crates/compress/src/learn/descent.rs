//! Coordinate descent over codes: one weight after the other takes the code that is best given all
//! others, until none changes (QuantEase, Behdin et al. 2023).

use std::sync::Arc;

use edgecut_kernels::Pool;

use super::problem::{Problem, Solution};

/// Most passes over the weights of a channel.
const SWEEPS: usize = 8;
/// How far a code may be from its weight: what fits the sample at any price does not fit others.
const REACH: f32 = 1.5;

/// Changes the `codes` of `channel` until no change of a single one improves them.
pub(super) fn descend(problem: &Problem, channel: usize, scale: f32, codes: &mut [f32]) {
    let k = problem.k;
    let weights = problem.weights_of(channel);
    let mut slope = problem.slope(channel, scale, codes);
    for _ in 0..SWEEPS {
        let mut changed = false;
        for i in 0..k {
            let curvature = problem.gram[i * k + i] * scale;
            let weight = weights[i] / scale;
            let low = (weight - REACH).max(-problem.limit).ceil();
            let high = (weight + REACH).min(problem.limit).floor();
            // A weight beyond the limit has one code.
            if low > high {
                continue;
            }
            let best = (codes[i] - slope[i] / curvature).round_ties_even().clamp(low, high);
            let step = best - codes[i];
            // Equal codes on both sides of a tie would change for ever.
            let gain = step * (2.0 * slope[i] + step * curvature);
            if step == 0.0 || gain >= 0.0 {
                continue;
            }
            codes[i] = best;
            changed = true;
            let row = &problem.gram[i * k..][..k];
            slope.iter_mut().zip(row).for_each(|(s, g)| *s += step * scale * g);
        }
        if !changed {
            break;
        }
    }
}

/// Descends from `other`, and takes it for each channel where it is better than `best`.
pub(super) fn improve(problem: &Problem, best: &mut Solution, other: &[f32], pool: &Arc<Pool>) {
    let k = problem.k;
    let Solution { codes, scales } = best;
    pool.for_each_chunk_mut(codes, k, |channel, best| {
        let scale = scales[channel];
        let mut codes = other[channel * k..][..k].to_vec();
        descend(problem, channel, scale, &mut codes);
        if problem.error(channel, scale, &codes) < problem.error(channel, scale, best) {
            best.copy_from_slice(&codes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::problem::moments_of;
    use super::*;
    use edgecut_graph::rng::Rng;

    /// No change of a single code improves what descent finds, and nearest is not better.
    #[test]
    fn no_single_change_improves() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let (k, scale, limit) = (6, 0.5, 7.0);
            let rows: Vec<f32> = (0..40 * k).map(|_| rng.normal() + 0.7).collect();
            let weights: Vec<f32> = (0..k).map(|_| rng.normal() * 1.5).collect();
            let (gram, cross) = moments_of(&rows, k, &weights);
            let problem = Problem { k, channels: 1, gram: &gram, cross, weights, limit };
            let nearest: Vec<f32> = problem.nearest(0, scale).collect();
            let mut found = nearest.clone();
            descend(&problem, 0, scale, &mut found);
            let least = problem.error(0, scale, &found);
            assert!(least <= problem.error(0, scale, &nearest) + 1e-5, "seed {seed}");
            for i in 0..k {
                for code in -7..=7 {
                    let mut changed = found.clone();
                    changed[i] = code as f32;
                    let reachable = (changed[i] - problem.weights[i] / scale).abs() <= REACH;
                    let better = problem.error(0, scale, &changed) < least - 1e-4;
                    assert!(!(reachable && better), "seed {seed}: weight {i} wants {code}");
                }
            }
        }
    }
}

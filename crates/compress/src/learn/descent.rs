//! Coordinate descent over codes: one weight after the other takes the code that is best given all
//! others, until none changes (QuantEase, Behdin et al. 2023).

use std::sync::Arc;

use edgecut_kernels::Pool;

use super::Problem;

/// Most passes over the weights of a channel.
const SWEEPS: usize = 8;
/// How far a code may be from its weight: what fits the sample at any price does not fit others.
const REACH: f32 = 1.5;

/// Codes `[channels, k]` that no change of a single one improves, from `start`.
pub(super) fn descend(problem: &Problem, start: Vec<f32>, pool: &Arc<Pool>) -> Vec<f32> {
    let k = problem.k;
    let mut codes = start;
    pool.for_each_chunk_mut(&mut codes, k, |channel, codes| {
        let scale = problem.scales[channel];
        let weights = &problem.weights[channel * k..][..k];
        let mut slope = slope(problem, channel, codes);
        for _ in 0..SWEEPS {
            let mut changed = false;
            for i in 0..k {
                let curvature = problem.gram[i * k + i] * scale;
                let low = (weights[i] - REACH).max(-problem.limit).ceil();
                let high = (weights[i] + REACH).min(problem.limit).floor();
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
    });
    codes
}

/// For each channel, the better of two solutions; the first of equal ones.
pub(super) fn better(problem: &Problem, first: Vec<f32>, second: Vec<f32>) -> Vec<f32> {
    let mut best = first;
    for (channel, (a, b)) in
        best.chunks_exact_mut(problem.k).zip(second.chunks_exact(problem.k)).enumerate()
    {
        if error(problem, channel, b) < error(problem, channel, a) {
            a.copy_from_slice(b);
        }
    }
    best
}

/// Half the derivative of the error by each code, over the scale: `s G q - c`, where what damps
/// the moments pulls towards the weights.
fn slope(problem: &Problem, channel: usize, codes: &[f32]) -> Vec<f32> {
    let (k, scale) = (problem.k, problem.scales[channel]);
    let mut slope: Vec<f32> =
        (0..k).map(|i| -problem.cross[i * problem.channels + channel]).collect();
    for (i, &code) in codes.iter().enumerate().filter(|(_, code)| **code != 0.0) {
        let row = &problem.gram[i * k..][..k];
        slope.iter_mut().zip(row).for_each(|(s, g)| *s += code * scale * g);
    }
    slope
}

/// The squared error of a channel, but for a constant.
pub(super) fn error(problem: &Problem, channel: usize, codes: &[f32]) -> f64 {
    let scale = f64::from(problem.scales[channel]);
    let slope = slope(problem, channel, codes);
    let cross = |i: usize| f64::from(problem.cross[i * problem.channels + channel]);
    let terms = codes.iter().zip(&slope).enumerate();
    terms.map(|(i, (&q, &s))| f64::from(q) * scale * (f64::from(s) - cross(i))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;

    /// No change of a single code improves what descent finds, and nearest is not better.
    #[test]
    fn no_single_change_improves() {
        let pool = Arc::new(Pool::new(2));
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let k = 6;
            let rows: Vec<f32> = (0..40 * k).map(|_| rng.normal() + 0.7).collect();
            let mut gram = vec![0f32; k * k];
            for row in rows.chunks(k) {
                for i in 0..k {
                    (0..k).for_each(|j| gram[i * k + j] += row[i] * row[j] / 40.0);
                }
            }
            let weights: Vec<f32> = (0..k).map(|_| rng.normal() * 3.0).collect();
            let scales = [0.5];
            let dot = |i: usize| (0..k).map(|j| gram[i * k + j] * weights[j] * scales[0]).sum();
            let cross: Vec<f32> = (0..k).map(dot).collect();
            let (gram, limit) = (&gram[..], 7.0);
            let weights_of = weights.clone();
            let problem = Problem { k, channels: 1, gram, cross, weights, scales: &scales, limit };
            let nearest: Vec<f32> =
                weights_of.iter().map(|w| w.round_ties_even().clamp(-7.0, 7.0)).collect();
            let found = descend(&problem, nearest.clone(), &pool);
            let least = error(&problem, 0, &found);
            assert!(least <= error(&problem, 0, &nearest) + 1e-5, "seed {seed}");
            for i in 0..k {
                for code in -7..=7 {
                    let mut changed = found.clone();
                    changed[i] = code as f32;
                    let reachable = (changed[i] - weights_of[i]).abs() <= REACH;
                    let better = error(&problem, 0, &changed) < least - 1e-4;
                    assert!(!(reachable && better), "seed {seed}: weight {i} wants {code}");
                }
            }
        }
    }
}

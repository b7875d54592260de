//! Expected improvement, as a logarithm, which still tells apart what is next to impossible
//! (Ament et al. 2023).

use crate::pareto::{front, hypervolume};
use crate::regress::Normal;

/// Logarithm of the expected part of `(limit - x)` above 0, x normal.
pub fn log_shortfall(limit: f64, x: Normal) -> f64 {
    let deviation = x.deviation.max(1e-9);
    libm::log(deviation) + log_unit_shortfall((limit - x.mean) / deviation)
}

/// The same of a standard normal number: h(z) = φ(z) + z Φ(z).
fn log_unit_shortfall(z: f64) -> f64 {
    let log_density = -0.5 * z * z - 0.5 * libm::log(std::f64::consts::TAU);
    if z > -6.0 {
        let below = 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
        return libm::log(libm::exp(log_density) + z * below);
    }
    // h(z) = φ(z) (1 - |z| M(|z|)) with Mills' ratio M(x) = 1/x - 1/x³ + 3/x⁵ - 15/x⁷ + 105/x⁹ - ...
    let q = 1.0 / (z * z);
    log_density + libm::log(q * (1.0 - q * (3.0 - q * (15.0 - q * 105.0))))
}

/// log(eᵃ - eᵇ).
fn log_difference(a: f64, b: f64) -> f64 {
    if b >= a { f64::NEG_INFINITY } else { a + libm::log1p(-libm::exp(b - a)) }
}

fn log_sum(terms: &[f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + libm::log(terms.iter().map(|t| libm::exp(t - most)).sum())
}

/// A front of costs that a net may improve.
pub struct Improvement {
    /// The front: nobody dominates another, all better than the reference.
    points: Vec<Vec<f64>>,
    reference: Vec<f64>,
    /// Draws of standard normal numbers, for more than two costs.
    draws: Vec<Vec<f64>>,
}

impl Improvement {
    /// Over `points`, up to `reference`; `draws` are as long as a point.
    pub fn new(points: &[Vec<f64>], reference: Vec<f64>, draws: Vec<Vec<f64>>) -> Improvement {
        let inside = |p: &&Vec<f64>| p.iter().zip(&reference).all(|(x, r)| x < r);
        let inside: Vec<Vec<f64>> = points.iter().filter(inside).cloned().collect();
        let mut points: Vec<Vec<f64>> = front(&inside).iter().map(|&i| inside[i].clone()).collect();
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        points.dedup();
        Improvement { points, reference, draws }
    }

    /// Logarithm of the expected gain in hypervolume by a net with these independent costs: exact for
    /// one and two costs, the mean over the draws for more.
    pub fn log_expected(&self, costs: &[Normal]) -> f64 {
        match costs {
            [x] => {
                let best = self.points.first().map_or(self.reference[0], |p| p[0]);
                log_shortfall(best, *x)
            }
            [x, y] => self.log_expected_of_two(*x, *y),
            _ => self.log_mean(costs),
        }
    }

    /// Between two neighbours of the front, a net at (x, y) gains the width from x, or from the first
    /// neighbour, to the second, times the height from y to the first. Widths are differences of
    /// shortfalls, heights are shortfalls, and both are independent: strips add up.
    fn log_expected_of_two(&self, x: Normal, y: Normal) -> f64 {
        let mut terms = Vec::with_capacity(self.points.len() + 1);
        let mut before = f64::NEG_INFINITY;
        let mut height = self.reference[1];
        let ends = self.points.iter().map(|p| (p[0], p[1]));
        for (end, next) in ends.chain([(self.reference[0], f64::NAN)]) {
            let upto = log_shortfall(end, x);
            terms.push(log_difference(upto, before) + log_shortfall(height, y));
            (before, height) = (upto, next);
        }
        log_sum(&terms)
    }

    fn log_mean(&self, costs: &[Normal]) -> f64 {
        let before = hypervolume(&self.points, &self.reference);
        let mut points = self.points.clone();
        let mut gain = |draw: &Vec<f64>| {
            let at = costs.iter().zip(draw).map(|(c, z)| c.mean + c.deviation * z);
            points.push(at.collect());
            let gain = hypervolume(&points, &self.reference) - before;
            points.pop();
            gain.max(0.0)
        };
        let sum: f64 = self.draws.iter().map(&mut gain).sum();
        libm::log(sum / self.draws.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;

    use super::*;

    /// A standard normal number with tails (Box and Muller).
    fn normal(rng: &mut Rng) -> f64 {
        let radius = (-2.0 * (1.0 - f64::from(rng.uniform())).ln()).sqrt();
        radius * (std::f64::consts::TAU * f64::from(rng.uniform())).cos()
    }

    #[test]
    fn what_is_exact_is_the_mean_over_many_draws() {
        let mut rng = Rng::new(4);
        for case in 0..6 {
            let count = [0, 1, 4, 9][case % 4];
            let mut draw = || f64::from(rng.uniform());
            let points: Vec<Vec<f64>> = (0..count).map(|_| vec![draw(), draw()]).collect();
            let mut cost = || Normal { mean: draw(), deviation: 0.05 + 0.4 * draw() };
            let costs = [cost(), cost()];
            let draws = (0..40_000).map(|_| vec![normal(&mut rng), normal(&mut rng)]).collect();
            let improvement = Improvement::new(&points, vec![1.0, 1.0], draws);
            let exact = libm::exp(improvement.log_expected(&costs));
            let mean = libm::exp(improvement.log_mean(&costs));
            // Gains are below 4, and most below 0.4: four standard errors are below 0.008.
            assert!((exact - mean).abs() < 0.008, "{case}: {exact} {mean}");
        }
    }

    #[test]
    fn logarithms_go_on_where_numbers_end() {
        let at = |mean: f64| log_shortfall(0.0, Normal { mean, deviation: 1.0 });
        assert!((at(0.0) - libm::log(0.398_942_280_401_432_7)).abs() < 1e-12);
        // On both sides of where the series begins.
        assert!((at(6.0 - 1e-6) - at(6.0 + 1e-6)).abs() < 1e-3);
        let far: Vec<f64> = (1..40).map(|k| at(f64::from(k) * 3.0)).collect();
        assert!(far.windows(2).all(|pair| pair[1] < pair[0] && pair[1].is_finite()));
        let improvement = Improvement::new(&[vec![0.2, 0.2]], vec![1.0, 1.0], vec![]);
        let hopeless = |mean: f64| {
            let cost = Normal { mean, deviation: 0.01 };
            improvement.log_expected(&[cost, cost])
        };
        assert!(hopeless(0.9) < hopeless(0.8) && hopeless(0.9).is_finite());
    }

    #[test]
    fn one_cost_improves_on_the_best() {
        let improvement = Improvement::new(&[vec![0.5], vec![0.3]], vec![1.0], vec![]);
        let cost = Normal { mean: 0.4, deviation: 0.1 };
        assert_eq!(improvement.log_expected(&[cost]), log_shortfall(0.3, cost));
    }
}

//! Gaussian processes over binned rows.

use super::cholesky::Cholesky;
use super::table::{Binning, Row};

/// How much a different gene lowers the correlation, as the exponent of e; tried in this order.
const RATES: [f64; 6] = [0.03, 0.06, 0.12, 0.25, 0.5, 1.0];

/// The share of the variance that is noise; tried in this order.
const NOISES: [f64; 4] = [1e-4, 1e-3, 1e-2, 1e-1];

/// A normal distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
}

/// A Gaussian process whose correlation falls with the number of genes that differ:
/// `exp(-rate * distance)`, the distance of [`Binning::distance`].
#[derive(Clone, Debug)]
pub struct Gaussian {
    binning: Binning,
    rows: Vec<Row>,
    rate: f64,
    mean: f64,
    /// Variance of the process.
    variance: f64,
    factor: Cholesky,
    /// Inverse covariance times centred targets.
    weights: Vec<f64>,
}

impl Gaussian {
    /// The process of `rows` and their `targets`, as many and at least one; rate and noise are those of
    /// largest marginal likelihood, first the rate and then the noise.
    pub fn fit(binning: &Binning, rows: &[Row], targets: &[f64]) -> Gaussian {
        let mean = targets.iter().sum::<f64>() / targets.len().max(1) as f64;
        let centred: Vec<f64> = targets.iter().map(|t| t - mean).collect();
        let distances: Vec<Vec<f64>> = (0..rows.len())
            .map(|i| (0..=i).map(|j| binning.distance(&rows[i], &rows[j])).collect())
            .collect();
        let attempt = |rate: f64, noise: f64| Attempt::new(&distances, &centred, rate, noise);
        let better =
            |best: Attempt, other: Attempt| if other.loss < best.loss { other } else { best };
        let rates = RATES.into_iter().map(|rate| attempt(rate, NOISES[2]));
        let best = rates.reduce(better).expect("there are rates");
        let noises = NOISES.into_iter().filter(|&noise| noise != NOISES[2]);
        let best = noises.map(|noise| attempt(best.rate, noise)).fold(best.clone(), better);
        Gaussian {
            binning: binning.clone(),
            rows: rows.to_vec(),
            rate: best.rate,
            mean,
            variance: best.variance,
            factor: best.factor,
            weights: best.weights,
        }
    }

    /// What is known of the value of `row`, noise left out.
    pub fn predict(&self, row: &Row) -> Normal {
        let mut near: Vec<f64> = self
            .rows
            .iter()
            .map(|known| libm::exp(-self.rate * self.binning.distance(known, row)))
            .collect();
        let mean = self.mean + near.iter().zip(&self.weights).map(|(k, w)| k * w).sum::<f64>();
        self.factor.solve_lower(&mut near);
        let explained: f64 = near.iter().map(|x| x * x).sum();
        Normal { mean, deviation: (self.variance * (1.0 - explained).max(1e-9)).sqrt() }
    }

    /// The mean of [`Gaussian::predict`] alone, which is far cheaper.
    pub fn mean(&self, row: &Row) -> f64 {
        let near = |known: &Row| libm::exp(-self.rate * self.binning.distance(known, row));
        self.mean + self.rows.iter().zip(&self.weights).map(|(k, w)| near(k) * w).sum::<f64>()
    }
}

/// A choice of rate and noise.
#[derive(Clone)]
struct Attempt {
    rate: f64,
    /// Negative logarithm of the marginal likelihood, without constants.
    loss: f64,
    variance: f64,
    factor: Cholesky,
    weights: Vec<f64>,
}

impl Attempt {
    fn new(distances: &[Vec<f64>], centred: &[f64], rate: f64, noise: f64) -> Attempt {
        let diagonal = |i: usize, j: usize| if i == j { noise } else { 0.0 };
        let row = |(i, row): (usize, &Vec<f64>)| -> Vec<f64> {
            row.iter().enumerate().map(|(j, d)| libm::exp(-rate * d) + diagonal(i, j)).collect()
        };
        let factor = Cholesky::new(distances.iter().enumerate().map(row).collect());
        let mut weights = centred.to_vec();
        factor.solve_lower(&mut weights);
        let count = centred.len() as f64;
        let fit: f64 = weights.iter().map(|w| w * w).sum();
        // The variance of largest likelihood; where all targets are equal, next to none.
        let variance = (fit / count).max(1e-12);
        factor.solve_upper(&mut weights);
        let loss = 0.5 * count * libm::log(variance) + factor.half_log_determinant();
        Attempt { rate, loss, variance, factor, weights }
    }
}

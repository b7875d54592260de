//! Small statistics behind the figures: confidence intervals and quantiles.

use serde::{Deserialize, Serialize};

/// A share of `total` with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Out of how many.
    pub total: usize,
    /// `100 * count / total`; 0 where `total` is 0.
    pub percent: f64,
    /// Lower end of the 95 % Wilson interval, percent.
    pub low: f64,
    /// Upper end of the 95 % Wilson interval, percent.
    pub high: f64,
}

impl Share {
    /// `count` of `total` with Wilson's score interval (Wilson 1927), which stays inside
    /// [0, 100] and is honest near both ends, where the normal interval is not.
    pub fn of(count: usize, total: usize) -> Share {
        if total == 0 {
            return Share { count, total, percent: 0.0, low: 0.0, high: 100.0 };
        }
        let (low, high) = edgecut_train::metrics::wilson(count as u64, total as u64);
        let percent = 100.0 * count as f64 / total as f64;
        Share { count, total, percent, low: 100.0 * low, high: 100.0 * high }
    }
}

/// Times of repeated runs, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Number of runs.
    pub runs: usize,
    /// Fastest run: what the code can do when nothing disturbs it.
    pub min_ms: f64,
    /// Half of the runs are at most this long.
    pub median_ms: f64,
    /// 90 % of the runs are at most this long.
    pub p90_ms: f64,
    /// 99 % of the runs are at most this long.
    pub p99_ms: f64,
    /// Arithmetic mean.
    pub mean_ms: f64,
}

impl Times {
    /// Summary of `samples` in milliseconds; all zero where there are none.
    pub fn of(mut samples: Vec<f64>) -> Times {
        samples.sort_by(f64::total_cmp);
        let mean_ms = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
        Times {
            runs: samples.len(),
            min_ms: samples.first().copied().unwrap_or(0.0),
            median_ms: quantile(&samples, 0.5),
            p90_ms: quantile(&samples, 0.9),
            p99_ms: quantile(&samples, 0.99),
            mean_ms,
        }
    }
}

/// Nearest-rank quantile: the smallest sample that at least `q` of all samples do not exceed.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_matches_published_values() {
        // Newcombe 1998, table I: 81/263 gives 0.2553 to 0.3662.
        let share = Share::of(81, 263);
        assert!((share.low - 25.53).abs() < 0.01 && (share.high - 36.62).abs() < 0.01, "{share:?}");
        let all = Share::of(10, 10);
        assert!(all.high > 99.999 && all.low > 70.0 && all.low < 75.0);
        assert_eq!(Share::of(0, 0).high, 100.0);
    }

    #[test]
    fn quantiles_are_samples() {
        let times = Times::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            (times.min_ms, times.median_ms, times.p90_ms, times.p99_ms),
            (1.0, 50.0, 90.0, 99.0)
        );
        assert_eq!(Times::of(vec![]).p99_ms, 0.0);
    }
}

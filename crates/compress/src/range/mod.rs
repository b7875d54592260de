//! Which range of real numbers the 256 bytes of an activation should span.

mod entropy;
mod mse;

use serde::{Deserialize, Serialize};

use crate::{CompressError, Histogram, Result};

/// How a range is chosen from the values seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeMethod {
    /// From the smallest to the largest value: nothing is clipped.
    MinMax,
    /// The range that holds this percentage of the values, cut equally on both sides, above 50 up
    /// to 100. Clipping outliers buys resolution for the others.
    Percentile(f64),
    /// The range of least expected square error: clipping error of what lies outside plus
    /// rounding error `step^2 / 12` of what lies inside, except exact zeros, which have none.
    #[default]
    Mse,
    /// The range whose quantised values have the distribution nearest to that of the values, by
    /// Kullback-Leibler divergence.
    Entropy,
}

impl RangeMethod {
    /// Fails where the percentage is out of range.
    pub fn check(self) -> Result<()> {
        match self {
            RangeMethod::Percentile(p) if !(p > 50.0 && p <= 100.0) => {
                Err(CompressError::Setting {
                    field: "percentile",
                    value: p.to_string(),
                    expected: "above 50 and at most 100, such as 99.99",
                })
            }
            _ => Ok(()),
        }
    }

    /// The range for the values of `histogram`.
    pub fn range(self, histogram: &Histogram) -> Range {
        if histogram.total() == 0 {
            return Range { low: 0.0, high: 0.0 };
        }
        let all = Range { low: histogram.min(), high: histogram.max() };
        match self {
            RangeMethod::MinMax => all,
            RangeMethod::Percentile(p) => percentile(histogram, p).within(all),
            RangeMethod::Mse => mse::least_square_error(histogram, all),
            RangeMethod::Entropy => entropy::least_divergence(histogram, all),
        }
    }
}

/// An interval of real numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// Lower end.
    pub low: f32,
    /// Upper end.
    pub high: f32,
}

impl Range {
    /// The smallest interval that holds all `values`; `0..=0` where there are none.
    pub fn of(values: &[f32]) -> Range {
        let ends = values
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
        if ends.0 > ends.1 {
            Range { low: 0.0, high: 0.0 }
        } else {
            Range { low: ends.0, high: ends.1 }
        }
    }

    /// The smallest interval that holds both.
    pub fn union(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Distance of the ends.
    pub fn width(self) -> f32 {
        self.high - self.low
    }

    fn within(self, outer: Range) -> Range {
        Range { low: self.low.max(outer.low), high: self.high.min(outer.high) }
    }
}

fn percentile(histogram: &Histogram, percent: f64) -> Range {
    let cut = histogram.total() as f64 * (100.0 - percent) / 200.0;
    // The first bin, from either end, with which more than `cut` values are left behind.
    let edge = |bins: &mut dyn Iterator<Item = (f64, u64)>| {
        let mut seen = 0.0;
        let mut found = 0.0;
        for (edge, count) in bins {
            seen += count as f64;
            found = edge;
            if seen > cut {
                break;
            }
        }
        found
    };
    let low = edge(&mut histogram.bins());
    let high = edge(&mut histogram.bins().rev()) + histogram.bin_width();
    Range { low: low as f32, high: high as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;

    fn normal(count: usize) -> Histogram {
        let mut rng = Rng::new(1);
        let mut h = Histogram::new();
        let values: Vec<f32> = (0..count).map(|_| rng.normal()).collect();
        assert!(h.add(&values));
        h
    }

    #[test]
    fn min_max_is_exact() {
        let mut h = Histogram::new();
        assert!(h.add(&[0.3, -1.7, 5.2]));
        assert_eq!(RangeMethod::MinMax.range(&h), Range { low: -1.7, high: 5.2 });
    }

    #[test]
    fn percentile_finds_quantiles_of_the_normal_distribution() {
        let range = RangeMethod::Percentile(95.0).range(&normal(100_000));
        assert!((range.high - 1.96).abs() < 0.05 && (range.low + 1.96).abs() < 0.05, "{range:?}");
        let all = RangeMethod::Percentile(100.0).range(&normal(1000));
        assert_eq!(all, RangeMethod::MinMax.range(&normal(1000)));
    }

    #[test]
    fn least_error_clips_a_lonely_outlier() {
        let mut h = normal(100_000);
        assert!(h.add(&[100.0]));
        let range = RangeMethod::Mse.range(&h);
        assert!(range.high < 95.0 && range.high > 3.0 && range.low < -3.0, "{range:?}");
    }

    #[test]
    fn constants_have_a_range() {
        for value in [0.0, 3.0, -3.0] {
            let mut h = Histogram::new();
            assert!(h.add(&[value; 10]));
            for method in [
                RangeMethod::MinMax,
                RangeMethod::Percentile(99.0),
                RangeMethod::Mse,
                RangeMethod::Entropy,
            ] {
                let range = method.range(&h);
                assert!(range.low <= value && value <= range.high, "{method:?} {value} {range:?}");
            }
        }
    }

    #[test]
    fn percentages_are_checked() {
        assert!(RangeMethod::Percentile(99.9).check().is_ok());
        for bad in [50.0, 100.5, f64::NAN, -1.0] {
            assert!(RangeMethod::Percentile(bad).check().is_err());
        }
    }
}

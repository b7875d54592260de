//! Distribution of a tensor's values, in memory that does not depend on how many there are.
//!
//! Bins are `2^e` wide and cover `[-2048 * 2^e, 2048 * 2^e)`, with an edge at 0. When a value
//! falls outside, `e` grows and neighbouring bins merge. Since the edges of a wider grid are edges
//! of every finer one, merging is exact: the histogram is a function of the values alone, whatever
//! their order and however they were batched. Between 1024 and 2048 bins lie on the side of the
//! largest magnitude, so a quantile is known to 0.1 % of it.

/// Bins on each side of zero.
const HALF: usize = 2048;
/// Finest bins: values below 2^-49 need not be told apart.
const FINEST: i32 = -60;

/// Counts of a tensor's values, with their extremes.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Width of a bin is `2^exponent`.
    exponent: i32,
    counts: Vec<u64>,
    total: u64,
    zeros: u64,
    min: f32,
    max: f32,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Histogram {
        Histogram {
            exponent: FINEST,
            counts: vec![0; 2 * HALF],
            total: 0,
            zeros: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }

    /// Counts `values`. Returns false, with nothing counted, where one is NaN or infinite.
    #[must_use]
    pub fn add(&mut self, values: &[f32]) -> bool {
        let mut finite = true;
        let (mut low, mut high) = (self.min, self.max);
        for &x in values {
            finite &= x.is_finite();
            low = if x < low { x } else { low };
            high = if x > high { x } else { high };
        }
        if !finite || values.is_empty() {
            return finite;
        }
        (self.min, self.max) = (low, high);
        self.widen(exponent_for(low.abs().max(high.abs())));
        // Double precision: the scaled value is exact, whatever the exponents.
        let per_width = 2f64.powi(-self.exponent);
        for &x in values {
            let scaled = f64::from(x) * per_width;
            let truncated = scaled as i32;
            let bin = truncated - i32::from(f64::from(truncated) > scaled);
            self.counts[(bin + HALF as i32) as usize] += 1;
            self.zeros += u64::from(x == 0.0);
        }
        self.total += values.len() as u64;
        true
    }

    /// Merges bins until they are `2^exponent` wide, if they are finer.
    fn widen(&mut self, exponent: i32) {
        if exponent <= self.exponent {
            return;
        }
        let shift = (exponent - self.exponent).min(31);
        let old = std::mem::replace(&mut self.counts, vec![0; 2 * HALF]);
        for (index, count) in old.into_iter().enumerate().filter(|&(_, count)| count > 0) {
            let bin = (index as i32 - HALF as i32) >> shift;
            self.counts[(bin + HALF as i32) as usize] += count;
        }
        self.exponent = exponent;
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Number of values that are exactly 0.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Smallest value; infinite where there is none.
    pub fn min(&self) -> f32 {
        self.min
    }

    /// Largest value; negative infinite where there is none.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// Width of a bin.
    pub fn bin_width(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// Share of the values that lie outside of `low..=high`, to the width of a bin.
    pub fn beyond(&self, low: f32, high: f32) -> f64 {
        let (low, high) = (f64::from(low) - self.bin_width(), f64::from(high) + self.bin_width());
        let outside = self.bins().filter(|&(edge, _)| {
            let middle = edge + self.bin_width() / 2.0;
            middle < low || middle > high
        });
        outside.map(|(_, count)| count).sum::<u64>() as f64 / self.total.max(1) as f64
    }

    /// Every bin that is not empty, ascending, as (lower edge, count).
    pub fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, u64)> {
        let width = self.bin_width();
        let edge = move |index: usize| (index as f64 - HALF as f64) * width;
        let filled = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        filled.map(move |(index, &count)| (edge(index), count))
    }
}

/// The exponent of bins that just cover magnitude `x`: `x < 2048 * 2^e`.
fn exponent_for(x: f32) -> i32 {
    let biased = (x.to_bits() >> 23) as i32;
    // x < 2^(biased - 126), subnormals included.
    (biased - 126 - HALF.ilog2() as i32).max(FINEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_and_batches_do_not_matter(
            values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 1..200),
            cut in 0usize..200,
        ) {
            let mut whole = Histogram::new();
            prop_assert!(whole.add(&values));
            let mut parts = Histogram::new();
            let (a, b) = values.split_at(cut.min(values.len()));
            for v in b.iter().rev() {
                prop_assert!(parts.add(&[*v]));
            }
            prop_assert!(parts.add(a));
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(whole.bins().map(|(_, n)| n).sum::<u64>(), values.len() as u64);
            let (first, last) = (whole.bins().next().unwrap(), whole.bins().next_back().unwrap());
            let width = whole.bin_width();
            prop_assert!(first.0 <= whole.min().into() && f64::from(whole.min()) < first.0 + width);
            prop_assert!(last.0 <= whole.max().into() && f64::from(whole.max()) < last.0 + width);
        }
    }

    #[test]
    fn bins_are_fine_enough() {
        for max in [1e-6f32, 0.9, 1.0, 5.999, 6.0, 1e30] {
            let mut h = Histogram::new();
            assert!(h.add(&[0.0, max]));
            assert!(h.bin_width() <= f64::from(max) / 1024.0, "{max}");
        }
    }

    #[test]
    fn nan_and_infinity_are_refused() {
        let mut h = Histogram::new();
        assert!(h.add(&[1.0]) && !h.add(&[0.0, f32::NAN]) && !h.add(&[f32::INFINITY]));
        assert_eq!((h.total(), h.max()), (1, 1.0));
    }
}

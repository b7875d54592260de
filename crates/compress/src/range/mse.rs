//! The range of least expected square error.

use super::Range;
use crate::Histogram;

/// Ends tried on each side: fractions i/STEPS of the extreme value.
const STEPS: usize = 64;

pub(super) fn least_square_error(histogram: &Histogram, all: Range) -> Range {
    let (low, high) = (f64::from(all.low.min(0.0)), f64::from(all.high.max(0.0)));
    let (below, above) = (clipping(histogram, low), clipping(histogram, high));
    let rounded = (histogram.total() - histogram.zeros()) as f64;
    let mut best = (f64::INFINITY, all);
    // Descending, so that of equal errors the widest range wins.
    for i in (0..=STEPS).rev() {
        for j in (0..=STEPS).rev() {
            let at = |end: f64, i: usize| end * i as f64 / STEPS as f64;
            let (l, h) = (at(low, i), at(high, j));
            let step = (h - l) / 255.0;
            let inside = rounded - below[i].0 - above[j].0;
            let error = below[i].1 + above[j].1 + inside * step * step / 12.0;
            if error < best.0 {
                best = (error, Range { low: l as f32, high: h as f32 });
            }
        }
    }
    best.1
}

/// For every fraction of `end`: how many values lie beyond it, and the sum of their squared
/// distances from it.
fn clipping(histogram: &Histogram, end: f64) -> Vec<(f64, f64)> {
    let middle = histogram.bin_width() / 2.0;
    let beyond = |limit: f64| {
        let mut sums = (0.0, 0.0);
        for (edge, count) in histogram.bins() {
            let distance = (edge + middle - limit) * end.signum();
            // Bins on the other side of zero belong to the other end.
            if distance > 0.0 && (edge + middle) * end > 0.0 {
                sums.0 += count as f64;
                sums.1 += count as f64 * distance * distance;
            }
        }
        sums
    };
    (0..=STEPS).map(|i| beyond(end * i as f64 / STEPS as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use edgecut_graph::rng::Rng;

    /// Quantises every value with every pair of ends.
    fn naive(values: &[f32], all: Range) -> f64 {
        let mut best = f64::INFINITY;
        for i in 1..=STEPS {
            for j in 1..=STEPS {
                let at = |end: f32, i: usize| end * i as f32 / STEPS as f32;
                let range = Range { low: at(all.low, i), high: at(all.high, j) };
                best = best.min(error(values, range));
            }
        }
        best
    }

    fn error(values: &[f32], range: Range) -> f64 {
        let params = Params::for_range(range);
        let back =
            |x: f32| (f32::from(params.quantize(x)) - f32::from(params.zero_point)) * params.scale;
        values.iter().map(|&x| f64::from(x - back(x)).powi(2)).sum()
    }

    /// The error that is really made is near the least that any of the tried ranges makes.
    #[test]
    fn close_to_trying_all_ranges_on_the_values() {
        for seed in 0..4 {
            let mut rng = Rng::new(seed);
            let tail = |x: f32| if seed % 2 == 0 { x } else { x * x * x };
            let values: Vec<f32> = (0..1500).map(|_| tail(rng.normal())).collect();
            let mut histogram = Histogram::new();
            assert!(histogram.add(&values));
            let all = Range { low: histogram.min(), high: histogram.max() };
            let ours = error(&values, least_square_error(&histogram, all));
            let best = naive(&values, all);
            assert!(ours <= best * 1.15, "seed {seed}: {ours} against {best}");
        }
    }
}

//! The range of least Kullback-Leibler divergence.
//!
//! For a candidate range, P is the histogram with what lies outside added to its outermost bins,
//! and Q is P after quantisation: each of the 256 steps spreads its count evenly over those of its
//! bins that hold something (Migacz 2017, "8-bit inference with TensorRT"). Exact zeros take no
//! part: a ReLU makes so many of them that they would hide the shape of the rest, and they are
//! exact under every range.

use super::Range;
use crate::Histogram;

/// Fractions of the largest magnitude that are tried.
const STEPS: usize = 128;
/// The narrowest range tried, as steps: below it most values would be clipped.
const FIRST: usize = 6;
/// Quantisation steps of a range.
const LEVELS: f64 = 255.0;
/// Probability of a bin that quantisation leaves empty.
const FLOOR: f64 = 1e-12;

/// Values beyond a magnitude are clipped, on both sides. Of equal divergences the widest range wins.
pub(super) fn least_divergence(histogram: &Histogram, all: Range) -> Range {
    let (low, high) = (f64::from(all.low.min(0.0)), f64::from(all.high.max(0.0)));
    let bins = bins(histogram);
    let mut best = (f64::INFINITY, all);
    for i in (FIRST..=STEPS).rev() {
        let most = (-low).max(high) * i as f64 / STEPS as f64;
        let (l, h) = (low.max(-most), high.min(most));
        let divergence = divergence(&bins, l, h);
        if divergence < best.0 {
            let range = if i == STEPS { all } else { Range { low: l as f32, high: h as f32 } };
            best = (divergence, range);
        }
    }
    best.1
}

/// Middle and count of each bin, without exact zeros.
fn bins(histogram: &Histogram) -> Vec<(f64, f64)> {
    let (width, zeros) = (histogram.bin_width(), histogram.zeros());
    let count = |edge: f64, count: u64| if edge == 0.0 { count - zeros.min(count) } else { count };
    let bins = histogram.bins().map(|(edge, n)| (edge + width / 2.0, count(edge, n) as f64));
    bins.filter(|&(_, n)| n > 0.0).collect()
}

fn divergence(bins: &[(f64, f64)], low: f64, high: f64) -> f64 {
    let step = (high - low) / LEVELS;
    if step <= 0.0 {
        return f64::INFINITY;
    }
    let level = |x: f64| ((x.clamp(low, high) - low) / step).round();
    let inside: Vec<(f64, f64)> =
        bins.iter().copied().filter(|&(x, _)| (low..=high).contains(&x)).collect();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return f64::INFINITY };
    let total: f64 = bins.iter().map(|&(_, n)| n).sum();
    let sum = |beyond: &dyn Fn(f64) -> bool| -> f64 {
        bins.iter().filter(|&&(x, _)| beyond(x)).map(|&(_, n)| n).sum()
    };
    let (below, above) = (sum(&|x| x < first.0), sum(&|x| x > last.0));
    let kept = total - below - above;
    let mut divergence = 0.0;
    let mut from = 0;
    while from < inside.len() {
        let here = level(inside[from].0);
        let to = from + inside[from..].iter().take_while(|&&(x, _)| level(x) == here).count();
        let mean = inside[from..to].iter().map(|&(_, n)| n).sum::<f64>() / (to - from) as f64;
        let q = (mean / kept).max(FLOOR);
        for (index, &(_, n)) in inside.iter().enumerate().take(to).skip(from) {
            let outside = if index == 0 { below } else { 0.0 }
                + if index + 1 == inside.len() { above } else { 0.0 };
            let p = (n + outside) / total;
            divergence += p * (p / q).ln();
        }
        from = to;
    }
    divergence
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::new();
        assert!(histogram.add(values));
        histogram
    }

    /// Uniform values lose by any clipping.
    #[test]
    fn uniform_values_keep_their_range() {
        let values: Vec<f32> = (0..20_000).map(|i| i as f32 / 20_000.0).collect();
        let h = histogram(&values);
        let all = Range { low: h.min(), high: h.max() };
        assert!(least_divergence(&h, all).high > 0.97 * all.high);
    }

    /// A lonely outlier is clipped, as the naive count over the values says too.
    #[test]
    fn an_outlier_is_clipped() {
        let mut rng = Rng::new(3);
        let mut values: Vec<f32> = (0..50_000).map(|_| rng.normal()).collect();
        values.push(60.0);
        let h = histogram(&values);
        let all = Range { low: h.min(), high: h.max() };
        let range = least_divergence(&h, all);
        assert!(range.high < 30.0 && range.high > 2.0, "{range:?}");
    }

    /// Divergence by its definition, over values rather than bins.
    #[test]
    fn equals_the_definition() {
        let mut rng = Rng::new(9);
        let values: Vec<f32> = (0..3000).map(|_| rng.normal()).collect();
        let h = histogram(&values);
        let (low, high) = (-2.0f64, 2.0f64);
        let width = h.bin_width();
        let mut p = std::collections::BTreeMap::new();
        for &v in &values {
            *p.entry((f64::from(v) / width).floor() as i64).or_insert(0.0f64) += 1.0;
        }
        let middle = |bin: i64| (bin as f64 + 0.5) * width;
        let within: Vec<i64> =
            p.keys().copied().filter(|&b| middle(b) >= low && middle(b) <= high).collect();
        let step = (high - low) / 255.0;
        let level = |bin: i64| ((middle(bin) - low) / step).round() as i64;
        let kept: f64 = within.iter().map(|b| p[b]).sum();
        let mut expected = 0.0;
        for &bin in &within {
            let mates: Vec<i64> =
                within.iter().copied().filter(|&b| level(b) == level(bin)).collect();
            let q = mates.iter().map(|b| p[b]).sum::<f64>() / mates.len() as f64 / kept;
            let mut count = p[&bin];
            if bin == within[0] {
                count += p.range(..bin).map(|(_, n)| n).sum::<f64>();
            }
            if bin == within[within.len() - 1] {
                count += p.range(bin + 1..).map(|(_, n)| n).sum::<f64>();
            }
            let probability = count / values.len() as f64;
            expected += probability * (probability / q).ln();
        }
        let got = divergence(&bins(&h), low, high);
        assert!((got - expected).abs() < 1e-9, "{got} {expected}");
    }
}

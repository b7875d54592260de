//! k-means on a line: exact on a fine histogram, then Lloyd's algorithm on all values.

use super::bfloat16;

/// Bins of the histogram: 64 for each of the 256 values that a palette may have.
const BINS: usize = 1 << 14;
/// Passes over all values at most, after the histogram; each lowers the error or is the last.
const PASSES: usize = 50;

/// At most `most` values, ascending, of least squared error to their nearest of `weights`, which are
/// finite: 0 is one of them where it is a weight. All are bfloat16 numbers. Weights of no more
/// different values keep them, rounded.
pub(super) fn centres(weights: &[f32], most: usize) -> Vec<f32> {
    // 0 and -0 are one value.
    let mut sorted: Vec<f32> = weights.iter().map(|w| w + 0.0).collect();
    sorted.sort_by(f32::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    let zero = distinct.contains(&0.0);
    if distinct.len() > most {
        let mut centres = histogram(&sorted, most);
        if zero && let Some(nearest) = centres.iter_mut().min_by(|a, b| a.abs().total_cmp(&b.abs()))
        {
            *nearest = 0.0;
        }
        let settled = Line::of(&sorted).settle(centres, zero);
        distinct = settled.into_iter().map(|centre| centre as f32).collect();
    }
    let mut centres: Vec<f32> = distinct.into_iter().map(bfloat16).collect();
    centres.dedup();
    centres
}

/// The one of `centres`, ascending, that is nearest to `weight`, the lower one of two.
pub(super) fn nearest(centres: &[f32], weight: f32) -> f32 {
    let above = centres.partition_point(|&c| c < weight);
    let around = &centres[above.saturating_sub(1)..centres.len().min(above + 1)];
    let far = |c: f32| (c - weight).abs();
    let best = around.iter().copied().min_by(|&a, &b| far(a).total_cmp(&far(b)));
    best.unwrap_or(0.0)
}

/// Sorted values with their running sums: what any range of them sums to takes two look-ups.
struct Line<'a> {
    values: &'a [f32],
    sums: Vec<f64>,
}

impl Line<'_> {
    fn of(values: &[f32]) -> Line<'_> {
        let mut sum = 0.0;
        let mut sums = vec![0.0];
        sums.extend(values.iter().map(|&v| {
            sum += f64::from(v);
            sum
        }));
        Line { values, sums }
    }

    /// Lloyd's algorithm: each centre becomes the mean of what is nearest to it, until none moves; 0,
    /// where it is `fixed`, stays.
    fn settle(&self, mut centres: Vec<f64>, fixed: bool) -> Vec<f64> {
        for _ in 0..PASSES {
            let middle = |pair: &[f64]| {
                let middle = 0.5 * (pair[0] + pair[1]);
                self.values.partition_point(|&v| f64::from(v) < middle)
            };
            let mut ends: Vec<usize> = vec![0];
            ends.extend(centres.windows(2).map(middle));
            ends.push(self.values.len());
            let stays = |centre: f64| fixed && centre == 0.0;
            let mean = |(e, &centre): (&[usize], &f64)| match e[1] - e[0] {
                _ if stays(centre) => Some(0.0),
                0 => None,
                count => Some((self.sums[e[1]] - self.sums[e[0]]) / count as f64),
            };
            let means: Vec<f64> = ends.windows(2).zip(&centres).filter_map(mean).collect();
            if means == centres {
                break;
            }
            centres = means;
        }
        centres
    }
}

/// The `k` means of least squared error of the histogram of `sorted`, by dynamic programming: the best
/// `c` clusters of the first bins are the best `c - 1` of fewer, and one of the rest. Where the rest
/// begins grows with where it ends, so that halving finds all of it in `k n log n` (Wu 1991).
fn histogram(sorted: &[f32], k: usize) -> Vec<f64> {
    let bins = Bins::of(sorted);
    let (n, k) = (bins.len(), k.min(bins.len()));
    let mut errors: Vec<f64> = (0..=n).map(|end| bins.error(0, end)).collect();
    let mut starts: Vec<Vec<u32>> = vec![vec![0; n + 1]];
    for clusters in 2..=k {
        let (error, start) = (vec![0.0; n + 1], vec![0; n + 1]);
        let mut best = Best { bins: &bins, fewer: &errors, error, start };
        best.find((clusters, n), (clusters - 1, n - 1));
        let Best { error, start, .. } = best;
        errors = error;
        starts.push(start);
    }
    let mut means = Vec::with_capacity(k);
    let mut end = n;
    for start in starts.iter().rev() {
        let start = start[end] as usize;
        means.push(bins.mean(start, end));
        end = start;
    }
    means.reverse();
    means
}

/// Bins of equal width that are not empty, as running sums of their counts, values and squares.
struct Bins(Vec<[f64; 3]>);

impl Bins {
    fn of(sorted: &[f32]) -> Bins {
        let (low, high) = (f64::from(sorted[0]), f64::from(sorted[sorted.len() - 1]));
        let bin = |&v: &f32| ((f64::from(v) - low) / (high - low) * BINS as f64) as usize;
        let mut sums = vec![[0.0; 3]];
        let mut sum = [0.0; 3];
        for bin in sorted.chunk_by(|a, b| bin(a) == bin(b)) {
            for v in bin.iter().copied().map(f64::from) {
                sum = [sum[0] + 1.0, sum[1] + v, sum[2] + v * v];
            }
            sums.push(sum);
        }
        Bins(sums)
    }

    fn len(&self) -> usize {
        self.0.len() - 1
    }

    fn sums(&self, start: usize, end: usize) -> [f64; 3] {
        std::array::from_fn(|i| self.0[end][i] - self.0[start][i])
    }

    fn mean(&self, start: usize, end: usize) -> f64 {
        let [count, sum, _] = self.sums(start, end);
        sum / count
    }

    /// Squared distances to the mean.
    fn error(&self, start: usize, end: usize) -> f64 {
        let [count, sum, squares] = self.sums(start, end);
        if count > 0.0 { squares - sum * sum / count } else { 0.0 }
    }
}

/// The best clusters of the first bins, from those with one cluster fewer.
struct Best<'a> {
    bins: &'a Bins,
    /// Least error of the first 0, 1, ... bins in one cluster fewer.
    fewer: &'a [f64],
    error: Vec<f64>,
    /// Where the last cluster begins.
    start: Vec<u32>,
}

impl Best<'_> {
    /// For the ends from the first to the last, whose starts are known to lie in a range.
    fn find(&mut self, (first, last): (usize, usize), (low, high): (usize, usize)) {
        if first > last {
            return;
        }
        let end = first.midpoint(last);
        let error = |start: usize| self.fewer[start] + self.bins.error(start, end);
        let starts = low..=high.min(end - 1);
        let best = starts.min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap_or(low);
        (self.error[end], self.start[end]) = (error(best), best as u32);
        self.find((first, end - 1), (low, best));
        self.find((end + 1, last), (best, high));
    }
}

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;

    use super::*;

    fn error(weights: &[f32], centres: &[f32]) -> f64 {
        weights.iter().map(|&w| f64::from(w - nearest(centres, w)).powi(2)).sum()
    }

    /// The least error of any cut of sorted values into `k` parts, each at its mean.
    fn least(sorted: &[f32], k: usize) -> f64 {
        if k == 1 {
            let mean = sorted.iter().sum::<f32>() / sorted.len() as f32;
            return sorted.iter().map(|v| f64::from(v - mean).powi(2)).sum();
        }
        let cuts = 1..=sorted.len() + 1 - k;
        let cut = |at: usize| least(&sorted[..at], 1) + least(&sorted[at..], k - 1);
        cuts.map(cut).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn few_values_are_clustered_as_well_as_any_cuts_can() {
        for seed in 0..8 {
            let mut rng = Rng::new(seed);
            let mut weights: Vec<f32> = (0..14).map(|_| rng.normal()).collect();
            weights.sort_by(f32::total_cmp);
            for k in 1..=4 {
                let (found, best) = (error(&weights, &centres(&weights, k)), least(&weights, k));
                // Values are rounded to 8 bits, which costs little where there is error at all.
                assert!(found < best * 1.02 + 1e-3, "{seed} {k}: {found}, {best}");
            }
        }
    }

    /// A uniform distribution has clusters of equal width: an error of width^2 / 12 each.
    #[test]
    fn uniform_weights_take_equal_steps() {
        let weights: Vec<f32> = (0..40_000).map(|i| (i as f32 + 0.5) / 20_000.0 - 1.0).collect();
        let mean = error(&weights, &centres(&weights, 16)) / 40_000.0;
        let expected = (2.0f64 / 16.0).powi(2) / 12.0;
        assert!((mean / expected - 1.0).abs() < 0.02, "{mean}, {expected}");
    }

    #[test]
    fn zero_is_a_value_where_it_is_a_weight() {
        let weights = [0.0, 1e-6, -1e-6, 0.5, 0.6, 0.0, -0.0, 3.0];
        let values = centres(&weights, 4);
        assert_eq!((values.len(), values.contains(&0.0)), (4, true), "{values:?}");
        let shared = weights.map(|w| nearest(&values, w));
        assert_eq!(shared.map(|w| nearest(&values, w)), shared);
        assert!(weights.iter().zip(shared).all(|(w, s)| *w != 0.0 || s == 0.0));
        assert_eq!(centres(&[0.0; 5], 2), [0.0]);
        assert_eq!(centres(&[0.25; 5], 2), [0.25]);
        assert_eq!(centres(&[1.0, 0.0, 2.0, 3.0, 0.0], 2), [0.0, 2.5]);
    }
}

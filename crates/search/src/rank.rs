//! Ranks, and how far two orders agree.

/// Rank of each value, 0 for the smallest; equal values share the mean of their ranks. Minus infinity
/// and NaN, by which a score says that there is none, come first.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let clean = |i: usize| if values[i].is_nan() { f64::NEG_INFINITY } else { values[i] };
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| clean(a).total_cmp(&clean(b)));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&a, &b| clean(a) == clean(b)) {
        // Ranks first, first + 1, ... have the mean first + (n - 1) / 2.
        let first = order.partition_point(|&i| clean(i) < clean(equal[0]));
        let mean = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&i| ranks[i] = mean);
    }
    ranks
}

/// Mean rank of each item over several scores, each with one value per item; larger is better.
///
/// # Panics
/// If scores differ in length.
pub fn mean_ranks(scores: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; scores.first().map_or(0, Vec::len)];
    for score in scores {
        assert_eq!(score.len(), sum.len(), "one value per item");
        sum.iter_mut().zip(ranks(score)).for_each(|(sum, rank)| *sum += rank);
    }
    sum.iter().map(|sum| sum / scores.len() as f64).collect()
}

/// Spearman's rank correlation, ties with mean ranks; 0 where one side does not vary.
///
/// # Panics
/// If the slices differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "pairs");
    correlation(&ranks(a), &ranks(b))
}

/// Kendall's tau-b: of all pairs of items, how many more have the same order on both sides than the
/// opposite one, over those that are no ties; 0 where one side does not vary.
///
/// # Panics
/// If the slices differ in length.
pub fn kendall(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "pairs");
    let sign = |values: &[f64], i: usize, j: usize| -> f64 {
        match values[i].partial_cmp(&values[j]) {
            Some(std::cmp::Ordering::Less) => -1.0,
            Some(std::cmp::Ordering::Greater) => 1.0,
            _ => 0.0,
        }
    };
    let (mut agree, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for i in 0..a.len() {
        for j in 0..i {
            let (x, y) = (sign(a, i, j), sign(b, i, j));
            agree += x * y;
            of_a += x * x;
            of_b += y * y;
        }
    }
    if of_a * of_b > 0.0 { agree / (of_a * of_b).sqrt() } else { 0.0 }
}

/// Pearson's correlation; 0 where one side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_ranks_and_failures_are_last() {
        let values = [3.0, f64::NAN, 1.0, 3.0, f64::NEG_INFINITY];
        assert_eq!(ranks(&values), [3.5, 0.5, 2.0, 3.5, 0.5]);
        assert_eq!(mean_ranks(&[vec![1.0, 2.0, 3.0], vec![9.0, 7.0, 8.0]]), [1.0, 0.5, 1.5]);
    }

    /// Of 4 items 6 pairs: a swap of neighbours leaves 5 - 1 of 6; a tie leaves 5 on one side.
    #[test]
    fn correlation_of_pairs() {
        assert_eq!(kendall(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 4.0]), 4.0 / 6.0);
        let tied = kendall(&[1.0, 1.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((tied - 5.0 / 30f64.sqrt()).abs() < 1e-12);
        assert_eq!(kendall(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
    }

    /// Values of the definition, worked by hand: 1 - 6 sum(d^2) / (n (n^2 - 1)) without ties.
    #[test]
    fn correlation_of_ranks() {
        assert_eq!(spearman(&[1.0, 2.0, 4.0, 8.0], &[0.1, 0.2, 0.3, 0.4]), 1.0);
        assert_eq!(spearman(&[1.0, 2.0, 4.0, 8.0], &[4.0, 3.0, 2.0, 1.0]), -1.0);
        let one_swap = spearman(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 4.0]);
        assert!((one_swap - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
    }
}

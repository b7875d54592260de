//! Counting what a classifier gets right.

use serde::{Deserialize, Serialize};

/// Counts of a classification, one sample at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Samples.
    pub total: u64,
    /// Samples whose best class is right.
    pub top1: u64,
    /// Samples whose right class is among the best five.
    pub top5: u64,
    /// `confusion[label * classes + predicted]`.
    pub confusion: Vec<u64>,
    classes: usize,
}

impl Counts {
    /// No samples yet.
    pub fn new(classes: usize) -> Counts {
        Counts { total: 0, top1: 0, top5: 0, confusion: vec![0; classes * classes], classes }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Counts one sample. `scores` has one number per class; `label` must be below that.
    pub fn add(&mut self, scores: &[f32], label: u32) {
        let label = label as usize;
        let rank = rank(scores, label);
        self.total += 1;
        self.top1 += u64::from(rank == 0);
        self.top5 += u64::from(rank < 5);
        self.confusion[label * self.classes + argmax(scores)] += 1;
    }

    /// Counts the rows of `scores`, `[labels.len(), classes]`.
    pub fn add_rows(&mut self, scores: &[f32], labels: &[u32]) {
        for (row, &label) in scores.chunks_exact(self.classes.max(1)).zip(labels) {
            self.add(row, label);
        }
    }

    /// Share of samples whose best class is right; 0 without samples.
    pub fn accuracy(&self) -> f64 {
        share(self.top1, self.total)
    }

    /// Share of samples whose right class is among the best five; 0 without samples.
    pub fn top5_accuracy(&self) -> f64 {
        share(self.top5, self.total)
    }

    /// Share of the samples of `class` that were recognised, or `None` where there are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let row = &self.confusion[class * self.classes..][..self.classes];
        let all = row.iter().sum();
        (all > 0).then(|| share(row[class], all))
    }

    /// Share of the samples called `class` that are, or `None` where nothing was called so.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let column = self.confusion.iter().skip(class).step_by(self.classes);
        let all = column.sum();
        (all > 0).then(|| share(self.confusion[class * self.classes + class], all))
    }

    /// 95 % confidence interval of the accuracy (Wilson score, 1927): unlike the normal
    /// approximation it stays within `[0, 1]` and is right near both ends.
    pub fn accuracy_interval(&self) -> (f64, f64) {
        wilson(self.top1, self.total)
    }
}

/// Wilson's 95 % interval of a proportion; `(0, 1)` without samples.
pub fn wilson(hits: u64, total: u64) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.959_963_984_540_054;
    let (n, p) = (total as f64, share(hits, total));
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// Position of the largest score, the first of equals; NaN never wins over a number.
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &score) in scores.iter().enumerate() {
        if score > scores[best] || (scores[best].is_nan() && !score.is_nan()) {
            best = i;
        }
    }
    best
}

/// Positions of the `k` largest scores, best first, equals in order of position.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| key(scores[b]).total_cmp(&key(scores[a])).then(a.cmp(&b)));
    order.truncate(k);
    order
}

/// How many classes are ahead of `label`, ties won by the earlier class.
fn rank(scores: &[f32], label: usize) -> usize {
    let own = key(scores[label]);
    let ahead = |(i, &s): (usize, &f32)| key(s) > own || (key(s) == own && i < label);
    scores.iter().enumerate().filter(|&p| ahead(p)).count()
}

fn key(score: f32) -> f32 {
    if score.is_nan() { f32::NEG_INFINITY } else { score }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ranks_and_confusion() {
        let mut counts = Counts::new(3);
        counts.add_rows(&[0.1, 0.7, 0.2, 0.5, 0.5, 0.0], &[1, 1]);
        assert_eq!((counts.total, counts.top1, counts.top5), (2, 1, 2));
        assert_eq!(counts.confusion, [0, 0, 0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(counts.accuracy(), 0.5);
        assert_eq!((counts.recall(1), counts.recall(0)), (Some(0.5), None));
        assert_eq!((counts.precision(1), counts.precision(2)), (Some(1.0), None));
    }

    #[test]
    fn nan_loses_and_ties_go_to_the_first() {
        assert_eq!(argmax(&[f32::NAN, -1.0, -1.0]), 1);
        assert_eq!(top_k(&[1.0, f32::NAN, 3.0, 3.0], 3), [2, 3, 0]);
        assert_eq!(rank(&[f32::NAN, 0.0], 0), 1);
    }

    #[test]
    fn interval_is_wilsons() {
        // 81 of 263, the example of Newcombe (Statistics in Medicine 17, 1998): 0.2553..0.3662.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}

//! What the network should answer: a row of `classes` numbers for each picture.

use crate::data::Batch;

/// How labels become targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    classes: usize,
    smoothing: f32,
    /// Weight of each class, or none.
    weights: Option<Vec<f32>>,
    rows: Vec<f32>,
}

impl Targets {
    /// `1 - smoothing` on the label, `smoothing` spread evenly over all classes (Szegedy et al. 2016,
    /// arXiv:1512.00567); with `weights`, one per class, the part that a class gets counts so often.
    ///
    /// # Panics
    /// If there are weights, but not one per class.
    pub fn new(classes: usize, smoothing: f32, weights: Option<Vec<f32>>) -> Targets {
        assert!(weights.as_ref().is_none_or(|w| w.len() == classes), "one weight per class");
        Targets { classes, smoothing, weights, rows: vec![] }
    }

    /// Targets of one picture each for `labels`, `[n, classes]`.
    ///
    /// # Panics
    /// If a label is not below the number of classes.
    pub fn of_labels(&mut self, labels: &[u32]) -> &[f32] {
        self.clear(labels.len());
        for (row, &label) in self.rows.chunks_exact_mut(self.classes).zip(labels) {
            row[label as usize] += 1.0 - self.smoothing;
        }
        self.weighted()
    }

    /// Targets of a batch: pictures that were mixed belong to both labels in their shares.
    ///
    /// # Panics
    /// If a label is not below the number of classes.
    pub fn of_batch(&mut self, batch: &Batch) -> &[f32] {
        self.clear(batch.n);
        let peak = 1.0 - self.smoothing;
        let rows = self.rows.chunks_exact_mut(self.classes);
        for ((row, &label), i) in rows.zip(&batch.labels).zip(0..) {
            let (other, share) = batch.mixed.get(i).copied().unwrap_or((label, 0.0));
            row[label as usize] += peak * (1.0 - share);
            row[other as usize] += peak * share;
        }
        self.weighted()
    }

    fn clear(&mut self, n: usize) {
        self.rows.clear();
        self.rows.resize(n * self.classes, self.smoothing / self.classes as f32);
    }

    fn weighted(&mut self) -> &[f32] {
        if let Some(weights) = &self.weights {
            for row in self.rows.chunks_exact_mut(self.classes) {
                row.iter_mut().zip(weights).for_each(|(t, w)| *t *= w);
            }
        }
        &self.rows
    }
}

/// Weights that make all classes count alike: `samples / (classes x samples of the class)`, 0 for a
/// class without samples.
pub fn balanced_weights(labels: impl Iterator<Item = u32>, classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    labels.for_each(|label| counts[label as usize] += 1);
    let samples: usize = counts.iter().sum();
    let weight = |&count: &usize| match count {
        0 => 0.0,
        count => (samples as f64 / (classes * count) as f64) as f32,
    };
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_smoothed_and_weighted() {
        let mut plain = Targets::new(4, 0.2, None);
        assert_eq!(plain.of_labels(&[2]), [0.05, 0.05, 0.85, 0.05]);
        let mut weighted = Targets::new(2, 0.0, Some(vec![3.0, 0.5]));
        assert_eq!(weighted.of_labels(&[0, 1]), [3.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn mixed_pictures_belong_to_both_labels() {
        let batch = Batch {
            labels: vec![0, 1, 2],
            mixed: vec![(1, 0.25), (1, 0.5), (0, 0.0)],
            n: 3,
            ..Batch::default()
        };
        let mut targets = Targets::new(3, 0.0, None);
        let expected = [0.75, 0.25, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(targets.of_batch(&batch), expected);
    }

    #[test]
    fn balanced_classes_count_alike() {
        let labels = [0, 0, 0, 2];
        let weights = balanced_weights(labels.into_iter(), 3);
        assert_eq!(weights[1], 0.0);
        assert!((weights[0] * 3.0 - weights[2]).abs() < 1e-6);
    }
}

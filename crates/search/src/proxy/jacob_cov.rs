//! Jacobian covariance (Mellor et al. 2020, arXiv:2006.04647v1, section 3): an image's row is the
//! gradient of the sum of its outputs by its pixels. Where rows are alike, a change to the image has
//! the same effect everywhere, and the network is hard to fit to all of them.

use edgecut_train::plan::PlanOptions;

use super::Job;
use super::linear_algebra::eigenvalues;
use crate::Result;

/// Keeps eigenvalues of 0 finite; the paper's.
const EPSILON: f64 = 1e-5;

/// `-sum(ln(v + k) + 1 / (v + k))` over the eigenvalues v of the matrix of correlations between rows;
/// at most about minus the number of images, where rows have nothing in common. BatchNorm takes the
/// statistics of the batch.
pub(super) fn score(job: &Job) -> Result<f64> {
    let images = job.images(2)?;
    let graph = job.fresh()?;
    let options = PlanOptions { taps: graph.inputs.clone(), ..PlanOptions::default() };
    let mut engine = job.engine(&graph, images, &options)?;
    engine.forward(job.pictures(&engine, images)?, images, true);
    engine.logits_gradient().fill(1.0);
    engine.tap_gradient(0).fill(0.0);
    engine.backward();
    let gradients = engine.tap_gradient(0);
    let Some(correlations) = correlations(gradients, images) else {
        return Ok(f64::NEG_INFINITY);
    };
    let term = |v: f64| {
        // Rounding may leave an eigenvalue of 0 slightly below it.
        let v = v.max(0.0) + EPSILON;
        libm::log(v) + 1.0 / v
    };
    Ok(-eigenvalues(correlations, images).into_iter().map(term).sum::<f64>())
}

/// Pearson's correlations between `rows` equal parts of `x`; `None` where one does not vary.
fn correlations(x: &[f32], rows: usize) -> Option<Vec<f64>> {
    let normalised = |row: &[f32]| -> Option<Vec<f64>> {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / row.len() as f64;
        let centred: Vec<f64> = row.iter().map(|&v| f64::from(v) - mean).collect();
        let length = centred.iter().map(|v| v * v).sum::<f64>().sqrt();
        (length > 0.0 && length.is_finite()).then(|| centred.iter().map(|v| v / length).collect())
    };
    let len = (x.len() / rows).max(1);
    let rows: Vec<Vec<f64>> = x.chunks_exact(len).map(normalised).collect::<Option<_>>()?;
    let dot = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Some(rows.iter().flat_map(|a| rows.iter().map(move |b| dot(a, b))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_by_hand() {
        let rows = [1.0, 2.0, 3.0, 6.0, 4.0, 2.0, 0.0, 1.0, 0.0];
        let found = correlations(&rows, 3).unwrap();
        let expected = [1.0, -1.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert!(correlations(&[1.0, 1.0, 0.0, 1.0], 2).is_none());
    }
}

//! ZiCo (Li et al. 2023, arXiv:2301.11300): gradients that are large and alike from batch to batch
//! promise fast training and a flat minimum.

use edgecut_train::params::Kind;
use edgecut_train::plan::PlanOptions;

use super::Job;
use crate::Result;

/// Batches that are compared, as in the published code; the batch is divided into so many.
const PARTS: usize = 2;

/// `sum over layers of ln(sum over weights of mean |g| / deviation of g)`, where g are the gradients of
/// the cross entropy of each half of the batch by the weights of a convolution or product, and BatchNorm
/// takes the statistics of the half. Weights whose gradients do not differ count nothing, and layers
/// without others neither.
pub(super) fn score(job: &Job) -> Result<f64> {
    let images = job.images(2 * PARTS)? / PARTS;
    let graph = job.fresh()?;
    let mut engine = job.engine(&graph, images, &PlanOptions::default())?;
    let pictures = job.pictures(&engine, images * PARTS)?;
    let labels = labels(job, engine.plan().classes())?;
    let mut gradients = vec![];
    let size = pictures.len() / PARTS;
    for (x, labels) in pictures.chunks_exact(size).zip(labels.chunks_exact(images)) {
        engine.forward(x, images, true);
        engine.loss(labels, 0.0);
        engine.backward();
        gradients.push(engine.gradients().to_vec());
    }
    let weights = engine.params().names().filter(|(_, kind, _)| *kind == Kind::Weight);
    let layers = weights.map(|(_, _, range)| {
        range.map(|at| steadiness(gradients.iter().map(|g| f64::from(g[at])))).sum::<f64>()
    });
    let mut layers = layers.filter(|&sum| sum > 0.0).peekable();
    if layers.peek().is_none() {
        return Ok(f64::NEG_INFINITY);
    }
    Ok(layers.map(libm::log).sum())
}

/// Mean magnitude over standard deviation; 0 where all are the same.
fn steadiness(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = PARTS as f64;
    let mean = values.clone().sum::<f64>() / n;
    let magnitude = values.clone().map(f64::abs).sum::<f64>() / n;
    let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    if variance > 0.0 { magnitude / variance.sqrt() } else { 0.0 }
}

/// The labels of the batch, which must be classes.
fn labels<'a>(job: &Job<'a>, classes: usize) -> Result<&'a [u32]> {
    let labels = &job.batch.labels;
    if labels.len() != job.batch.n {
        let (labels, images) = (labels.len(), job.batch.n);
        return Err(job.refuse(format!("the batch has {labels} labels for {images} images")));
    }
    match labels.iter().find(|&&label| label as usize >= classes) {
        Some(label) => {
            Err(job.refuse(format!("the batch has label {label}, and it knows {classes} classes")))
        }
        None => Ok(labels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steadiness_by_hand() {
        // Mean 2, deviation 1; mean 0, magnitude 3, deviation 3.
        assert_eq!(steadiness([1.0, 3.0].into_iter()), 2.0);
        assert_eq!(steadiness([-3.0, 3.0].into_iter()), 1.0);
        assert_eq!(steadiness([5.0, 5.0].into_iter()), 0.0);
    }
}

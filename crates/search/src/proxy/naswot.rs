//! NASWOT (Mellor et al. 2021, arXiv:2006.04647v3): an image's code has a bit for each activation, set
//! where it is switched on. Element (i, j) of the kernel counts the bits in which images i and j agree;
//! the logarithm of its determinant is large where codes differ.
//!
//! The paper's networks have ReLU. Others that let through what is above a point and little of what is
//! below (ReLU6, hard-swish, SiLU, GELU, ELU, PReLU, ...) have a bit in the same way, by the sign of
//! what goes in. Gates (sigmoid, hard-sigmoid, tanh) are not switched and have none.

use std::collections::BTreeMap;

use edgecut_graph::{Binary, Graph, Op, Unary, ValueId};
use edgecut_train::plan::PlanOptions;

use super::Job;
use super::linear_algebra::log_abs_det;
use crate::Result;

/// `ln |det K|` of the codes with BatchNorm by the statistics of the batch.
pub(super) fn score(job: &Job) -> Result<f64> {
    let images = job.images(2)?;
    let graph = job.fresh()?;
    let switched = switched(&graph);
    if switched.is_empty() {
        let problem = "it has no activation that is switched on or off, such as ReLU or hard-swish";
        return Err(job.refuse(problem.into()));
    }
    let taps = switched.keys().copied().collect();
    let options = PlanOptions { taps, ..PlanOptions::default() };
    let mut engine = job.engine(&graph, images, &options)?;
    engine.forward(job.pictures(&engine, images)?, images, true);
    let mut kernel = vec![0.0; images * images];
    for (tap, thresholds) in switched.values().enumerate() {
        for &threshold in thresholds {
            agreements(engine.tap(tap), images, threshold, &mut kernel);
        }
    }
    Ok(log_abs_det(kernel, images))
}

/// What goes into each switched activation of `graph`, and from where on it is switched on, once for
/// each of several that read the same value.
fn switched(graph: &Graph) -> BTreeMap<ValueId, Vec<f32>> {
    let mut all: BTreeMap<ValueId, Vec<f32>> = BTreeMap::new();
    for node in &graph.nodes {
        let (Some(threshold), Ok(x)) = (threshold(&node.op), node.input(0)) else { continue };
        all.entry(x).or_default().push(threshold);
    }
    all
}

/// From where on an activation is switched on; `None` for what is no such activation.
pub(super) fn threshold(op: &Op) -> Option<f32> {
    match op {
        Op::Binary(Binary::PRelu) => Some(0.0),
        Op::Unary(function) => match *function {
            Unary::Relu
            | Unary::LeakyRelu { .. }
            | Unary::HardSwish
            | Unary::Silu
            | Unary::Mish
            | Unary::Gelu { .. }
            | Unary::Elu { .. }
            | Unary::Selu { .. }
            | Unary::Celu { .. }
            | Unary::Softplus => Some(0.0),
            Unary::Clip { min, .. } if min.is_finite() => Some(min),
            Unary::ThresholdedRelu { alpha } => Some(alpha),
            _ => None,
        },
        _ => None,
    }
}

/// Adds to `kernel`, `[images, images]`, in how many places of `x`, `[images, ...]`, two images are on
/// the same side of `threshold`.
fn agreements(x: &[f32], images: usize, threshold: f32, kernel: &mut [f64]) {
    let len = x.len() / images;
    let code = |image: &[f32]| -> Vec<u64> {
        let bit = |word: u64, &v: &f32| word << 1 | u64::from(v > threshold);
        image.chunks(64).map(|values| values.iter().fold(0, bit)).collect()
    };
    let codes: Vec<Vec<u64>> = x.chunks_exact(len.max(1)).map(code).collect();
    for (i, a) in codes.iter().enumerate() {
        for (j, b) in codes.iter().enumerate().skip(i) {
            let differ: u64 = a.iter().zip(b).map(|(a, b)| u64::from((a ^ b).count_ones())).sum();
            let agree = (len as u64 - differ) as f64;
            kernel[i * images + j] += agree;
            if i != j {
                kernel[j * images + i] += agree;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements_are_counted_bit_by_bit() {
        let images = 3;
        let x: Vec<f32> = (0..images * 100).map(|i| ((i * 7919) % 13) as f32 - 6.0).collect();
        let mut kernel = vec![1.0; 9];
        agreements(&x, images, 0.5, &mut kernel);
        for (i, a) in x.chunks(100).enumerate() {
            for (j, b) in x.chunks(100).enumerate() {
                let same = a.iter().zip(b).filter(|(a, b)| (**a > 0.5) == (**b > 0.5)).count();
                assert_eq!(kernel[i * 3 + j], 1.0 + same as f64);
            }
        }
    }
}

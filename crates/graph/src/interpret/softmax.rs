//! Softmax and its logarithm along one dimension.

use super::Args;
use super::lines::lines;
use crate::{Data, Result};

/// `exp(x - max) / sum(exp(x - max))`; subtracting the maximum changes nothing but avoids overflow.
pub(super) fn softmax(args: &Args, axis: usize) -> Result<Data> {
    along(args, axis, |values| {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        values.iter_mut().for_each(|v| *v = libm::exp(*v - largest));
        let sum: f64 = values.iter().sum();
        values.iter_mut().for_each(|v| *v /= sum);
    })
}

/// `x - max - ln(sum(exp(x - max)))`.
pub(super) fn log_softmax(args: &Args, axis: usize) -> Result<Data> {
    along(args, axis, |values| {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = values.iter().map(|v| libm::exp(v - largest)).sum();
        let logarithm = libm::log(sum);
        values.iter_mut().for_each(|v| *v = *v - largest - logarithm);
    })
}

/// x / (p-norm of x); zero where the norm is zero.
pub(super) fn lp_norm(args: &Args, axis: usize, p: usize) -> Result<Data> {
    along(args, axis, |values| {
        let norm = match p {
            1 => values.iter().map(|v| v.abs()).sum(),
            _ => values.iter().map(|v| v * v).sum::<f64>().sqrt(),
        };
        values.iter_mut().for_each(|v| *v = if norm == 0.0 { 0.0 } else { *v / norm });
    })
}

/// Rewrites each line in float64 and rounds it.
fn along(args: &Args, axis: usize, rewrite: impl Fn(&mut [f64])) -> Result<Data> {
    let x = args.f32s(0)?;
    let mut result = vec![0f32; x.len()];
    let mut values = vec![];
    for line in lines(args.shape(), axis) {
        values.clear();
        values.extend(line.places().map(|at| f64::from(x[at])));
        rewrite(&mut values);
        line.places().zip(&values).for_each(|(at, &v)| result[at] = v as f32);
    }
    Ok(result.into())
}

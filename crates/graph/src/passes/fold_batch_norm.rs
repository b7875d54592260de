//! Batch normalisation with fixed statistics is affine per channel, so a convolution or fully
//! connected layer before it can absorb it.

use super::absorb::{Affine, fold};
use crate::{Graph, Node, Op, Result};

/// Folds every BatchNorm whose input is computed by a Conv, ConvTranspose or Gemm with constant parameters, for
/// it alone: with `s = scale / sqrt(var + epsilon)`, weights become `w * s` and the bias
/// `(b - mean) * s + bias`. Returns how many were folded; the others stay. The result differs from
/// the original by the rounding of the new weights to float32.
pub fn fold_batch_norm(graph: &mut Graph) -> Result<usize> {
    fold(graph, |graph, node| {
        Ok(match of_norm(graph, node)? {
            Some(affine) => Some((node.input(0)?, affine)),
            None => None,
        })
    })
}

/// The affine function of a BatchNorm with constant parameters.
fn of_norm(graph: &Graph, node: &Node) -> Result<Option<Affine>> {
    let Op::BatchNorm { epsilon, .. } = node.op else { return Ok(None) };
    for index in 1..5 {
        if graph.constant(node.input(index)?).is_none() {
            return Ok(None);
        }
    }
    let wide = |index: usize| -> Result<Vec<f64>> {
        Ok(graph.constant_f32s(node, index)?.iter().map(|&v| v.into()).collect())
    };
    let (scale, bias, mean, variance) = (wide(1)?, wide(2)?, wide(3)?, wide(4)?);
    let deviation = |v: &f64| (v + f64::from(epsilon)).sqrt();
    let factor: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / deviation(v)).collect();
    let offset = (0..factor.len()).map(|c| bias[c] - mean[c] * factor[c]).collect();
    Ok(Some(Affine { factor, offset }))
}

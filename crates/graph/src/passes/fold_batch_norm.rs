//! Batch normalisation with fixed statistics is affine per channel, so a convolution or fully
//! connected layer before it can absorb it.

use crate::{Graph, Node, Op, Result, Tensor, ValueId};

/// Folds every BatchNorm whose input is computed by a Conv or Gemm, with constant parameters, for
/// it alone: with `s = scale / sqrt(var + epsilon)`, weights become `w * s` and the bias
/// `(b - mean) * s + bias`. Returns how many were folded; the others stay. The result differs from
/// the original by the rounding of the new weights to float32.
pub fn fold_batch_norm(graph: &mut Graph) -> Result<usize> {
    let (mut producers, consumers) = (graph.producers(), graph.consumers());
    let mut folded = vec![];
    for index in 0..graph.nodes.len() {
        let norm = graph.nodes[index].clone();
        let Some(affine) = Affine::of(graph, &norm)? else { continue };
        let x = norm.input(0)?;
        let Some(layer) = producers[x.index()] else { continue };
        let is_private = consumers[x.index()].len() == 1 && !graph.is_output(x);
        if is_private && absorb(graph, layer, &affine)? {
            // The layer now computes the norm's output, and may absorb a second norm after it.
            producers[norm.output().index()] = Some(layer);
            graph.nodes[layer].outputs = norm.outputs;
            folded.push(index);
        }
    }
    super::tidy(graph, &folded)?;
    Ok(folded.len())
}

/// `y = x * factor + offset` per channel.
struct Affine {
    factor: Vec<f64>,
    offset: Vec<f64>,
}

impl Affine {
    /// The affine function of a BatchNorm with constant parameters.
    fn of(graph: &Graph, node: &Node) -> Result<Option<Affine>> {
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
}

/// Puts `affine` after the layer at `index` into its weights; false where it is of another kind
/// or its parameters are not constant.
fn absorb(graph: &mut Graph, index: usize, affine: &Affine) -> Result<bool> {
    let node = graph.nodes[index].clone();
    let channels = affine.factor.len();
    // Channel of each weight from its flat index: output channels are outermost in a
    // convolution, and rows or columns of B in a matrix product.
    let (inner, beta) = match node.op {
        Op::Conv(_) => (None, 1.0),
        Op::Gemm(gemm) if gemm.trans_b => (None, gemm.beta),
        Op::Gemm(gemm) => (Some(1), gemm.beta),
        _ => return Ok(false),
    };
    let weight_id = node.input(1)?;
    let Some(weight) = graph.constant(weight_id).cloned() else { return Ok(false) };
    let Some(bias) = channel_bias(graph, &node, channels)? else { return Ok(false) };
    let inner = inner.unwrap_or(weight.len() / channels.max(1)).max(1);
    let values = weight.f32s()?.iter().enumerate();
    let scaled: Vec<f32> =
        values.map(|(i, &w)| (f64::from(w) * affine.factor[i / inner % channels]) as f32).collect();
    let shifted: Vec<f32> = (0..channels)
        .map(|c| (f64::from(beta) * bias[c] * affine.factor[c] + affine.offset[c]) as f32)
        .collect();
    // New constants: other nodes may share the old ones.
    let weight = Tensor::new(weight.shape(), scaled)?;
    let weight_id = add_like(graph, weight_id, weight);
    let bias_name = format!("{}.folded_bias", graph.nodes[index].name);
    let bias_id = graph.add_constant(graph.unique_name(&bias_name), Tensor::vector(shifted));
    let layer = &mut graph.nodes[index];
    layer.inputs = vec![node.inputs[0], Some(weight_id), Some(bias_id)];
    if let Op::Gemm(gemm) = &mut layer.op {
        gemm.beta = 1.0;
    }
    Ok(true)
}

/// The layer's bias for each channel, zeros where it has none; `None` where it is not a constant
/// or differs between the rows of a Gemm.
fn channel_bias(graph: &Graph, node: &Node, channels: usize) -> Result<Option<Vec<f64>>> {
    let Some(id) = node.inputs.get(2).copied().flatten() else {
        return Ok(Some(vec![0.0; channels]));
    };
    let Some(bias) = graph.constant(id) else { return Ok(None) };
    let values = bias.f32s()?;
    let (last, len) = (bias.shape().last().copied().unwrap_or(1), bias.len());
    Ok(match len {
        1 => Some(vec![values[0].into(); channels]),
        _ if len == channels && last == channels => {
            Some(values.iter().map(|&v| v.into()).collect())
        }
        _ => None,
    })
}

fn add_like(graph: &mut Graph, old: ValueId, tensor: Tensor) -> ValueId {
    let name = graph.unique_name(&format!("{}.folded", graph.value(old).name));
    graph.add_constant(name, tensor)
}

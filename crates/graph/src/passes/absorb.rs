//! A layer of constant weights takes a function over that is affine per channel of its output.

use super::rewrite::Names;
use crate::{Graph, Node, Op, Result, Tensor, ValueId};

/// `y = x * factor + offset` per channel.
pub(super) struct Affine {
    pub(super) factor: Vec<f64>,
    pub(super) offset: Vec<f64>,
}

/// Puts every node that `meaning` finds to be an affine function of a value into the layer that
/// computes this value, where it is computed for that node alone. Returns how many went.
pub(super) fn fold(
    graph: &mut Graph,
    meaning: impl Fn(&Graph, &Node) -> Result<Option<(ValueId, Affine)>>,
) -> Result<usize> {
    let (mut producers, consumers) = (graph.producers(), graph.consumers());
    let mut names = Names::new(graph);
    let mut folded = vec![];
    for index in 0..graph.nodes.len() {
        let Some((x, affine)) = meaning(graph, &graph.nodes[index])? else { continue };
        let Some(layer) = producers[x.index()] else { continue };
        let is_private = consumers[x.index()].len() == 1 && !graph.is_output(x);
        let weight = graph.nodes[layer].inputs.get(1).copied().flatten();
        if is_private && absorb(graph, &mut names, layer, &affine)? {
            // Nobody reads the old weight any more: a network need not be held twice until `tidy`.
            let alone = |id: &ValueId| consumers.get(id.index()).is_none_or(|c| c.len() == 1);
            if let Some(weight) = weight.filter(|id| alone(id) && !graph.is_output(*id)) {
                graph.value_mut(weight).constant = None;
            }
            // The layer now computes this node's output, and may absorb another one after it.
            let outputs = graph.nodes[index].outputs.clone();
            outputs.iter().for_each(|o| producers[o.index()] = Some(layer));
            graph.nodes[layer].outputs = outputs;
            folded.push(index);
        }
    }
    super::tidy(graph, &folded)?;
    Ok(folded.len())
}

/// Puts `affine` after the layer at `index` into its weights; false where it is of another kind
/// or its parameters are not constant.
fn absorb(graph: &mut Graph, names: &mut Names, index: usize, affine: &Affine) -> Result<bool> {
    let node = graph.nodes[index].clone();
    let channels = affine.factor.len();
    let weight_id = match node.op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) => node.input(1)?,
        _ => return Ok(false),
    };
    let Some(weight) = graph.constant(weight_id).cloned() else { return Ok(false) };
    let Some(channel) = channel_of(&node.op, weight.shape()) else { return Ok(false) };
    if channel.count != channels {
        return Ok(false);
    }
    let Some(bias) = channel_bias(graph, &node, channels)? else { return Ok(false) };
    let beta = if let Op::Gemm(gemm) = node.op { gemm.beta } else { 1.0 };
    let values = weight.f32s()?.iter().enumerate();
    let scaled: Vec<f32> =
        values.map(|(i, &w)| (f64::from(w) * affine.factor[channel.of(i)]) as f32).collect();
    let shifted: Vec<f32> = (0..channels)
        .map(|c| (f64::from(beta) * bias[c] * affine.factor[c] + affine.offset[c]) as f32)
        .collect();
    // New constants: other nodes may share the old ones.
    let weight = Tensor::new(weight.shape(), scaled)?;
    let weight_name = graph.value(weight_id).name.clone();
    let weight_id = graph.add_constant(names.value(&format!("{weight_name}.folded")), weight);
    let bias_name = format!("{}.folded_bias", graph.nodes[index].name);
    let bias_id = graph.add_constant(names.value(&bias_name), Tensor::vector(shifted));
    let layer = &mut graph.nodes[index];
    layer.inputs = vec![node.inputs[0], Some(weight_id), Some(bias_id)];
    if let Op::Gemm(gemm) = &mut layer.op {
        gemm.beta = 1.0;
    }
    Ok(true)
}

/// Which output channel each weight belongs to, from its flat index.
struct Channels {
    /// Number of output channels.
    count: usize,
    /// Channels of one group.
    own: usize,
    /// Weights in a row of one channel.
    inner: usize,
    /// Weights of one group, whose channels are numbered behind those of the group before.
    group: usize,
}

impl Channels {
    fn of(&self, flat: usize) -> usize {
        flat / self.group * self.own + flat / self.inner % self.own
    }
}

/// Output channels are outermost in a convolution, second in a transposed one, and rows or columns
/// of B in a matrix product. `None` where there is no weight.
fn channel_of(op: &Op, shape: &[usize]) -> Option<Channels> {
    let len = shape.iter().product::<usize>();
    let (first, second) = (*shape.first()?, *shape.get(1)?);
    let (own, inner, groups) = match op {
        Op::Conv(_) => (first, len.checked_div(first)?, 1),
        Op::ConvTranspose(conv) => (second, shape[2..].iter().product(), conv.groups),
        Op::Gemm(gemm) if gemm.trans_b => (first, second, 1),
        Op::Gemm(_) => (second, 1, 1),
        _ => return None,
    };
    let group = len.checked_div(groups)?;
    let count = own.checked_mul(groups)?;
    (len > 0).then_some(Channels { count, own, inner, group })
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

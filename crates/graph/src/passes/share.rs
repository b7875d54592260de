//! What is computed twice can be computed once.

use std::collections::HashMap;

use super::rewrite::{redirect, same_tensor};
use crate::{DType, Graph, Op, Result, ValueId};

/// Nodes of the same operator and inputs become one, and so do equal stored numbers that are no
/// parameters: integers, and single floats beside layers. Weights stay apart even where they are
/// equal, as biases of zeros are, since training would tie them. Returns how many
/// nodes and constants went. Exact.
pub fn share_equal(graph: &mut Graph) -> Result<usize> {
    let mut alias: Vec<ValueId> = graph.value_ids().collect();
    let mut count = share_constants(graph, &mut alias);
    redirect(graph, &alias);
    let mut first: HashMap<(String, Vec<Option<ValueId>>), usize> = HashMap::new();
    for index in 0..graph.nodes.len() {
        for id in graph.nodes[index].inputs.iter_mut().flatten() {
            *id = alias[id.index()];
        }
        let node = &graph.nodes[index];
        // An output of the graph keeps its node, and with it its name.
        let returned = node.outputs.iter().any(|&o| graph.is_output(o));
        let key = (format!("{:?}", node.op), node.inputs.clone());
        match first.get(&key) {
            Some(&same) if !returned => {
                let pairs = node.outputs.iter().zip(&graph.nodes[same].outputs);
                pairs.for_each(|(from, to)| alias[from.index()] = *to);
                count += 1;
            }
            Some(_) => {}
            None => drop(first.insert(key, index)),
        }
    }
    super::finish(graph, count)
}

/// Maps constants to equal ones before them, and returns how many.
fn share_constants(graph: &Graph, alias: &mut [ValueId]) -> usize {
    let mut count = 0;
    let mut parameter = vec![false; graph.values().len()];
    for node in graph.nodes.iter().filter(|n| holds_parameters(&n.op)) {
        node.inputs.iter().flatten().for_each(|id| parameter[id.index()] = true);
    }
    let mut groups: HashMap<(DType, Vec<usize>, u64), Vec<ValueId>> = HashMap::new();
    for id in graph.value_ids() {
        let Some(tensor) = graph.constant(id) else { continue };
        let number = tensor.dtype() != DType::F32 || tensor.len() == 1;
        if parameter[id.index()] || !number || graph.is_output(id) || tensor.len() > MAX_COMPARED {
            continue;
        }
        let key = (tensor.dtype(), tensor.shape().to_vec(), digest(&tensor.to_f32()));
        let group = groups.entry(key).or_default();
        let same =
            |&&other: &&ValueId| graph.constant(other).is_some_and(|t| same_tensor(t, tensor));
        match group.iter().find(same) {
            Some(&other) => {
                alias[id.index()] = other;
                count += 1;
            }
            None if group.len() < MAX_GROUP => group.push(id),
            None => {}
        }
    }
    count
}

/// Largest constant worth comparing, in elements: parameters of quantisation and positions.
const MAX_COMPARED: usize = 1 << 14;
/// Most different constants of one digest, which only a file made for it has.
const MAX_GROUP: usize = 8;

fn holds_parameters(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::Gemm(_)
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::InstanceNorm { .. }
            | Op::GroupNorm { .. }
    )
}

/// FNV-1a over the bits.
fn digest(values: &[f32]) -> u64 {
    values.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, v| {
        (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

//! Which values of two networks belong together where nobody says it.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Op};

use super::FeatureLoss;

/// Pairs of values, by name, that `loss` can compare: the last one of every resolution that both have
/// as an image; for relations, what the classifiers read.
pub fn pairs(loss: FeatureLoss, student: &Graph, teacher: &Graph) -> Vec<(String, String)> {
    if loss == FeatureLoss::Relation {
        let both = embedding(student).zip(embedding(teacher));
        return both.into_iter().collect();
    }
    let (own, theirs) = (stages(student), stages(teacher));
    let pair =
        |(size, name): (&[usize; 2], &String)| Some((name.clone(), theirs.get(size)?.clone()));
    own.iter().filter_map(pair).collect()
}

/// The last value of each resolution of at least 2x2.
fn stages(graph: &Graph) -> BTreeMap<[usize; 2], String> {
    let mut stages = BTreeMap::new();
    for node in &graph.nodes {
        let Some(&value) = node.outputs.first() else { continue };
        let value = graph.value(value);
        if let [_, _, h, w] = value.shape.with_symbols(1)[..]
            && h * w >= 4
        {
            stages.insert([h, w], value.name.clone());
        }
    }
    stages
}

/// What the last linear layer, or a 1x1 convolution in its place, reads.
fn embedding(graph: &Graph) -> Option<String> {
    let last = graph
        .nodes
        .iter()
        .rev()
        .find(|node| matches!(node.op, Op::Gemm(_) | Op::MatMul | Op::Conv(_)))?;
    let value = last.input(0).ok()?;
    Some(graph.value(value).name.clone())
}

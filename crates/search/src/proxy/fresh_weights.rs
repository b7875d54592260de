//! Weights as a network has them before training.

use std::collections::BTreeSet;

use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Graph, Node, Op, Tensor, ValueId};

use crate::Result;

/// A copy of `graph` with untrained weights, and how many of its nodes have some. Weights and biases
/// of convolutions and products are uniform up to `1 / sqrt(fan-in)`, PyTorch's default, with which
/// proxies have been published; scales of normalisations are 1, their biases and running means 0,
/// running variances 1. A draw is a function of `seed` and the node's place in the graph.
///
/// # Errors
/// Constants whose shapes contradict their operator.
pub fn fresh_weights(graph: &Graph, seed: u64) -> Result<(Graph, usize)> {
    let mut fresh = graph.clone();
    // What several nodes read is drawn for the first of them.
    let mut drawn = BTreeSet::new();
    let mut count = 0;
    for (index, node) in graph.nodes.iter().enumerate() {
        for (input, fill) in fills(graph, node) {
            let Some(id) = node.inputs.get(input).copied().flatten() else { continue };
            let float = graph.constant(id).filter(|t| t.dtype() == DType::F32);
            let Some(old) = float.filter(|_| drawn.insert(id)) else { continue };
            let values = match fill {
                Fill::With(value) => vec![value; old.len()],
                Fill::Uniform(bound) => {
                    let mut rng = Rng::keyed(&[seed, index as u64, input as u64]);
                    (0..old.len()).map(|_| rng.range(-bound, bound)).collect()
                }
            };
            fresh.set_constant(id, Tensor::new(old.shape(), values)?);
            count += usize::from(matches!((fill, input), (Fill::Uniform(_), 0..=1)));
        }
    }
    Ok((fresh, count))
}

#[derive(Clone, Copy)]
enum Fill {
    With(f32),
    Uniform(f32),
}

/// The inputs of `node` that are parameters, and what they are filled with.
fn fills(graph: &Graph, node: &Node) -> Vec<(usize, Fill)> {
    let uniform = |weight: usize, fan_in: usize| {
        let fill = Fill::Uniform(1.0 / (fan_in.max(1) as f32).sqrt());
        vec![(weight, fill), (2, fill)]
    };
    let shape = |input: usize| constant_shape(graph, node.inputs.get(input).copied().flatten());
    match &node.op {
        // [m, c / groups, kh, kw], and of a transposed one [c, m / groups, kh, kw], whose fan-in
        // PyTorch takes from the same places.
        Op::Conv(_) | Op::ConvTranspose(_) => uniform(1, shape(1).iter().skip(1).product()),
        Op::Gemm(gemm) => {
            let rows = usize::from(gemm.trans_b);
            uniform(1, shape(1).get(rows).copied().unwrap_or(1))
        }
        Op::MatMul if shape(1).len() > 1 => uniform(1, shape(1)[shape(1).len() - 2]),
        Op::MatMul => uniform(0, shape(0).last().copied().unwrap_or(1)),
        Op::BatchNorm { .. } => {
            let fills = [1.0, 0.0, 0.0, 1.0].map(Fill::With);
            fills.into_iter().enumerate().map(|(i, fill)| (i + 1, fill)).collect()
        }
        Op::LayerNorm { .. } | Op::InstanceNorm { .. } | Op::GroupNorm { .. } => {
            vec![(1, Fill::With(1.0)), (2, Fill::With(0.0))]
        }
        _ => vec![],
    }
}

fn constant_shape(graph: &Graph, id: Option<ValueId>) -> Vec<usize> {
    id.and_then(|id| graph.constant(id)).map_or(vec![], |tensor| tensor.shape().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Builder, Window};

    #[test]
    fn every_parameter_is_new_and_depends_on_the_seed_alone() {
        let mut b = Builder::new("net", 1);
        let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
        let x = b.conv(x, "conv", 4, Window::same(3, 1), 1, true).unwrap();
        let x = b.batch_norm(x, "bn").unwrap();
        let x = b.global_average_pool(x).unwrap();
        let x = b.flatten(x).unwrap();
        let x = b.linear(x, "linear", 5).unwrap();
        let mut graph = b.finish(&[x]).unwrap();
        let (first, drawn) = fresh_weights(&graph, 7).unwrap();
        assert_eq!(drawn, 2);
        let values = |graph: &Graph, name: &str| {
            graph.constant(graph.find_value(name).unwrap()).unwrap().to_f32()
        };
        let bound = 1.0 / 27f32.sqrt();
        for (name, bound) in [("conv.weight", bound), ("conv.bias", bound), ("linear.bias", 0.5)] {
            let drawn = values(&first, name);
            assert!(drawn.iter().all(|v| v.abs() <= bound && *v != 0.0), "{name}");
        }
        // What was there before, trained or not, does not matter.
        let id = graph.find_value("bn.weight").unwrap();
        graph.set_constant(id, Tensor::vector(vec![3f32; 4]));
        let (again, _) = fresh_weights(&graph, 7).unwrap();
        let (other, _) = fresh_weights(&graph, 8).unwrap();
        assert_eq!(values(&again, "bn.weight"), [1.0; 4]);
        assert_eq!(values(&again, "conv.weight"), values(&first, "conv.weight"));
        assert_ne!(values(&other, "conv.weight"), values(&first, "conv.weight"));
    }
}

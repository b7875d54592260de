//! How far weights and quantisation parameters of nodes that are the same are apart.

use edgecut_graph::interpret::run_node;
use edgecut_graph::{Graph, Node, Op, Tensor, ValueId};
use serde::Serialize;

use crate::inspect::summary::extents;

/// Stored operands of paired nodes.
#[derive(Serialize, Default)]
pub struct Weights {
    /// Operands whose numbers are the same.
    pub equal: usize,
    /// Those whose numbers differ, or whose shapes do; the largest difference first.
    pub changed: Vec<Changed>,
}

/// A stored operand in both models.
#[derive(Serialize)]
pub struct Changed {
    /// Node, and which input of it.
    pub node: String,
    /// Position among the node's inputs.
    pub input: usize,
    /// Type as stored and shape, here and there.
    pub a: String,
    /// The same of the second model.
    pub b: String,
    /// How far the numbers that they stand for are apart; none where shapes differ.
    pub apart: Option<Apart>,
}

/// Differences of two tensors of one shape.
#[derive(Serialize, Clone, Copy, Debug, PartialEq)]
pub struct Apart {
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Mean absolute difference.
    pub mean_abs: f64,
    /// Root of the mean square of the difference, over that of the first tensor.
    pub relative: f64,
}

impl Apart {
    /// How far `a` and `b` are apart, element by element.
    pub fn of(a: &[f32], b: &[f32]) -> Apart {
        let (mut max_abs, mut sum, mut square, mut signal) = (0f64, 0f64, 0f64, 0f64);
        for (&x, &y) in a.iter().zip(b) {
            let (x, y) = (f64::from(x), f64::from(y));
            // Equal infinities and two NaNs agree.
            let d = if x == y || (x.is_nan() && y.is_nan()) { 0.0 } else { (x - y).abs() };
            let d = if d.is_nan() { f64::INFINITY } else { d };
            (max_abs, sum, square) = (max_abs.max(d), sum + d, square + d * d);
            signal += if x.is_finite() { x * x } else { 0.0 };
        }
        let relative = if square == 0.0 { 0.0 } else { (square / signal).sqrt() };
        Apart { max_abs, mean_abs: sum / a.len().max(1) as f64, relative }
    }
}

/// Scale and zero point of a paired Quantize or Dequantize node of activations that differ.
#[derive(Serialize)]
pub struct Requantised {
    /// The node.
    pub node: String,
    /// Scale and zero point of the first model.
    pub a: (f32, i64),
    /// The same of the second.
    pub b: (f32, i64),
}

/// Compares what paired nodes store: numbers of weights, parameters of activations.
pub fn compare((a, b): (&Graph, &Graph), pairs: &[(usize, usize)]) -> (Weights, Vec<Requantised>) {
    let (of_a, of_b) = (Stored::new(a), Stored::new(b));
    let (mut weights, mut requantised) = (Weights::default(), vec![]);
    for &(i, j) in pairs {
        let (x, y) = (&a.nodes[i], &b.nodes[j]);
        if matches!(x.op, Op::Quantize { .. } | Op::Dequantize { .. }) {
            let parameters = scale(a, x).zip(scale(b, y)).filter(|(a, b)| a != b);
            requantised.extend(parameters.map(|(a, b)| Requantised { node: x.name.clone(), a, b }));
            continue;
        }
        for input in 0..x.inputs.len().min(y.inputs.len()) {
            let Some((left, right)) = of_a.numbers(x, input).zip(of_b.numbers(y, input)) else {
                continue;
            };
            if left.tensor == right.tensor {
                weights.equal += 1;
            } else {
                weights.changed.push(Changed::new(x, input, &left, &right));
            }
        }
    }
    let size = |c: &Changed| c.apart.map_or(f64::INFINITY, |d| d.relative);
    weights.changed.sort_by(|x, y| size(y).total_cmp(&size(x)));
    (weights, requantised)
}

impl Changed {
    fn new(node: &Node, input: usize, a: &Numbers, b: &Numbers) -> Changed {
        let text = |n: &Numbers| format!("{} {}", n.stored, extents(n.tensor.shape()));
        let alike = a.tensor.shape() == b.tensor.shape();
        let apart = alike.then(|| Apart::of(&a.tensor.to_f32(), &b.tensor.to_f32()));
        Changed { node: node.name.clone(), input, a: text(a), b: text(b), apart }
    }
}

fn scale(graph: &Graph, node: &Node) -> Option<(f32, i64)> {
    let single = |index: usize| {
        let id = node.inputs.get(index).copied().flatten()?;
        graph.constant(id).filter(|t| t.len() == 1)
    };
    let zero = single(2).and_then(|t| t.to_i64().ok()?.first().copied()).unwrap_or(0);
    Some((*single(1)?.to_f32().first()?, zero))
}

/// What an operand that depends on constants alone amounts to.
struct Numbers {
    tensor: Tensor,
    /// Type that the file stores.
    stored: String,
}

/// Evaluates stored operands, such as a dequantised and transposed weight.
struct Stored<'a> {
    graph: &'a Graph,
    producers: Vec<Option<usize>>,
}

/// Longest chain of nodes from a stored tensor to its reader that is evaluated.
const MAX_CHAIN: usize = 8;

impl<'a> Stored<'a> {
    fn new(graph: &'a Graph) -> Stored<'a> {
        Stored { graph, producers: graph.producers() }
    }

    /// The numbers of a node's input: a stored tensor, as it is or after a few nodes that have no
    /// other operand but stored ones.
    fn numbers(&self, node: &Node, input: usize) -> Option<Numbers> {
        let mut id = node.inputs.get(input).copied().flatten()?;
        let mut chain = vec![];
        while self.graph.constant(id).is_none() {
            let maker = &self.graph.nodes[self.producers[id.index()]?];
            let others = maker.inputs.iter().skip(1).flatten();
            if chain.len() == MAX_CHAIN || others.into_iter().any(|&o| !self.is_stored(o)) {
                return None;
            }
            id = maker.inputs.first().copied().flatten()?;
            chain.push(maker);
        }
        let mut tensor = self.graph.constant(id)?.clone();
        let stored = tensor.dtype().to_string();
        for maker in chain.into_iter().rev() {
            tensor = run_node(self.graph, maker, &[Some(&tensor)]).ok()?.into_iter().next()?;
        }
        Some(Numbers { tensor, stored })
    }

    fn is_stored(&self, id: ValueId) -> bool {
        self.graph.constant(id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::Builder;

    #[test]
    fn differences_are_of_the_numbers_that_codes_stand_for() {
        let with = |weight: Option<Tensor>| {
            let mut b = Builder::new("net", 0);
            let x = b.input("x", [1.into(), 2.into()]);
            let w = match weight {
                Some(w) => b.constant("w", w),
                None => {
                    let codes = b.constant("w", Tensor::new([2, 2], vec![4i8, 2, 0, -2]).unwrap());
                    let scale = b.constant("scale", Tensor::scalar(0.5));
                    b.apply("dequantised", Op::Dequantize { axis: 0 }, &[codes, scale]).unwrap()
                }
            };
            let y = b.apply("product", Op::MatMul, &[x, w]).unwrap();
            b.finish(&[y]).unwrap()
        };
        let float = |last: f32| Tensor::new([2, 2], vec![2.0f32, 1.0, 0.0, last]).unwrap();
        let coded = with(None);
        for (last, equal) in [(-1.0, 1), (-1.5, 0)] {
            let other = with(Some(float(last)));
            // The nodes are the products: the dequantised weight has no counterpart.
            let pairs = [(1, 0)];
            let (weights, requantised) = compare((&coded, &other), &pairs);
            assert_eq!((weights.equal, requantised.len()), (equal, 0));
            if let [changed] = weights.changed.as_slice() {
                assert_eq!((changed.a.as_str(), changed.b.as_str()), ("int8 2x2", "float32 2x2"));
                let apart = changed.apart.unwrap();
                assert_eq!((apart.max_abs, apart.mean_abs), (0.5, 0.125));
            } else {
                assert_eq!(weights.changed.len(), 1 - equal);
            }
        }
    }
}

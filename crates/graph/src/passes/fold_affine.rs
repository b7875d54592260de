//! Factors and sums per channel behind a layer, which PaddlePaddle's exporter and hand-folded
//! normalisations leave.

use super::absorb::{Affine, fold};
use super::rewrite::operands;
use crate::{Binary, Graph, Node, Op, Result, ValueId};

/// Multiplication by, division by, addition and subtraction of a constant for each channel (or
/// one number) move into the convolution or fully connected layer of constant weights before them.
/// Returns how many went. Differs by the rounding of the new weights.
pub fn fold_affine(graph: &mut Graph) -> Result<usize> {
    fold(graph, |graph, node| Ok(of_binary(graph, node)))
}

fn of_binary(graph: &Graph, node: &Node) -> Option<(ValueId, Affine)> {
    let Op::Binary(function) = node.op else { return None };
    let (a, b) = operands(node, function)?;
    let (x, by, first) = match (graph.constant(a).is_some(), graph.constant(b).is_some()) {
        (false, true) => (a, b, false),
        (true, false) => (b, a, true),
        _ => return None,
    };
    if graph.value(x).shape != graph.value(node.output()).shape {
        return None;
    }
    let by = per_channel(graph, x, by)?;
    let (one, zero) = (vec![1.0; by.len()], vec![0.0; by.len()]);
    let (factor, offset) = match (function, first) {
        (Binary::Add, _) => (one, by),
        (Binary::Sub, false) => (one, by.iter().map(|v| -v).collect()),
        (Binary::Sub, true) => (vec![-1.0; by.len()], by),
        (Binary::Mul, _) => (by, zero),
        (Binary::Div, false) if by.iter().all(|&v| v != 0.0) => {
            (by.iter().map(|v| 1.0 / v).collect(), zero)
        }
        _ => return None,
    };
    let finite = factor.iter().chain(&offset).all(|v| v.is_finite());
    finite.then_some((x, Affine { factor, offset }))
}

/// The elements of a constant for each channel (dimension 1) of `x`: it has one element, or is 1 in
/// every other dimension.
fn per_channel(graph: &Graph, x: ValueId, by: ValueId) -> Option<Vec<f64>> {
    let shape = &graph.value(x).shape;
    let channels = shape.dims().get(1)?.fixed()?;
    let tensor = graph.constant(by)?;
    let values = tensor.f32s().ok()?;
    if let [number] = values {
        return Some(vec![f64::from(*number); channels]);
    }
    let missing = shape.rank().checked_sub(tensor.rank())?;
    let own = tensor.shape().iter().enumerate();
    let fits = values.len() == channels && own.clone().all(|(i, &n)| n == 1 || i + missing == 1);
    fits.then(|| values.iter().map(|&v| f64::from(v)).collect())
}

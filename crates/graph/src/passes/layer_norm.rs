//! Layer normalisation spelled in means and powers, as exporters did before opset 17.

use super::formula::Formula;
use super::rewrite::{Names, View, become_op, operands, scalar, with_scalar};
use crate::{Binary, Graph, Node, Op, Reduction, Result, Tensor, Unary, ValueId};

/// `d / Sqrt(Mean(d^2) + epsilon)` with `d = x - Mean(x)`, the means over the last dimensions,
/// becomes LayerNorm with scale 1. Differs by rounding.
pub fn layer_norm(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut names = Names::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let Some(found) = as_norm(graph, &view, root) else { continue };
        let len = found.extents.iter().product();
        let ones = Tensor::new(found.extents, vec![1f32; len])?;
        let name = names.value(&format!("{}.scale", graph.nodes[root].name));
        let scale = graph.add_constant(name, ones);
        let op = Op::LayerNorm { axis: found.axis, epsilon: found.epsilon };
        count += usize::from(become_op(graph, root, op, &[found.x, scale]));
    }
    super::finish(graph, count)
}

struct Norm {
    x: ValueId,
    axis: usize,
    extents: Vec<usize>,
    epsilon: f32,
}

fn as_norm(graph: &Graph, view: &View, root: usize) -> Option<Norm> {
    let mut f = Formula::new(graph, view);
    let (distance, deviation) = operands(graph.nodes.get(root)?, Binary::Div)?;
    let shifted = root_of(&mut f, deviation)?;
    let (Binary::Add, variance, epsilon, _) = with_scalar(graph, f.node(shifted)?)? else {
        return None;
    };
    let (squares, axes) = mean_of(graph, f.node(variance)?)?;
    let square = f.node(squares)?;
    let squared = match with_scalar(graph, square) {
        Some((Binary::Pow, d, 2.0, false)) => d,
        _ => operands(square, Binary::Mul).filter(|(a, b)| a == b)?.0,
    };
    let (x, mean) = operands(f.node(distance)?, Binary::Sub)?;
    // Some exporters compute the distance twice.
    if squared != distance && operands(f.node(squared)?, Binary::Sub)? != (x, mean) {
        return None;
    }
    let (averaged, same_axes) = mean_of(graph, f.node(mean)?)?;
    let shape = &graph.value(x).shape;
    let axis = *axes.first()?;
    let last = axes.iter().copied().eq(axis..shape.rank());
    let extents =
        shape.dims().get(axis..)?.iter().map(|d| d.fixed()).collect::<Option<Vec<_>>>()?;
    let fits = averaged == x && axes == same_axes && last && epsilon > 0.0;
    let norm = Norm { x, axis, extents, epsilon: epsilon as f32 };
    (fits && view.encloses(graph, root, &f.inner)).then_some(norm)
}

/// What `id` is the square root of.
fn root_of(f: &mut Formula, id: ValueId) -> Option<ValueId> {
    if let Some(x) = f.argument(id, Unary::Sqrt) {
        return Some(x);
    }
    match with_scalar(f.graph, f.node(id)?) {
        Some((Binary::Pow, x, 0.5, false)) => Some(x),
        _ => None,
    }
}

/// What a node is the mean of, and over which dimensions, which it keeps.
fn mean_of<'g>(graph: &'g Graph, node: &'g Node) -> Option<(ValueId, &'g [usize])> {
    match &node.op {
        Op::Reduce { kind: Reduction::Mean, axes, keep_dims: true } => {
            let x = node.input(0).ok()?;
            (graph.value(x).shape.rank() > axes.len()).then_some((x, axes.as_slice()))
        }
        _ => None,
    }
}

/// Multiplication by and addition of constants after a LayerNorm become its scale and bias.
/// Differs by the rounding of the new scale and bias.
pub fn norm_affine(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut names = Names::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let Some((op, x, scale, bias)) = with_affine(graph, &view, root) else { continue };
        let stem = graph.nodes[root].name.clone();
        let mut inputs = vec![x];
        for (part, tensor) in [("scale", Some(scale)), ("bias", bias)] {
            if let Some(tensor) = tensor {
                inputs.push(graph.add_constant(names.value(&format!("{stem}.{part}")), tensor));
            }
        }
        count += usize::from(become_op(graph, root, op, &inputs));
    }
    super::finish(graph, count)
}

type Scaled = (Op, ValueId, Tensor, Option<Tensor>);

fn with_affine(graph: &Graph, view: &View, root: usize) -> Option<Scaled> {
    let node = graph.nodes.get(root)?;
    let Op::Binary(function @ (Binary::Mul | Binary::Add)) = node.op else { return None };
    let (a, b) = operands(node, function)?;
    let (normed, by) = if graph.constant(a).is_some() { (b, a) } else { (a, b) };
    let (_, norm) = view.node(graph, normed)?;
    let Op::LayerNorm { .. } = norm.op else { return None };
    if !view.is_private(graph, normed) {
        return None;
    }
    let scale = graph.constant(norm.input(1).ok()?)?;
    let bias = match norm.inputs.get(2).copied().flatten() {
        Some(id) => Some(graph.constant(id)?),
        None => None,
    };
    let by = spread(graph, by, scale.shape())?;
    let join = |old: &Tensor, f: fn(f32, f32) -> f32| {
        let values: Vec<f32> = old.f32s().ok()?.iter().zip(&by).map(|(&v, &c)| f(v, c)).collect();
        Tensor::new(old.shape(), values).ok()
    };
    let (scale, bias) = match (function, bias) {
        (Binary::Mul, None) => (join(scale, |v, c| v * c)?, None),
        (Binary::Mul, Some(bias)) => (join(scale, |v, c| v * c)?, Some(join(bias, |v, c| v * c)?)),
        (_, Some(bias)) => (scale.clone(), Some(join(bias, |v, c| v + c)?)),
        (_, None) => (scale.clone(), Some(Tensor::new(scale.shape(), by).ok()?)),
    };
    Some((norm.op.clone(), norm.input(0).ok()?, scale, bias))
}

/// The elements of a constant as many as `shape` has: the constant has that shape, with leading
/// ones or not, or is a single number.
fn spread(graph: &Graph, id: ValueId, shape: &[usize]) -> Option<Vec<f32>> {
    let len = shape.iter().product();
    if let Some(number) = scalar(graph, id) {
        return Some(vec![number as f32; len]);
    }
    let tensor = graph.constant(id)?;
    let ones = tensor.rank().checked_sub(shape.len())?;
    let fits = tensor.shape()[..ones].iter().all(|&n| n == 1) && tensor.shape()[ones..] == *shape;
    fits.then(|| tensor.f32s().ok().map(<[f32]>::to_vec)).flatten()
}

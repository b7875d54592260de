//! Clamps: Relu, Clip, Max and Min with a number, and the leaky form.

use super::rewrite::{View, become_op, operands, scalar, with_scalar};
use crate::{Binary, DType, Graph, Node, Op, Result, Unary, ValueId};

/// Max and Min with a number become Clip, Clip to `[0, inf)` becomes Relu, and two clamps in a row
/// become one. Float32 only; exact.
pub fn clamps(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let node = &graph.nodes[root];
        if graph.value(node.output()).dtype != DType::F32 {
            continue;
        }
        let Some((x, bounds)) = as_clamp(graph, node) else { continue };
        let (x, bounds) = joined(graph, &view, x, bounds).unwrap_or((x, bounds));
        let op = clamp(bounds);
        if graph.nodes[root].op != op || graph.nodes[root].inputs != [Some(x)] {
            count += usize::from(become_op(graph, root, op, &[x]));
        }
    }
    super::finish(graph, count)
}

fn clamp((min, max): (f32, f32)) -> Op {
    match (min, max) {
        (0.0, f32::INFINITY) => Op::RELU,
        _ => Op::Unary(Unary::Clip { min, max }),
    }
}

/// Argument and bounds of a clamp.
fn as_clamp(graph: &Graph, node: &Node) -> Option<(ValueId, (f32, f32))> {
    let bounds = |f, c: f64| match f {
        Binary::Max => Some((c as f32, f32::INFINITY)),
        Binary::Min => Some((f32::NEG_INFINITY, c as f32)),
        _ => None,
    };
    let (x, bounds) = match (node.op.clamp_bounds(), with_scalar(graph, node)) {
        (Some(bounds), _) => (node.input(0).ok()?, bounds),
        (None, Some((function, x, c, _))) => (x, bounds(function, c)?),
        _ => return None,
    };
    (!bounds.0.is_nan() && !bounds.1.is_nan()).then_some((x, bounds))
}

/// A clamp of a private clamp as one: each bound of the first goes through the second. That holds
/// for bounds in order only.
fn joined(
    graph: &Graph,
    view: &View,
    x: ValueId,
    (min, max): (f32, f32),
) -> Option<(ValueId, (f32, f32))> {
    let (_, inner) = view.node(graph, x)?;
    let (origin, (low, high)) = as_clamp(graph, inner)?;
    let joins = view.is_private(graph, x) && low <= high && min <= max;
    joins.then(|| (origin, (low.clamp(min, max), high.clamp(min, max))))
}

/// `Max(x, a * x)` with a from 0 to 1, and PRelu with a single slope, become LeakyRelu. Exact.
pub fn leaky_relu(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        if let Some((x, alpha)) = as_leaky(graph, &view, root) {
            let op = Op::Unary(Unary::LeakyRelu { alpha });
            count += usize::from(become_op(graph, root, op, &[x]));
        }
    }
    super::finish(graph, count)
}

fn as_leaky(graph: &Graph, view: &View, root: usize) -> Option<(ValueId, f32)> {
    let node = graph.nodes.get(root)?;
    if let Some((x, slope)) = operands(node, Binary::PRelu) {
        return Some((x, scalar(graph, slope)? as f32));
    }
    let (a, b) = operands(node, Binary::Max)?;
    [(a, b), (b, a)].into_iter().find_map(|(x, scaled)| {
        let (index, inner) = view.node(graph, scaled)?;
        let (Binary::Mul, of, alpha, _) = with_scalar(graph, inner)? else { return None };
        let is = of == x && (0.0..=1.0).contains(&alpha) && view.encloses(graph, root, &[index]);
        is.then_some((x, alpha as f32))
    })
}

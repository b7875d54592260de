//! Quantise and dequantise nodes around operators that do not need them, and activations that
//! only the range of a quantised value states.

use super::rewrite::{Names, View, add_before, become_op, redirect, same_tensor};
use crate::{Binary, DType, Graph, Node, Op, Result, ValueId};

/// Quantiser writers drop Relu and ReLU6 where saturation does the same: a zero point at the lower
/// end of the range (0 of uint8, -128 of int8) clamps at 0, and a range that ends at 6 clamps
/// there too. Such a clamp is written out before the Quantize behind a convolution, fully
/// connected layer, product or sum, so that the activation outlives the quantisation. Returns how
/// many; the integers are the same.
pub fn expose_clamps(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut names = Names::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let Some((x, op)) = hidden_clamp(graph, &view, root) else { continue };
        let stem = format!("{}.clamp", graph.nodes[root].name);
        if let Some(clamped) = add_before(graph, &mut names, &stem, op, &[x]) {
            graph.nodes[root].inputs[0] = Some(clamped);
            count += 1;
        }
    }
    super::finish(graph, count)
}

fn hidden_clamp(graph: &Graph, view: &View, root: usize) -> Option<(ValueId, Op)> {
    let node = graph.nodes.get(root)?;
    let Op::Quantize { .. } = node.op else { return None };
    let x = node.input(0).ok()?;
    let (_, layer) = view.node(graph, x)?;
    let computes = matches!(
        layer.op,
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul | Op::Binary(Binary::Add)
    );
    if !computes || !view.is_private(graph, x) {
        return None;
    }
    let &[scale] = graph.constant(node.input(1).ok()?)?.f32s().ok()? else { return None };
    let zero = graph.constant(node.input(2).ok()?)?;
    let &[zero_point] = zero.to_i64().ok()?.as_slice() else { return None };
    let (lowest, highest) = if zero.dtype() == DType::U8 { (0, 255) } else { (-128, 127) };
    if zero_point != lowest || !(scale.is_normal() && scale > 0.0) {
        return None;
    }
    // 6 must round to the highest integer: half a step off would already be another one.
    let top = f64::from(scale) * (highest - lowest) as f64;
    let is_six = ((6.0 - top) / f64::from(scale)).abs() < 0.25;
    Some((x, if is_six { Op::RELU6 } else { Op::RELU }))
}

/// Quantize behind a Dequantize of the same parameters returns the integers that went in: removed.
/// So is the pair around an operator that only moves elements, which then moves the integers.
/// Returns how many pairs. Exact.
pub fn remove_requantise(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut alias: Vec<ValueId> = graph.value_ids().collect();
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let Some((inner, integers)) = round_trip(graph, &view, root) else { continue };
        let integers = alias[integers.index()];
        let output = graph.nodes[root].output();
        match inner {
            Some(op) => count += usize::from(become_op(graph, root, op, &[integers])),
            // An output of the graph keeps its node, and with it its name.
            None if graph.is_output(output) => {}
            None => {
                alias[output.index()] = integers;
                count += 1;
            }
        }
    }
    redirect(graph, &alias);
    super::finish(graph, count)
}

/// The operator between Dequantize and the Quantize at `root`, if any, and the integers before.
fn round_trip(graph: &Graph, view: &View, root: usize) -> Option<(Option<Op>, ValueId)> {
    let quantize = graph.nodes.get(root)?;
    let Op::Quantize { axis } = quantize.op else { return None };
    let x = quantize.input(0).ok()?;
    let (_, before) = view.node(graph, x)?;
    let (inner, dequantize) = match before.op {
        Op::Dequantize { .. } => (None, before),
        _ if before.op.only_moves() && view.is_private(graph, x) => {
            (Some(before.op.clone()), view.node(graph, before.input(0).ok()?)?.1)
        }
        _ => return None,
    };
    let Op::Dequantize { axis: same_axis } = dequantize.op else { return None };
    let integers = dequantize.input(0).ok()?;
    let single = per_tensor(graph, quantize) && per_tensor(graph, dequantize);
    let fits = graph.value(integers).dtype == graph.value(quantize.output()).dtype
        && same_parameters(graph, quantize, dequantize)
        && (single || (inner.is_none() && axis == same_axis));
    fits.then_some((inner, integers))
}

pub(super) fn per_tensor(graph: &Graph, node: &Node) -> bool {
    node.input(1).ok().and_then(|id| graph.constant(id)).is_some_and(|scale| scale.len() == 1)
}

/// Whether both nodes have equal constant scales, ordinary enough to divide out, and zero points.
pub(super) fn same_parameters(graph: &Graph, a: &Node, b: &Node) -> bool {
    let constant = |node: &Node, i: usize| {
        let id = node.inputs.get(i).copied().flatten()?;
        graph.constant(id)
    };
    let equal = |i: usize| match (constant(a, i), constant(b, i)) {
        (Some(a), Some(b)) => same_tensor(a, b),
        _ => false,
    };
    // An absent zero point is zero.
    let zeros = equal(2)
        || (b.inputs.get(2).copied().flatten().is_none()
            && constant(a, 2)
                .and_then(|t| t.to_i64().ok())
                .is_some_and(|z| z.iter().all(|&v| v == 0)));
    let ordinary = |v: &f32| v.is_normal() && (1e-30..1e30).contains(v);
    let scales = constant(a, 1).and_then(|t| t.f32s().ok()).is_some_and(|s| s.iter().all(ordinary));
    equal(1) && zeros && scales
}

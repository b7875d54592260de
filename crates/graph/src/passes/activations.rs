//! Activations that exporters spell in several operators: `x * g(x)` with a gate g, which become
//! HardSwish, Silu, Mish and Gelu, and HardSigmoid itself.
//!
//! PyTorch writes hard swish as `x * HardSigmoid(x)` or `x * Clip(x + 3, 0, 6) / 6`, PaddlePaddle
//! and Keras with the factor elsewhere; each is a product of a number, x and a gate, whatever its
//! order. Numbers may be off by a part in a million, as they are printed with few digits.

use super::formula::Formula;
use super::rewrite::{View, become_op, near, with_scalar};
use crate::{Binary, Graph, Node, Op, Result, Unary, ValueId};

/// `x * HardSigmoid(x)` and `x * Clip(x + 3, 0, 6) / 6` in any order become HardSwish. Differs by
/// the rounding of each operation.
pub fn hard_swish(graph: &mut Graph) -> Result<usize> {
    gated(graph, |f, number, x, gate| {
        let (factor, alpha, beta) = hard_gate(f, gate, x)?;
        let is = near(number * factor, 1.0) && near(alpha, 1.0 / 6.0) && near(beta, 0.5);
        is.then_some(Unary::HardSwish)
    })
}

/// `x * Sigmoid(x)` becomes Silu. Exact.
pub fn silu(graph: &mut Graph) -> Result<usize> {
    gated(graph, |f, number, x, gate| {
        let is = number == 1.0 && f.argument(gate, Unary::Sigmoid)? == x;
        is.then_some(Unary::Silu)
    })
}

/// `x * Tanh(Softplus(x))` becomes Mish. Differs by rounding.
pub fn mish(graph: &mut Graph) -> Result<usize> {
    gated(graph, |f, number, x, gate| {
        let inner = f.argument(gate, Unary::Tanh)?;
        let is = number == 1.0 && f.argument(inner, Unary::Softplus)? == x;
        is.then_some(Unary::Mish)
    })
}

/// `x / 2 * (1 + Erf(x / sqrt(2)))` and its approximation by tanh, in any order, become Gelu.
/// Differs by rounding.
pub fn gelu(graph: &mut Graph) -> Result<usize> {
    gated(graph, |f, number, x, gate| {
        let (function, curve) = curve_in(f, gate)?;
        let [offset, factor, 0.0, 0.0] = f.polynomial(gate, curve)? else { return None };
        if !near(number * offset, 0.5) || !near(number * factor, 0.5) {
            return None;
        }
        let inner = f.argument(curve, function)?;
        let of_x = f.polynomial(inner, x)?;
        match (function, of_x) {
            (Unary::Erf, [0.0, slope, 0.0, 0.0]) if near(slope, 0.5f64.sqrt()) => {
                Some(Unary::Gelu { tanh: false })
            }
            (Unary::Tanh, [0.0, slope, 0.0, cubic]) => {
                let expected = (2.0 / std::f64::consts::PI).sqrt();
                let is = near(slope, expected) && near(cubic, 0.044715 * expected);
                is.then_some(Unary::Gelu { tanh: true })
            }
            _ => None,
        }
    })
}

/// `Clip(a * x + b, 0, t) * (1 / t)`, such as `Clip(x + 3, 0, 6) / 6`, becomes
/// `HardSigmoid(a / t, b / t)`. Differs by the rounding of each operation.
pub fn hard_sigmoid(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        if let Some((x, alpha, beta)) = as_hard_sigmoid(graph, &view, root) {
            let op = Op::Unary(Unary::HardSigmoid {
                alpha: tidy_number(alpha),
                beta: tidy_number(beta),
            });
            count += usize::from(become_op(graph, root, op, &[x]));
        }
    }
    super::finish(graph, count)
}

/// One sixth and one half are what networks mean by numbers that close.
fn tidy_number(value: f64) -> f32 {
    match value {
        v if near(v, 1.0 / 6.0) => 1.0 / 6.0,
        v if near(v, 0.5) => 0.5,
        v => v as f32,
    }
}

fn as_hard_sigmoid(graph: &Graph, view: &View, root: usize) -> Option<(ValueId, f64, f64)> {
    let node = graph.nodes.get(root)?;
    let mut formula = Formula::new(graph, view);
    let (number, clamp) = match with_scalar(graph, node) {
        Some((Binary::Mul, id, c, _)) => (c, formula.node(id)?),
        Some((Binary::Div, id, c, false)) => (1.0 / c, formula.node(id)?),
        _ => (1.0, node),
    };
    let Op::Unary(Unary::Clip { min: 0.0, max }) = clamp.op else { return None };
    if !near(number * f64::from(max), 1.0) {
        return None;
    }
    let argument = clamp.input(0).ok()?;
    let x = formula.affine_base(argument);
    let [offset, slope, 0.0, 0.0] = formula.polynomial(argument, x)? else { return None };
    let (alpha, beta) = (slope * number, offset * number);
    // Without an offset it is a scaled clamp, which the fused clamp of a convolution does better.
    let is = beta != 0.0 && alpha.is_finite() && beta.is_finite();
    (is && view.encloses(graph, root, &formula.inner)).then_some((x, alpha, beta))
}

/// Rewrites every product of a number, x and a gate for which `recognise` names the function.
fn gated(
    graph: &mut Graph,
    recognise: impl Fn(&mut Formula, f64, ValueId, ValueId) -> Option<Unary>,
) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        if let Some((x, function)) = as_gated(graph, &view, root, &recognise) {
            count += usize::from(become_op(graph, root, Op::Unary(function), &[x]));
        }
    }
    super::finish(graph, count)
}

fn as_gated(
    graph: &Graph,
    view: &View,
    root: usize,
    recognise: &impl Fn(&mut Formula, f64, ValueId, ValueId) -> Option<Unary>,
) -> Option<(ValueId, Unary)> {
    let node: &Node = graph.nodes.get(root)?;
    let mut formula = Formula::new(graph, view);
    let (number, factors) = formula.product(node)?;
    let &[a, b] = factors.as_slice() else { return None };
    let product = formula.inner.clone();
    [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
        formula.inner.clone_from(&product);
        let function = recognise(&mut formula, number, x, gate)?;
        view.encloses(graph, root, &formula.inner).then_some((x, function))
    })
}

/// Factor, slope and offset of a gate `factor * HardSigmoid(slope, offset)(x)`.
fn hard_gate(f: &mut Formula, gate: ValueId, x: ValueId) -> Option<(f64, f64, f64)> {
    let node = f.node(gate)?;
    let argument = node.input(0).ok()?;
    let (factor, slope, offset) = match node.op {
        Op::Unary(Unary::HardSigmoid { alpha, beta }) => (1.0, f64::from(alpha), f64::from(beta)),
        Op::Unary(Unary::Clip { min: 0.0, max }) if max.is_finite() && max > 0.0 => {
            (f64::from(max), 1.0 / f64::from(max), 0.0)
        }
        _ => return None,
    };
    let [b, a, 0.0, 0.0] = f.polynomial(argument, x)? else { return None };
    Some((factor, slope * a, slope * b + offset))
}

/// Erf or Tanh that a gate is an affine function of, and the value it computes.
fn curve_in(f: &Formula, gate: ValueId) -> Option<(Unary, ValueId)> {
    let base = f.affine_base(gate);
    let (_, node) = f.view.node(f.graph, base)?;
    match node.op {
        Op::Unary(function @ (Unary::Erf | Unary::Tanh)) => Some((function, base)),
        _ => None,
    }
}

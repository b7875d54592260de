//! Which numbers every value of a graph can take, whatever its inputs are.
//!
//! Interval arithmetic in float32: every rule is a monotonic function that the graph itself computes
//! in float32 in the same order, so rounding keeps an end an end. Where a rule would have to round
//! otherwise (means, smooth functions), the interval is widened by [`SLACK`].

use edgecut_graph::{Binary, DType, Graph, Node, Op, PadMode, Unary, ValueId};

/// Relative error of a sum of up to some thousand terms in float32, rounded up.
const SLACK: f32 = 1e-4;
/// Smallest value of x * HardSwish's ramp: -3 * 1.5 / 2 / 6.
const HARD_SWISH_MIN: f32 = -0.375;
/// Smallest value of x * sigmoid(x), at x = -1.278.
const SILU_MIN: f32 = -0.278_465;

/// All numbers from `low` to `high`; of integers, their codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub low: f32,
    pub high: f32,
}

impl Interval {
    const ANY: Interval = Interval { low: f32::NEG_INFINITY, high: f32::INFINITY };

    pub fn of(values: impl IntoIterator<Item = f32>) -> Interval {
        let mut found = Interval { low: f32::INFINITY, high: f32::NEG_INFINITY };
        for value in values {
            if value.is_nan() {
                return Interval::ANY;
            }
            found = Interval { low: found.low.min(value), high: found.high.max(value) };
        }
        found
    }

    pub fn union(self, other: Interval) -> Interval {
        Interval { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn map(self, f: impl Fn(f32) -> f32) -> Interval {
        Interval::of([f(self.low), f(self.high)])
    }

    /// The results of a function that is monotonic in each of its operands.
    fn join(self, other: Interval, f: impl Fn(f32, f32) -> f32) -> Interval {
        let ends = [(self.low, other.low), (self.low, other.high), (self.high, other.low)];
        Interval::of(ends.into_iter().chain([(self.high, other.high)]).map(|(a, b)| f(a, b)))
    }

    fn widened(self) -> Interval {
        let by = |x: f32| x.abs() * SLACK;
        Interval { low: self.low - by(self.low), high: self.high + by(self.high) }
    }
}

/// The interval of every value, by index.
pub(super) fn bounds(graph: &Graph) -> Vec<Interval> {
    let whole = |id: ValueId| match graph.constant(id) {
        Some(tensor) => Interval::of(tensor.to_f32()),
        None => type_bounds(graph.value(id).dtype),
    };
    let mut found: Vec<Interval> = graph.value_ids().map(whole).collect();
    for node in &graph.nodes {
        let id = node.output();
        let limits = type_bounds(graph.value(id).dtype);
        let result = rule(graph, node, &found).unwrap_or(Interval::ANY);
        found[id.index()] = Interval {
            low: result.low.clamp(limits.low, limits.high),
            high: result.high.clamp(limits.low, limits.high),
        };
    }
    found
}

fn type_bounds(dtype: DType) -> Interval {
    match dtype {
        DType::U8 => Interval { low: 0.0, high: 255.0 },
        DType::I8 => Interval { low: -128.0, high: 127.0 },
        _ => Interval::ANY,
    }
}

/// What the first output of `node` can be; `None` where no rule says.
fn rule(graph: &Graph, node: &Node, found: &[Interval]) -> Option<Interval> {
    let input = |index: usize| Some(found[node.inputs.get(index).copied()??.index()]);
    let all = || node.inputs.iter().flatten().map(|id| found[id.index()]);
    Some(match &node.op {
        Op::Quantize { .. } => {
            let (scale, zero) = parameters(graph, node)?;
            input(0)?.map(|x| (x / scale).round_ties_even() + zero)
        }
        Op::Dequantize { .. } => {
            let (scale, zero) = parameters(graph, node)?;
            input(0)?.map(|code| (code - zero) * scale)
        }
        Op::Unary(unary) => unary_rule(*unary, input(0)?)?,
        Op::Binary(Binary::Add) => input(0)?.join(input(1)?, |a, b| a + b),
        Op::Binary(Binary::Sub) => input(0)?.join(input(1)?, |a, b| a - b),
        Op::Binary(Binary::Mul) => input(0)?.join(input(1)?, |a, b| a * b),
        Op::Binary(Binary::Max) => input(0)?.join(input(1)?, f32::max),
        Op::Binary(Binary::Min) => input(0)?.join(input(1)?, f32::min),
        Op::MaxPool(_)
        | Op::Reshape { .. }
        | Op::Flatten { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. }
        | Op::Expand { .. }
        | Op::Tile { .. }
        | Op::Gather { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::ChannelShuffle { .. } => input(0)?,
        // A mean that counts padding holds zeros.
        Op::AveragePool(_) => input(0)?.widened().union(Interval { low: 0.0, high: 0.0 }),
        Op::GlobalAveragePool => input(0)?.widened(),
        Op::Concat { .. } => all().reduce(Interval::union)?,
        Op::Pad { mode: PadMode::Constant(with), .. } => input(0)?.union(Interval::of([*with])),
        Op::Pad { .. } => input(0)?,
        Op::Softmax { .. } => Interval { low: 0.0, high: 1.0 }.widened(),
        _ => return None,
    })
}

fn unary_rule(unary: Unary, x: Interval) -> Option<Interval> {
    let (low, high) = Op::Unary(unary).clamp_bounds().unwrap_or_default();
    let above = |least: f32| Interval { low: least, high: x.high.max(0.0) }.widened();
    Some(match unary {
        Unary::Relu | Unary::Clip { .. } => x.map(|v| v.max(low).min(high)),
        Unary::LeakyRelu { alpha } if alpha >= 0.0 => {
            x.map(|v| if v < 0.0 { alpha * v } else { v })
        }
        Unary::Sigmoid | Unary::HardSigmoid { .. } => Interval { low: 0.0, high: 1.0 }.widened(),
        Unary::HardSwish => above(HARD_SWISH_MIN),
        Unary::Silu => above(SILU_MIN),
        Unary::Tanh | Unary::Softsign | Unary::Erf => Interval { low: -1.0, high: 1.0 }.widened(),
        _ => return None,
    })
}

/// Scale and zero point that are constants and the same for the whole tensor.
pub(super) fn parameters(graph: &Graph, node: &Node) -> Option<(f32, f32)> {
    let number = |index: usize| {
        let tensor = graph.constant(node.inputs.get(index).copied()??)?;
        (tensor.len() == 1).then(|| tensor.to_f32()[0])
    };
    let zero = match node.inputs.get(2).copied().flatten() {
        Some(_) => number(2)?,
        None => 0.0,
    };
    Some((number(1)?, zero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Shape, Tensor};

    /// A clamp to [0, 3] at scale 1/51 (255 stands for 5) leaves the bytes above 153 unused.
    #[test]
    fn clamps_and_zero_points_bound_the_codes() {
        let mut graph = Graph::new("net");
        let x = graph.add_input("x", DType::F32, Shape::fixed(&[1, 1, 2, 2]));
        let clip = Op::Unary(Unary::Clip { min: 0.0, max: 3.0 });
        let y = graph.add_node("clip", clip, &[Some(x)]).unwrap();
        let scale = graph.add_constant("scale", Tensor::scalar(1.0 / 51.0));
        let zero = Tensor::new(vec![], vec![10u8]).unwrap();
        let zero = graph.add_constant("zero", zero);
        let op = Op::Quantize { axis: 1 };
        let codes = graph.add_node("q", op, &[Some(y), Some(scale), Some(zero)]).unwrap();
        let unclamped = Op::Quantize { axis: 1 };
        let all = graph.add_node("all", unclamped, &[Some(x), Some(scale), Some(zero)]).unwrap();
        let found = bounds(&graph);
        assert_eq!(found[codes.index()], Interval { low: 10.0, high: 163.0 });
        assert_eq!(found[all.index()], Interval { low: 0.0, high: 255.0 });
    }

    #[test]
    fn what_no_rule_knows_is_anything() {
        assert_eq!(unary_rule(Unary::Exp, Interval { low: 0.0, high: 1.0 }), None);
        // Infinity times zero is no number.
        let zero = Interval { low: 0.0, high: 0.0 };
        assert_eq!(Interval::ANY.join(zero, |a, b| a * b), Interval::ANY);
    }
}

//! What an operator is to quantisation.

use edgecut_graph::{Binary, Graph, Node, Op, PadMode, ResizeMode, Unary, ValueId};

use crate::Result;

/// Products with constant weights.
pub(crate) fn is_weighted(op: &Op) -> bool {
    matches!(op, Op::Conv(_) | Op::Gemm(_) | Op::MatMul)
}

/// Operators that move or select elements, so that bytes in are bytes out.
pub(crate) fn keeps_scale(op: &Op) -> bool {
    match op {
        Op::Resize(resize) => matches!(resize.mode, ResizeMode::Nearest(_)),
        // The byte of 0.0 is exact under every scale.
        Op::Pad { mode, .. } => *mode == PadMode::Constant(0.0) || *mode == PadMode::Edge,
        op => moves(op) || matches!(op, Op::MaxPool(_)),
    }
}

/// Operators that only arrange elements.
pub(crate) fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Concat { .. }
            | Op::Reshape { .. }
            | Op::Flatten { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Squeeze { .. }
            | Op::Unsqueeze { .. }
            | Op::ChannelShuffle { .. }
            | Op::DepthToSpace { .. }
            | Op::SpaceToDepth { .. }
    )
}

/// Functions that a table of 256 bytes holds well: their results have the spread of their
/// arguments, which a logarithm or a reciprocal near zero does not.
pub(crate) fn has_table(op: &Op) -> bool {
    let Op::Unary(function) = op else { return false };
    !matches!(
        function,
        Unary::Exp
            | Unary::Log
            | Unary::Sqrt
            | Unary::Reciprocal
            | Unary::Sin
            | Unary::Cos
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Sign
    )
}

/// Activations that an integer layer computes on its sums, before they are rounded.
pub(crate) fn fuses(op: &Op) -> bool {
    op.clamp_bounds().is_some()
        || matches!(
            op,
            Op::Unary(Unary::HardSwish | Unary::Silu | Unary::Sigmoid | Unary::HardSigmoid { .. })
        )
}

/// Whether `node` reads `input` as bytes, once it is an integer node. Numbers and slopes stay
/// float: beside one tensor of bytes they are part of a function of one byte.
pub(crate) fn reads_bytes(graph: &Graph, node: &Node, input: ValueId) -> bool {
    match graph.constant(input) {
        Some(constant) => constant.len() > 1 && node.op != Op::Binary(Binary::PRelu),
        None => true,
    }
}

/// Why a function of two values stays float, if it does.
pub(crate) fn binary_obstacle(graph: &Graph, node: &Node) -> Result<Option<String>> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let Op::Binary(op) = node.op else { return Ok(None) };
    if !matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::PRelu) {
        return Ok(Some(format!("{} has no integer form here", node.op.name())));
    }
    if graph.constant(a).is_some() && graph.constant(b).is_some() {
        return Ok(Some("both operands are constants".into()));
    }
    let spreads = |id: ValueId| graph.value(id).shape == graph.value(node.output()).shape;
    let small = |id: ValueId| graph.constant(id).is_some() || is_channel_vector(graph, id);
    let fits = (spreads(a) && (spreads(b) || small(b))) || (spreads(b) && small(a));
    Ok((!fits).then(|| "its operands differ in shape".into()))
}

/// One number for each channel of each image: `[n, c, 1, 1]`.
fn is_channel_vector(graph: &Graph, id: ValueId) -> bool {
    let shape = &graph.value(id).shape;
    shape.rank() == 4 && shape.with_symbols(2)[2..] == [1, 1]
}

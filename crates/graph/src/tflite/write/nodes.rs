//! How each operator of the graph is written.

use super::tasks::Integer;
use super::values::Writer;
use crate::{Binary, Compare, Logic, Node, Op, Result, Unary};

impl Writer<'_> {
    /// Writes the node at `index`. Fails, naming it, where TensorFlow Lite has nothing for it.
    pub fn node(&mut self, index: usize) -> Result<()> {
        let node = &self.graph.nodes[index];
        let before = self.file.calls();
        self.layer(index)?;
        match self.file.mistyped(before) {
            Some((op, dtype)) => Err(node.error(format!("TFLite's {op} does not take {dtype}"))),
            None => Ok(()),
        }
    }

    /// What has weights, or looks at many elements.
    fn layer(&mut self, index: usize) -> Result<()> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        match &node.op {
            Op::Conv(conv) => self.conv(index, conv),
            Op::ConvTranspose(conv) => self.conv_transpose(index, conv),
            Op::Gemm(gemm) => self.gemm(index, gemm),
            Op::MatMul => self.mat_mul(index),
            Op::MaxPool(pool) => self.max_pool(index, pool),
            Op::AveragePool(pool) => self.average_pool(index, pool),
            Op::GlobalAveragePool => self.reduce(index, crate::Reduction::Mean, &[2, 3], true),
            Op::Reduce { kind, axes, keep_dims } => self.reduce(index, *kind, axes, *keep_dims),
            Op::Quantize { .. } => self.quantize(node),
            Op::Dequantize { .. } => self.dequantize(node),
            Op::Softmax { axis } => self.along(index, "SOFTMAX", *axis),
            Op::LogSoftmax { axis } => self.along(index, "LOG_SOFTMAX", *axis),
            Op::LpNorm { axis, p: 2 } => self.along(index, "L2_NORMALIZATION", *axis),
            Op::BatchNorm { epsilon, .. } => self.batch_norm(node, *epsilon),
            Op::LayerNorm { axis, epsilon } => self.layer_norm(node, *axis, *epsilon),
            Op::InstanceNorm { epsilon } => self.instance_norm(node, *epsilon),
            Op::LocalResponseNorm { .. } => self.local_response(node),
            Op::Resize(resize) => self.resize(node, resize),
            Op::ArgExtreme { largest, axis, keep_dims, last: false } => {
                self.arg_extreme(node, *largest, *axis, *keep_dims)
            }
            Op::TopK { axis, k, largest: true } => self.top_k(node, *axis, *k),
            Op::CumSum { axis, exclusive, reverse } => {
                self.cum_sum(node, *axis, *exclusive, *reverse)
            }
            _ => self.arrangement(index),
        }
    }

    /// What moves elements.
    fn arrangement(&mut self, index: usize) -> Result<()> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        match &node.op {
            Op::Concat { axis } => self.concat(index, *axis),
            Op::Reshape { .. } | Op::Flatten { .. } => self.reshape(node),
            Op::Squeeze { axes } => self.squeeze(node, axes),
            Op::Unsqueeze { axes } => self.unsqueeze(node, axes),
            Op::Transpose { perm } => self.relabel(node.output(), node.input(0)?, perm),
            Op::Pad { before, after, mode } => self.pad(node, before, after, *mode),
            Op::Slice { cuts } => self.slice(node, cuts),
            Op::Expand { .. } => self.expand(node),
            Op::Tile { repeats } => self.tile(node, repeats),
            Op::Gather { axis } => self.gather(node, *axis),
            Op::GatherNd { batch_dims: 0 } => self.gather_nd(node),
            Op::ScatterNd { mode: crate::ScatterMode::Add } => self.scatter_nd(node),
            Op::OneHot { axis, depth } => self.one_hot(node, *axis, *depth),
            Op::DepthToSpace { block, order } => self.depth_to_space(node, *block, *order),
            Op::SpaceToDepth { block } => self.space_to_depth(node, *block),
            Op::ChannelShuffle { groups } => self.channel_shuffle(node, *groups),
            _ => self.element_wise(index),
        }
    }

    /// What computes each element by itself.
    fn element_wise(&mut self, index: usize) -> Result<()> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        match &node.op {
            Op::Unary(function) => self.unary(index, function),
            Op::Binary(Binary::Fmod) => self.remainder(node),
            Op::Binary(function) => self.binary(index, *function),
            Op::Compare(function) => self.same_order(node, compare(*function)),
            Op::Logic(function) => self.same_order(node, logic(*function)),
            Op::Not => self.same_order(node, "LOGICAL_NOT"),
            Op::Where => self.same_order(node, "SELECT_V2"),
            Op::Cast { to } => self.cast(node, *to),
            _ => Err(unwritten(node)),
        }
    }
}

/// The error for what TensorFlow Lite has no operator for.
pub(super) fn unwritten(node: &Node) -> crate::GraphError {
    node.error("cannot be written as TensorFlow Lite, which has no operator for it")
}

fn compare(function: Compare) -> &'static str {
    match function {
        Compare::Equal => "EQUAL",
        Compare::Less => "LESS",
        Compare::LessOrEqual => "LESS_EQUAL",
        Compare::Greater => "GREATER",
        Compare::GreaterOrEqual => "GREATER_EQUAL",
    }
}

fn logic(function: Logic) -> &'static str {
    match function {
        Logic::And => "LOGICAL_AND",
        Logic::Or => "LOGICAL_OR",
        Logic::Xor => "NOT_EQUAL",
    }
}

/// The operator of a function of two numbers, and whether it has integers with scales and a fused
/// activation.
pub(super) fn binary(function: Binary) -> Option<(&'static str, Integer, bool)> {
    Some(match function {
        Binary::Add => ("ADD", Integer::Any, true),
        Binary::Sub => ("SUB", Integer::Any, true),
        Binary::Mul => ("MUL", Integer::Any, true),
        Binary::Div => ("DIV", Integer::Never, true),
        Binary::Pow => ("POW", Integer::Never, false),
        Binary::Max => ("MAXIMUM", Integer::Any, false),
        Binary::Min => ("MINIMUM", Integer::Any, false),
        Binary::PRelu => ("PRELU", Integer::Any, false),
        Binary::Mod => ("FLOOR_MOD", Integer::Never, false),
        Binary::Fmod => return None,
    })
}

/// The operator of a function of one number, and the parameters of its integers.
pub(super) fn unary(function: &Unary) -> Option<(&'static str, Integer)> {
    Some(match function {
        Unary::Relu => ("RELU", Integer::Any),
        Unary::Clip { min: 0.0, max: 6.0 } => ("RELU6", Integer::Any),
        Unary::Clip { min: -1.0, max: 1.0 } => ("RELU_N1_TO_1", Integer::Any),
        Unary::Clip { min: 0.0, max: 1.0 } => ("RELU_0_TO_1", Integer::Any),
        Unary::LeakyRelu { .. } => ("LEAKY_RELU", Integer::Any),
        Unary::HardSwish => ("HARD_SWISH", Integer::Any),
        Unary::Elu { alpha: 1.0 } => ("ELU", Integer::Any),
        Unary::Gelu { .. } => ("GELU", Integer::Any),
        Unary::Sigmoid => ("LOGISTIC", Integer::Only(1.0 / 256.0, -128)),
        Unary::Tanh => ("TANH", Integer::Only(1.0 / 128.0, 0)),
        Unary::Exp => ("EXP", Integer::Never),
        Unary::Log => ("LOG", Integer::Never),
        Unary::Sqrt => ("SQRT", Integer::Never),
        Unary::Abs => ("ABS", Integer::Never),
        Unary::Neg => ("NEG", Integer::Never),
        Unary::Sign => ("SIGN", Integer::Never),
        Unary::Floor => ("FLOOR", Integer::Never),
        Unary::Ceil => ("CEIL", Integer::Never),
        Unary::Round => ("ROUND", Integer::Never),
        Unary::Sin => ("SIN", Integer::Never),
        Unary::Cos => ("COS", Integer::Never),
        _ => return None,
    })
}

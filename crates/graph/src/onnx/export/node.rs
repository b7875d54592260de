//! One node of the graph as one node of the file, and the operator set that this takes.

use super::form::{Context, Form};
use super::{arrange, elementwise, index, numeric, resize, window};
use crate::onnx::proto::NodeProto;
use crate::{Graph, Node, Op, Result};

/// First operator set of ONNX that has the operator of `node` as the graph means it.
pub(super) fn since(graph: &Graph, node: &Node) -> Result<i64> {
    Ok(match &node.op {
        Op::Unary(function) => elementwise::unary_since(*function),
        Op::AveragePool(pool) => window::average_pool_since(pool),
        Op::LpPool { pool, .. } => window::lp_pool_since(pool),
        Op::Pad { mode, .. } => arrange::pad_since(*mode),
        Op::ScatterElements { mode, .. } | Op::ScatterNd { mode } => index::scatter_since(*mode),
        Op::Resize(attributes) => resize::since(graph, node, attributes)?,
        // Since 18, but with a scale for each group instead of each channel.
        Op::GroupNorm { .. } => 21,
        _ => 1,
    })
}

/// `ctx.node` as a message. Fails where ONNX has no such node.
pub(super) fn node(ctx: &mut Context) -> Result<NodeProto> {
    let form = form(ctx)?;
    let node = ctx.node;
    let name = |id: &crate::ValueId| ctx.graph.value(*id).name.clone();
    let output: Vec<String> = node.outputs.iter().map(name).collect();
    // Most nodes of a quantised network, and nobody looks for them: what they compute names them.
    let named = !is_conversion(&node.op) || output != [node.name.as_str()];
    Ok(NodeProto {
        input: form.inputs,
        output,
        name: named.then(|| node.name.clone()),
        op_type: Some(node.op.name().to_string()),
        attribute: form.attributes,
        domain: None,
    })
}

/// Whether `op` makes integers of floats or the other way round, in a tensor of the same shape.
pub(super) fn is_conversion(op: &Op) -> bool {
    matches!(op, Op::Quantize { .. } | Op::Dequantize { .. })
}

/// Attributes and inputs of `ctx.node`.
pub(super) fn form(ctx: &mut Context) -> Result<Form> {
    let node = ctx.node;
    Ok(match &node.op {
        Op::Conv(conv) | Op::ConvInteger(conv) => window::conv(ctx, conv),
        Op::ConvTranspose(conv) => window::conv_transpose(ctx, conv),
        Op::MaxPool(pool) => window::max_pool(ctx, pool),
        Op::AveragePool(pool) => window::average_pool(ctx, pool),
        Op::LpPool { pool, p } => window::lp_pool(ctx, pool, *p),
        Op::Gemm(gemm) => numeric::gemm(ctx, gemm),
        Op::Unary(function) => elementwise::unary(ctx, *function)?,
        Op::Binary(function) => elementwise::binary(ctx, *function),
        Op::Reduce { kind, axes, keep_dims } => numeric::reduce(ctx, *kind, axes, *keep_dims)?,
        Op::CumSum { axis, exclusive, reverse } => {
            numeric::cum_sum(ctx, *axis, *exclusive, *reverse)?
        }
        Op::Quantize { axis } | Op::Dequantize { axis } => numeric::quantise(ctx, *axis)?,
        Op::Resize(attributes) => resize::resize(ctx, attributes)?,
        Op::Reshape { dims } => arrange::reshape(ctx, dims)?,
        Op::Pad { before, after, mode } => arrange::pad(ctx, before, after, *mode)?,
        Op::Slice { cuts } => arrange::slice(ctx, cuts),
        Op::Squeeze { axes } | Op::Unsqueeze { axes } => arrange::with_vector(ctx, "axes", axes),
        Op::Expand { shape } => arrange::with_vector(ctx, "shape", shape),
        Op::Tile { repeats } => arrange::with_vector(ctx, "repeats", repeats),
        Op::Trilu { upper, diagonal } => arrange::trilu(ctx, *upper, *diagonal)?,
        Op::ScatterElements { axis, mode } => index::scatter_elements(ctx, *axis, *mode),
        Op::ScatterNd { mode } => index::scatter_nd(ctx, *mode),
        Op::OneHot { axis, depth } => index::one_hot(ctx, *axis, *depth)?,
        Op::TopK { axis, k, largest } => index::top_k(ctx, *axis, *k, *largest),
        _ => plain(ctx)?,
    })
}

/// The operators whose attributes are what the graph holds.
fn plain(ctx: &Context) -> Result<Form> {
    let form = ctx.plain();
    Ok(match ctx.node.op {
        Op::BatchNorm { epsilon, momentum } => {
            form.float("epsilon", epsilon).float("momentum", momentum)
        }
        Op::LayerNorm { axis, epsilon } => form.int("axis", axis).float("epsilon", epsilon),
        Op::InstanceNorm { epsilon } => form.float("epsilon", epsilon),
        Op::GroupNorm { groups, epsilon } => {
            form.int("num_groups", groups).float("epsilon", epsilon)
        }
        Op::LocalResponseNorm { alpha, beta, bias, size } => {
            let form = form.float("alpha", alpha).float("beta", beta);
            form.float("bias", bias).int("size", size)
        }
        Op::LpNorm { axis, p } => form.int("axis", axis).int("p", p),
        Op::IsInf { negative, positive } => {
            form.int("detect_negative", negative).int("detect_positive", positive)
        }
        Op::Concat { axis }
        | Op::Flatten { axis }
        | Op::Softmax { axis }
        | Op::LogSoftmax { axis }
        | Op::Hardmax { axis }
        | Op::Gather { axis }
        | Op::GatherElements { axis } => form.int("axis", axis),
        Op::Transpose { ref perm } => form.ints("perm", perm),
        Op::GatherNd { batch_dims } => form.int("batch_dims", batch_dims),
        Op::ArgExtreme { axis, keep_dims, last, .. } => {
            index::arg_extreme(ctx, axis, keep_dims, last)
        }
        Op::Cast { to } => arrange::cast(ctx, to),
        Op::DepthToSpace { block, order } => arrange::depth_to_space(ctx, block, order),
        Op::SpaceToDepth { block } => form.int("blocksize", block),
        Op::MatMul
        | Op::MatMulInteger
        | Op::Compare(_)
        | Op::Logic(_)
        | Op::Not
        | Op::IsNan
        | Op::Where
        | Op::GlobalAveragePool
        | Op::DynamicQuantize => form,
        _ => return Err(ctx.node.error("ONNX has no such operator")),
    })
}

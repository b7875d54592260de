//! The operators, each beside the function that computes it.

use super::{
    Args, arrange, conv, elementwise, index, integer, matmul, norm, order, pool, quantize, reduce,
    resize, softmax,
};
use crate::{Data, Op, Result};

/// Elements of each output.
pub(super) fn compute(args: &Args) -> Result<Vec<Data>> {
    let only = match &args.node.op {
        Op::Conv(conv) => conv::conv(args, conv),
        Op::ConvTranspose(conv) => conv::conv_transpose(args, conv),
        Op::ConvInteger(conv) => conv::conv_integer(args, conv),
        Op::Gemm(gemm) => matmul::gemm(args, gemm),
        Op::MatMul => matmul::mat_mul(args),
        Op::MatMulInteger => integer::mat_mul_integer(args),

        Op::MaxPool(pool) => pool::max(args, pool),
        Op::AveragePool(pool) => pool::average(args, pool),
        Op::LpPool { pool, p } => pool::lp(args, pool, *p),
        Op::GlobalAveragePool => reduce::global_average(args),
        Op::Resize(attributes) => resize::resize(args, attributes),

        Op::BatchNorm { epsilon, .. } => norm::batch_norm(args, *epsilon),
        Op::LayerNorm { axis, epsilon } => norm::layer_norm(args, *axis, *epsilon),
        Op::InstanceNorm { epsilon } => norm::instance_norm(args, *epsilon),
        Op::GroupNorm { groups, epsilon } => norm::group_norm(args, *groups, *epsilon),
        Op::LocalResponseNorm { alpha, beta, bias, size } => {
            norm::local_response(args, (*alpha, *beta, *bias), *size)
        }
        Op::LpNorm { axis, p } => softmax::lp_norm(args, *axis, *p),
        Op::Softmax { axis } => softmax::softmax(args, *axis),
        Op::LogSoftmax { axis } => softmax::log_softmax(args, *axis),
        Op::Hardmax { axis } => order::hardmax(args, *axis),

        Op::Unary(function) => elementwise::unary(args, function),
        Op::Binary(function) => elementwise::binary(args, *function),
        Op::Compare(function) => elementwise::compare(args, *function),
        Op::Logic(function) => elementwise::logic(args, *function),
        Op::Not => elementwise::not(args),
        Op::IsNan => elementwise::is_nan(args),
        Op::IsInf { negative, positive } => elementwise::is_inf(args, *negative, *positive),
        Op::Where => elementwise::choose(args),
        Op::Cast { to } => Ok(elementwise::cast(args.tensor(0)?.data(), *to)),
        Op::Quantize { axis } => quantize::quantize(args, *axis),
        Op::Dequantize { axis } => quantize::dequantize(args, *axis),

        Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. } => {
            Ok(args.tensor(0)?.data().clone())
        }
        Op::Concat { axis } => arrange::concat(args, *axis),
        Op::Transpose { perm } => arrange::transpose(args, perm),
        Op::Slice { cuts } => arrange::slice(args, cuts),
        Op::Pad { before, mode, .. } => arrange::pad(args, before, *mode),
        Op::Expand { .. } => arrange::expand(args),
        Op::Tile { .. } => arrange::tile(args),
        Op::Trilu { upper, diagonal } => arrange::trilu(args, *upper, *diagonal),
        Op::DepthToSpace { block, order } => arrange::depth_to_space(args, *block, *order),
        Op::SpaceToDepth { block } => arrange::space_to_depth(args, *block),
        Op::ChannelShuffle { groups } => arrange::channel_shuffle(args, *groups),

        Op::Gather { axis } => index::gather(args, *axis),
        Op::GatherElements { axis } => index::gather_elements(args, *axis),
        Op::GatherNd { batch_dims } => index::gather_nd(args, *batch_dims),
        Op::ScatterElements { axis, mode } => index::scatter_elements(args, *axis, *mode),
        Op::ScatterNd { mode } => index::scatter_nd(args, *mode),
        Op::OneHot { axis, depth } => index::one_hot(args, *axis, *depth),

        Op::Reduce { kind, axes, .. } => reduce::reduce(args, *kind, axes),
        Op::ArgExtreme { axis, largest, last, .. } => {
            order::arg_extreme(args, *axis, *largest, *last)
        }
        Op::CumSum { axis, exclusive, reverse } => {
            order::cum_sum(args, *axis, *exclusive, *reverse)
        }

        Op::TopK { axis, k, largest } => return order::top_k(args, *axis, *k, *largest),
        Op::DynamicQuantize => return quantize::dynamic_quantize(args),
    };
    Ok(vec![only?])
}

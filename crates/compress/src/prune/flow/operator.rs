//! The rule of every operator.

use edgecut_graph::{Op, Reduction, Result};

use super::{Axis, Tracer};

/// Follows indices through the tracer's node. Returns the inner dimension that its groups are,
/// where it has any.
pub(super) fn trace(t: &mut Tracer) -> Result<Option<Axis>> {
    let node = t.node;
    match &node.op {
        Op::Conv(conv) | Op::ConvInteger(conv) => return t.conv(conv.groups),
        Op::ConvTranspose(conv) => return t.conv_transpose(conv.groups),
        Op::GroupNorm { groups, .. } => return t.group_norm(*groups),
        Op::ChannelShuffle { groups } => return t.channel_shuffle(*groups),
        Op::Gemm(gemm) => t.gemm(gemm),
        Op::MatMul | Op::MatMulInteger => t.mat_mul(),

        Op::MaxPool(_) | Op::AveragePool(_) | Op::LpPool { .. } | Op::GlobalAveragePool => {
            t.otherwise("slides a window over it");
            t.same_dims(0, 0..2)
        }
        Op::Resize(resize) => {
            t.otherwise("resamples it");
            let resampled: Vec<usize> = resize.axes.iter().map(|a| a.axis).collect();
            t.all_but(&resampled)
        }
        Op::BatchNorm { .. } => t.batch_norm(),
        Op::LayerNorm { axis, .. } => t.layer_norm(*axis),
        Op::InstanceNorm { .. } => t.instance_norm(),
        Op::LocalResponseNorm { .. } => {
            t.otherwise("normalises by neighbouring indices");
            t.all_but(&[1])
        }
        // Zeros count nothing in a norm.
        Op::LpNorm { .. } => t.all_but(&[]),
        Op::Softmax { axis } | Op::LogSoftmax { axis } => {
            t.otherwise("sums to 1 over it");
            t.all_but(&[*axis])
        }
        Op::Hardmax { axis } | Op::CumSum { axis, .. } => t.all_but(&[*axis]),
        Op::Trilu { .. } => {
            let rank = t.output_rank();
            t.all_but(&[rank - 2, rank - 1])
        }
        Op::Reduce { kind, axes, keep_dims } => {
            use Reduction::{L1, L2, Sum, SumSquare};
            t.reduce(axes, *keep_dims, matches!(kind, Sum | L1 | L2 | SumSquare))
        }
        Op::ArgExtreme { axis, keep_dims, .. } => t.reduce(&[*axis], *keep_dims, false),
        Op::TopK { axis, .. } => t.top_k(*axis),
        _ => moves_or_maps(t),
    }?;
    Ok(None)
}

/// Operators that copy elements to other places, or map each on its own.
fn moves_or_maps(t: &mut Tracer) -> Result<()> {
    let node = t.node;
    match &node.op {
        Op::Unary(_) | Op::Not | Op::IsNan | Op::IsInf { .. } | Op::Cast { .. } => t.all_but(&[]),
        Op::Quantize { axis } | Op::Dequantize { axis } => t.quantize(*axis),
        Op::DynamicQuantize => t.all_but(&[]),
        Op::Binary(function) => t.binary(*function),
        Op::Compare(_) | Op::Logic(_) | Op::Where => t.broadcast(),

        Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. } => {
            t.reshape()
        }
        Op::Transpose { perm } => t.transpose(perm),
        Op::Concat { axis } => t.concat(*axis),
        Op::Slice { cuts } => t.slice(cuts),
        Op::Pad { before, after, mode } => t.pad(before, after, *mode),
        Op::Expand { .. } => t.broadcast(),
        Op::Tile { .. } => t.tile(),
        Op::DepthToSpace { .. } | Op::SpaceToDepth { .. } => t.blocks_of_pixels(),
        Op::Gather { axis } => t.gather(*axis),
        Op::OneHot { axis, .. } => t.one_hot(*axis),
        // Scattering and gathering of single elements, and whatever is added to the set of
        // operators: every dimension is pinned.
        _ => {
            t.otherwise("has no rule for it");
            Ok(())
        }
    }
}

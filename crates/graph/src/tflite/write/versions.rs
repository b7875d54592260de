//! The lowest version of an operator that supports given tensors. Older runtimes refuse newer
//! versions, so none is higher than needed.
//!
//! Source: `tflite/converter/tools/versioning/op_version.cc` of LiteRT. What options ask for is
//! added by whoever writes them.

use super::file::FileTensor;
use crate::DType;

/// Operators that know int8 from their second version on.
#[rustfmt::skip]
const INT8_SECOND: [&str; 52] = [
    "ABS", "ADD", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION",
    "DEPTH_TO_SPACE", "DEQUANTIZE", "EQUAL", "EXP", "GATHER", "GELU", "GREATER", "GREATER_EQUAL",
    "L2_NORMALIZATION", "LESS", "LESS_EQUAL", "LOG", "LOGISTIC", "LOG_SOFTMAX", "MAXIMUM",
    "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NOT_EQUAL", "PACK", "PAD", "PADV2",
    "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
    "RSQRT", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT", "STRIDED_SLICE",
    "SUB", "SUM", "TANH", "TOPK_V2", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
];

/// The version of `op` for these inputs.
pub(super) fn version(op: &str, inputs: &[Option<&FileTensor>], output: &FileTensor) -> i32 {
    // Split and transposed convolution have other things first.
    let data = match op {
        "SPLIT" => 1,
        "TRANSPOSE_CONV" => 2,
        _ => 0,
    };
    let Some(x) = inputs.get(data).copied().flatten() else { return 1 };
    let rank = inputs.iter().flatten().map(|t| t.dims.len()).max().unwrap_or(0);
    let broadcasts = matches!(inputs[..], [Some(a), Some(b)] if a.dims != b.dims);
    by_rank(op, x.dims.len(), rank, broadcasts).max(by_type(op, x, output))
}

fn by_rank(op: &str, own: usize, largest: usize, broadcasts: bool) -> i32 {
    match op {
        "TRANSPOSE" if own > 6 => 8,
        "TRANSPOSE" if own > 5 => 6,
        "TRANSPOSE" | "STRIDED_SLICE" | "PAD" | "PADV2" if own > 4 => 4,
        "SLICE" if own > 4 => 5,
        "SUB" | "MAXIMUM" | "MINIMUM" if broadcasts && largest > 4 => 3,
        "DIV" if broadcasts && largest > 4 => 2,
        _ => 1,
    }
}

fn by_type(op: &str, x: &FileTensor, output: &FileTensor) -> i32 {
    let per_channel = |t: &FileTensor| t.quant.as_ref().is_some_and(|q| q.scales.len() > 1);
    match (op, x.dtype) {
        ("FULLY_CONNECTED", DType::I8) => 4,
        ("CONV_2D" | "DEPTHWISE_CONV_2D" | "TILE", DType::I8) => 3,
        ("BROADCAST_TO", DType::I8) => 3,
        ("BROADCAST_TO", _) => 2,
        ("DEQUANTIZE", DType::I8) if per_channel(x) => 5,
        ("CAST", _) if [x.dtype, output.dtype].contains(&DType::I8) => 3,
        ("RELU" | "ABS" | "GELU", DType::U8) => 2,
        ("ABS", DType::I32) => 5,
        ("SIGN", DType::I32) => 2,
        ("SPLIT", DType::I32) => 3,
        ("MUL", DType::I64) => 5,
        ("ADD" | "SUB", DType::I64) => 4,
        ("PAD" | "PADV2", DType::Bool) => 5,
        ("TRANSPOSE" | "GATHER" | "STRIDED_SLICE" | "ARG_MAX" | "ARG_MIN", DType::Bool) => 3,
        (_, DType::I8) if INT8_SECOND.contains(&op) => 2,
        _ => 1,
    }
}

//! Which element types TensorFlow Lite's operators take, beside quantised ones. Some runtimes end
//! the process on others, so that they must not be written.
//!
//! Source: the kernels of LiteRT.

use crate::DType;

/// Whether `op` takes tensors of this type that are not quantised.
pub(super) fn takes(op: &str, dtype: DType) -> bool {
    use DType::{Bool, F32, I8, I32, I64, U8};
    let taken: &[DType] = match op {
        "ADD" | "SUB" | "MUL" | "SUM" | "REDUCE_PROD" | "MEAN" | "CUMSUM" | "NEG" | "LESS"
        | "LESS_EQUAL" | "GREATER" | "GREATER_EQUAL" => &[F32, I32, I64],
        "EQUAL" | "NOT_EQUAL" => &[F32, I32, I64, Bool],
        "FLOOR_MOD" => &[F32, I32, I64, I8],
        "DIV" | "POW" | "ABS" | "SIGN" => &[F32, I32],
        "MAXIMUM" | "MINIMUM" | "REDUCE_MAX" | "REDUCE_MIN" => &[F32, I32, I64, U8, I8],
        "ARG_MAX" | "ARG_MIN" => &[F32, I32, U8, I8, Bool],
        "TOPK_V2" | "SPACE_TO_DEPTH" | "DEPTH_TO_SPACE" => &[F32, I32, I64, U8, I8],
        "MAX_POOL_2D" | "RESIZE_NEAREST_NEIGHBOR" => &[F32, U8, I8],
        "RESIZE_BILINEAR" => &[F32, I32, U8, I8],
        "LOGICAL_AND" | "LOGICAL_OR" | "LOGICAL_NOT" => &[Bool],
        _ if moves(op) => return true,
        _ => &[F32],
    };
    taken.contains(&dtype)
}

/// Operators that look at no element.
fn moves(op: &str) -> bool {
    matches!(
        op,
        "RESHAPE"
            | "TRANSPOSE"
            | "SLICE"
            | "STRIDED_SLICE"
            | "CONCATENATION"
            | "PAD"
            | "PADV2"
            | "MIRROR_PAD"
            | "TILE"
            | "BROADCAST_TO"
            | "GATHER"
            | "GATHER_ND"
            | "SCATTER_ND"
            | "SQUEEZE"
            | "SELECT_V2"
            | "ONE_HOT"
            | "CAST"
            | "SHAPE"
            | "QUANTIZE"
            | "DEQUANTIZE"
    )
}

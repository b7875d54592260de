//! One dispatch of steps by element type.

/// `$body`, in which `$t` is the element type that buffers of `$dtype` have.
macro_rules! by_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            edgecut_graph::DType::F32 => {
                type $t = f32;
                $body
            }
            edgecut_graph::DType::U8 | edgecut_graph::DType::I8 | edgecut_graph::DType::Bool => {
                type $t = u8;
                $body
            }
            edgecut_graph::DType::I32 => {
                type $t = i32;
                $body
            }
            edgecut_graph::DType::I64 => {
                type $t = i64;
                $body
            }
        }
    };
}

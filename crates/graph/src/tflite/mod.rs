//! TensorFlow Lite: import and export of schema version 3, float, int8 and uint8.
//!
//! Import translates NHWC into the graph's NCHW: weights, axes and shapes are permuted, and a
//! Transpose appears only where an operator mixes pixels and channels (Reshape of an image).
//! Padding becomes explicit, fused activations become nodes. Quantised tensors keep their scales
//! and zero points bit for bit: an operator on them is Dequantize, operator, clamp, Quantize.
//! Weights stored as int8, int4, uint8 or float16 for a float operator are dequantised the same way;
//! LiteRT quantises the inputs of such an operator while it runs, so that its results differ.
//! What edgecut does not understand is an error that names operator, code, version and tensor.
//!
//! TensorFlow Lite's kernels multiply by fixed-point numbers and round halves away from zero; the
//! graph's Quantize divides in float32 and rounds halves to even. An operator fed the same
//! integers gives the same integers but where the two roundings differ by one.
//!
//! | file | concern |
//! | --- | --- |
//! | `flat` | FlatBuffers: bounds-checked tables and vectors |
//! | `schema` | field numbers, codes, names |
//! | `tensors` | type, shape, quantisation, stored elements |
//! | `values` | tensors as values of the graph, in the layout a reader needs |
//! | `import`, `node` | one operator after another |
//! | `operators`, `ops_*` | one mapping for each operator |
//! | `write` | the way back |
//!
//! # Memory
//!
//! Nothing is allocated from a declared size before the bytes that back it were seen. Constants
//! take at most four times the file's size plus [`MAX_IMPORT_OVERHEAD`], however often a file
//! mentions the same bytes; nodes and values are limited as everywhere.
//!
//! [`MAX_IMPORT_OVERHEAD`]: crate::limits::MAX_IMPORT_OVERHEAD

mod flat;
mod import;
mod node;
mod operators;
mod ops_batch;
mod ops_index;
mod ops_math;
mod ops_shape;
mod ops_slice;
mod ops_window;
mod schema;
mod tensors;
mod values;
mod write;

pub use import::{from_bytes, import};
pub use write::{export, to_bytes};

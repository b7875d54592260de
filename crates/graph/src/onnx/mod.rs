//! ONNX: import of opsets 6 to 25, export of opset 17 or what a graph needs.
//!
//! Import reads what the operator set of the file says and writes what the graph means: padding
//! becomes explicit, small constant inputs become attributes, Identity, Dropout and Constant
//! disappear, computations of shapes are evaluated with the symbols of unknown extents, and what
//! depends on constants alone is computed. Anything that edgecut does not understand is an error
//! that names it; nothing is guessed or skipped.
//!
//! | file | concern |
//! | --- | --- |
//! | `proto` | the protobuf messages |
//! | `scan` | refuses files whose decoding would need too much memory |
//! | `template` | the decoded file; graphs for given input shapes |
//! | `import` | one node after another, outputs |
//! | `order` | topological order, unique names |
//! | `tensors`, `external` | stored tensors, and those in other files |
//! | `attributes`, `node` | what an operator's mapping sees |
//! | `operators` | one mapping for each operator, by family |
//! | `parts` | nodes that become several |
//! | `shapes` | evaluation of shape computations |
//! | `export`, `write` | the way back, and pieces of messages |
//!
//! # Memory
//!
//! Nothing is allocated from a declared size before the bytes that back it were seen. Import of
//! `n` bytes (external data counts as part of the file) holds at most [`import_memory_bound`]
//! bytes at any moment:
//!
//! - the bytes themselves (`n`), the decoded messages (at most `4 n` plus
//!   [`MAX_IMPORT_OVERHEAD`], checked before decoding), the tensors and the converted form of one
//!   of them (at most `4 n`, for float16), names (less than `3 n`);
//! - the graph's nodes and values: about 1.3 kB for each of at most [`MAX_NODES`];
//! - constants that folding makes: [`MAX_FOLDED_ELEMENTS`] of at most 8 bytes, twice while one is
//!   being made.
//!
//! [`MAX_NODES`]: crate::limits::MAX_NODES
//! [`MAX_IMPORT_OVERHEAD`]: crate::limits::MAX_IMPORT_OVERHEAD
//! [`MAX_FOLDED_ELEMENTS`]: crate::limits::MAX_FOLDED_ELEMENTS

mod attributes;
mod export;
mod external;
mod import;
mod items;
mod node;
mod operators;
mod order;
mod parts;
#[doc(hidden)]
pub mod proto;
mod scan;
mod shapes;
mod template;
mod tensors;
#[cfg(test)]
mod tests;
mod write;

pub use export::{
    ExportOptions, QuantisedForm, export, export_external, export_with, four_bit_weights, to_bytes,
    to_bytes_with,
};
pub use import::{from_bytes, import};
pub use operators::{supported, supported_microsoft};
pub use template::{Declared, Template};

/// Oldest operator set that is read.
pub const MIN_OPSET: i64 = 6;
/// Newest operator set that is read.
pub const MAX_OPSET: i64 = 25;
/// Key in [`Graph::metadata`](crate::Graph::metadata) of the text that describes a model, which
/// ONNX keeps apart from other metadata (`ModelProto.doc_string`).
pub const DOC_STRING: &str = "onnx.doc_string";
/// Operator set that is written: readable by ONNX Runtime 1.12 (2022) and later. A graph with an
/// operator of a later set is written in the first one that has it.
pub const EXPORT_OPSET: i64 = 17;

/// Bytes that importing a file of `len` bytes allocates at most at any moment.
pub const fn import_memory_bound(len: u64) -> u64 {
    use crate::limits::{MAX_FOLDED_ELEMENTS, MAX_IMPORT_OVERHEAD};
    12 * len + 4 * MAX_IMPORT_OVERHEAD as u64 + 16 * MAX_FOLDED_ELEMENTS as u64
}

//! Limits on what a model file may declare, each stated once.
//!
//! They bound the work and memory that a hostile file can cause; real models are far below.

/// Largest number of dimensions of a tensor.
pub const MAX_RANK: usize = 8;
/// Largest number of elements of a tensor: 2^31, 8 GiB of float32.
pub const MAX_ELEMENTS: usize = 1 << 31;
/// Largest number of nodes in a graph.
pub const MAX_NODES: usize = 1 << 17;
/// Largest number of values (inputs, constants, results) in a graph.
pub const MAX_VALUES: usize = 1 << 19;
/// Largest kernel extent, stride, dilation or padding of a window, in elements.
pub const MAX_WINDOW: usize = 1 << 14;
/// Largest model file read into memory: 2 GiB, the limit of protobuf.
pub const MAX_FILE_BYTES: u64 = 1 << 31;
/// Largest number of elements that constant folding at import reads and makes, all nodes together.
pub const MAX_FOLDED_ELEMENTS: usize = 1 << 24;
/// Memory that decoding an ONNX file may take beyond four times its size, in bytes: the structure
/// of a graph of some hundred thousand nodes.
pub const MAX_IMPORT_OVERHEAD: usize = 1 << 26;
/// Largest number of elements of a vector that import evaluates as part of a shape computation.
pub const MAX_SHAPE_ITEMS: usize = 256;

//! Limits on what a file of weights may declare. They bound the work and memory that a hostile file
//! can cause; the largest network of the zoo is a hundred times below.

/// Largest file: 2 GiB.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 31;
/// Most tensors of a file.
pub(super) const MAX_TENSORS: usize = 1 << 16;
/// Most opcodes that a pickle may have executed, and items that they copy; a tensor takes about 60.
pub(super) const MAX_STEPS: usize = 1 << 19;
/// Longest name of a tensor, storage, class or field in bytes. Longer texts are no names.
pub(super) const MAX_NAME: usize = 1 << 10;
/// Longest header of a safetensors file in bytes; a tensor takes about 100.
pub(super) const MAX_HEADER: usize = 1 << 23;
/// Bytes that all tensors together may take beyond three times the file. Elements of two bytes
/// become four; views may overlap, so that without a bound a small storage fills the memory.
pub(super) const TENSOR_SLACK: u64 = 1 << 20;

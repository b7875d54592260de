//! Every bound on what a data set may make this crate allocate, declared once.
//!
//! Readers compare a declared size with the size of the file *before* they allocate, and these
//! constants bound what remains: a compressed file may expand far beyond its own size.

/// Bytes of decoded pixels that one in-memory set may hold.
pub const MAX_SET_BYTES: u64 = 4 << 30;

/// Samples in one set: an index fits `u32`, which keeps shuffled orders small.
pub const MAX_SAMPLES: u64 = 1 << 28;

/// Classes in one set. A label above it is a broken label file, not a data set.
pub const MAX_CLASSES: u32 = 1 << 16;

/// Width and height of a picture, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// Bytes that decoding one picture may take: 64 megapixels of RGB plus the decoder's own buffers.
pub const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Files in one class folder tree; beyond it the path was hardly meant as a data set.
pub const MAX_FOLDER_FILES: usize = 5_000_000;

/// Bytes of text in a class-name file or a `.npy` header.
pub const MAX_TEXT: u64 = 1 << 20;

/// Entries in a `.npz` archive.
pub const MAX_ARCHIVE_ENTRIES: usize = 4096;

/// DEFLATE cannot expand more than this (a 258-byte match takes at least 2 bits), so a declared
/// size above `compressed * 1032` is a lie, whatever the stream holds.
pub const MAX_DEFLATE_RATIO: u64 = 1032;

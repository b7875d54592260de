//! What a kind of unit does in its own way: rounding, and the strips of a product.

use std::ops::Range;

use crate::Epilogue;

/// A kind of unit, as a type: its operations are inlined into functions compiled for it.
pub(super) trait Machine: Copy {
    /// Rounds a run of pixels, each to whole cache lines, filled up with zeros.
    ///
    /// # Safety
    /// The pixels must be there, and `to` valid for the cache lines, to which it is aligned.
    unsafe fn round(self, run: &Run, to: *mut u32);

    /// Computes a strip of the output.
    ///
    /// # Safety
    /// The strip's pointers and sizes must be those of valid operands.
    unsafe fn strip(self, strip: &Strip);
}

/// Neighbouring input pixels.
pub(super) struct Run {
    /// The first channel of the first pixel.
    pub x: *const f32,
    /// Floats from one pixel to the next.
    pub stride: usize,
    pub pixels: usize,
    pub channels: usize,
}

/// A block of output pixels times a panel of output channels.
pub(super) struct Strip<'a> {
    /// The first tap of the first pixel.
    pub a: *const u32,
    /// Words from one pixel to the next.
    pub advance: usize,
    /// Words from one kernel row to the next.
    pub row: usize,
    /// Words from one kernel column to the next.
    pub tap: usize,
    /// Kernel rows and columns.
    pub taps: [usize; 2],
    /// Input channels of a tap.
    pub channels: usize,
    /// The tiles of the panel, from the first kernel row on.
    pub b: &'a [u32],
    /// Room for the sums of two by two tiles and a row of biases, aligned to a cache line.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only AMX sums in memory"))]
    pub sums: *mut f32,
    /// The output pixels.
    pub pixels: Range<usize>,
    /// The output channels.
    pub columns: Range<usize>,
    /// Channel 0 of pixel 0 of the output.
    pub out: *mut f32,
    /// Floats from one output pixel to the next.
    pub out_stride: usize,
    /// For the channels of this group.
    pub epilogue: Epilogue<'a>,
}

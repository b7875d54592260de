//! One or two output rows of a depthwise convolution.

use super::columns::Kernel;
use super::plain;
use super::plan::Plan;
use super::weights::{Block, DepthwiseWeights};
use crate::input_rows::{Rows, holds};
use crate::quant::quads::BYTES;
use crate::quant::{Finish, quads};
use crate::{ConvShape, Isa};
use std::ops::Range;

/// One or two neighbouring output rows of an image, on the calling thread.
///
/// `rows[ky]` is the input row that kernel row `ky` meets for the first output row, its pixels
/// `x_stride` bytes apart, from the first channel on; an empty slice where it lies in the padding.
/// There are `kh` of them for one output row, and `kh + 1` for two, which only a kernel with
/// vertical stride and dilation 1 takes. `outs` are rows of `shape.ow` pixels `out_stride` bytes
/// apart; pixel i of an output row is row i of its finish.
///
/// # Panics
/// If the shape is not depthwise, or a slice is shorter than all this says.
pub fn depthwise_rows(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[u8]],
    x_stride: usize,
    weights: &DepthwiseWeights,
    outs: &mut [&mut [u8]],
    out_stride: usize,
    finishes: &[Finish],
) {
    shape.check();
    assert!(weights.fit(shape), "weights of another shape than {shape:?}");
    assert!((1..=weights.rows()).contains(&outs.len()), "{} output rows at once", outs.len());
    assert_eq!(finishes.len(), outs.len(), "one finish per output row");
    assert_eq!(rows.len(), shape.kh + outs.len() - 1, "input rows of {shape:?}");
    assert!(out_stride >= shape.cout, "output pixels overlap");
    if shape.ow == 0 || shape.cout == 0 {
        return;
    }
    let c = shape.cin;
    let fits = |row: &&[u8]| row.is_empty() || holds(row.len(), shape.w, x_stride, c);
    assert!(rows.iter().all(fits), "an input row is shorter than {shape:?} says");
    for (out, finish) in outs.iter().zip(finishes) {
        assert!(holds(out.len(), shape.ow, out_stride, c), "an output row is too short");
        finish.check(shape.ow, c);
        assert!(finish.interleave.is_none(), "a depthwise convolution does not interleave");
    }
    let last = outs.len() - 1;
    let lines = Lines {
        shape,
        rows: Rows::Slices(rows),
        x_stride,
        weights,
        count: outs.len(),
        outs: [outs[0].as_mut_ptr(), outs[last].as_mut_ptr()],
        out_stride,
        finishes: [finishes[0], finishes[last]],
        channels: 0..c,
    };
    // SAFETY: all sizes have been checked.
    unsafe { lines.compute(isa) };
}

/// What a call reads and writes. Outputs are pointers, because threads may share the pixels of a
/// row among them, each with channels of its own.
///
/// To be computed, each row of the input must hold `shape.w` pixels, each of the `count` rows of the
/// output must be valid for writes of the channels in `channels` of `shape.ow` pixels, and weights
/// and finishes must have been checked against the shape.
pub(super) struct Lines<'a> {
    pub shape: &'a ConvShape,
    pub rows: Rows<'a, u8>,
    pub x_stride: usize,
    pub weights: &'a DepthwiseWeights,
    /// Output rows: at most `weights.rows()`.
    pub count: usize,
    /// The output rows at channel 0.
    pub outs: [*mut u8; 2],
    pub out_stride: usize,
    pub finishes: [Finish<'a>; 2],
    /// The channels to compute, from the first of a block on to the last of one.
    pub channels: Range<usize>,
}

impl Lines<'_> {
    /// Computes the output rows.
    ///
    /// # Safety
    /// The contract of [`Lines`].
    pub unsafe fn compute(&self, isa: Isa) {
        let mut channel = self.channels.start;
        let mut plan = None;
        while channel < self.channels.end {
            let block = Block::at(channel, self.shape.cin);
            // There are at most two widths.
            if channel == self.channels.start || block.width != BYTES {
                plan = Plan::new(self, block.width);
            }
            let kernel = plan.as_ref().map(|plan| Kernel { lines: self, plan, block });
            if !kernel.is_some_and(|kernel| quads::run(isa, kernel)) {
                plain::rows(isa, self, block);
            }
            channel = block.first + block.width;
        }
    }
}

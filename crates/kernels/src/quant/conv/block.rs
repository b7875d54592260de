//! Output rows that pass the weights together, from a padded copy of what they read.
//!
//! Weights that do not fit into the second-level cache are streamed once per block and not once per
//! row, and rows of few pixels fill the registers two at a time.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::row::COPY;
use super::runs::Runs;
use crate::Isa;
use crate::conv::ConvShape;
use crate::quant::ConvWeights;
use crate::quant::pack::slack;
use crate::quant::product::{Left, Out, RESIDENT, multiply};

/// Bytes of the copy where the weights stay in the second-level cache: it stays in the first.
const SMALL: usize = 24 * 1024;

/// Images and weights that have been checked.
pub(super) struct Blocks<'a> {
    pub isa: Isa,
    pub shape: &'a ConvShape,
    pub x: &'a [u8],
    pub x_stride: usize,
    pub weights: &'a ConvWeights,
    pub out: Out<'a>,
}

/// Columns of the input with its padding that a row of the output reads.
fn columns(shape: &ConvShape) -> usize {
    (shape.ow - 1) * shape.sw + (shape.kw - 1) * shape.dw + 1
}

/// Rows of the input with its padding that `rows` rows of the output read.
fn reach(shape: &ConvShape, rows: usize) -> usize {
    (rows - 1) * shape.sh + (shape.kh - 1) * shape.dh + 1
}

/// Output rows of a block; 0 if not even one fits.
pub(super) fn rows_of_block(shape: &ConvShape, weights: &ConvWeights) -> usize {
    let fits = |rows: &usize, room: usize| {
        let len = reach(shape, *rows).checked_mul(columns(shape));
        let len = len.and_then(|len| len.checked_mul(shape.cin));
        len.and_then(|len| len.checked_add(slack(shape.cin))).is_some_and(|len| len <= room)
    };
    let most = |room| (1..=shape.oh).take_while(|rows| fits(rows, room)).last().unwrap_or(0);
    let rows = if weights.bytes() > RESIDENT { COPY } else { SMALL };
    let rows = most(rows).max(most(COPY).min(2));
    // Two at a time.
    if rows > 2 { rows / 2 * 2 } else { rows }
}

impl Blocks<'_> {
    /// Computes output rows of image `image` and some panels of each group.
    ///
    /// # Safety
    /// Nobody else may use this part of the output; the rows must be those of a block at most.
    pub unsafe fn compute(&self, image: usize, rows: Range<usize>, panels: Range<usize>) {
        let shape = self.shape;
        let mut copy = MaybeUninit::<[u8; COPY]>::uninit();
        // SAFETY: a byte has no invalid bits, and every byte is written before it is read.
        let copy = unsafe { std::slice::from_raw_parts_mut(copy.as_mut_ptr().cast(), COPY) };
        self.copy(image, &rows, copy);
        let line = columns(shape) * shape.cin;
        for group in 0..shape.groups {
            let channels = self.weights.channels(shape, group);
            let mut runs = Runs::new();
            for ky in 0..shape.kh {
                let at = copy[ky * shape.dh * line..].as_ptr();
                // SAFETY: these runs are not exact.
                unsafe { runs.push_taps(shape, &channels, at, shape.cin, 0..shape.kw, ky) };
            }
            let left = Left {
                runs: runs.list(),
                lda: shape.sw * shape.cin,
                rows: shape.ow,
                line: shape.sh * line,
                lines: rows.len(),
            };
            let first = (image * shape.oh + rows.start) * shape.ow;
            let out = self.out.columns_from(group * shape.cout_per_group()).rows_from(first);
            // SAFETY: all taps lie in the copy; the output by contract.
            unsafe {
                multiply(self.isa, left, panels.clone(), self.weights.group(group), &out);
            }
        }
    }

    /// Copies what output rows read, padding included.
    fn copy(&self, image: usize, rows: &Range<usize>, copy: &mut [u8]) {
        let (shape, columns) = (self.shape, columns(self.shape));
        let (cin, pad) = (shape.cin, self.weights.zero_point());
        let before = shape.pl.min(columns);
        let end = (shape.w + shape.pl).clamp(before, columns);
        let count = reach(shape, rows.len());
        let (lines, behind) = copy.split_at_mut(count * columns * cin);
        behind[..slack(cin)].fill(0);
        for (i, line) in lines.chunks_exact_mut((columns * cin).max(1)).enumerate() {
            // In the padding it wraps far beyond the height.
            let y = (rows.start * shape.sh + i).wrapping_sub(shape.pt);
            if y >= shape.h {
                line.fill(pad);
                continue;
            }
            line[..before * cin].fill(pad);
            line[end * cin..].fill(pad);
            let line = &mut line[before * cin..end * cin];
            let x = &self.x[(image * shape.h + y) * shape.w * self.x_stride..];
            if self.x_stride == cin {
                line.copy_from_slice(&x[..line.len()]);
            } else {
                for (to, x) in line.chunks_exact_mut(cin).zip(x.chunks(self.x_stride)) {
                    to.copy_from_slice(&x[..cin]);
                }
            }
        }
    }
}

//! Rows of a convolution on the register tile of products, without im2col.
//!
//! The inputs of an output pixel are `kh` runs of `kw * cin` neighbouring floats, and those of the
//! next pixel lie a fixed distance further on. So pixels whose taps all exist are the rows of a
//! product as they lie. Pixels at the ends of a row, whose kernel hangs over the edge, take their
//! inputs from a copy of the ends with the zeros written out: a few pixels of `kh` rows, one float
//! copied for some `3 * cout` multiply-adds. Kernel rows in the padding are left out.

use super::runs::{ChannelRuns, Runs};
use super::{ConvShape, ConvWeights};
use crate::gemm::{Left, Out, RESIDENT, multiply, part};
use crate::{Epilogue, Isa};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Floats of the copy of both ends of a row, on the stack.
const COPY: usize = 16 * 1024;

/// Pixels of a tile, on the instruction set with most registers.
const TILE: usize = 14;

/// One output row of an image, on the calling thread.
///
/// `rows[ky]` is the input row that kernel row `ky` meets, its pixels `x_stride` floats apart, from
/// the first channel on; an empty slice where it lies in the padding. `out` is a row of `shape.ow`
/// pixels `out_stride` floats apart; pixel i is row i of the epilogue. The bits are those of
/// [`conv`](super::conv) with the same weights.
///
/// # Panics
/// If the weights are of another shape, or a slice is shorter than all this says.
pub fn conv_row(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[f32]],
    x_stride: usize,
    weights: &ConvWeights,
    out: &mut [f32],
    out_stride: usize,
    epilogue: &Epilogue,
) {
    shape.check();
    assert!(weights.fit(shape), "weights were packed for another use than {shape:?}");
    assert_eq!(rows.len(), shape.kh, "input rows of {shape:?}");
    assert!(out_stride >= epilogue.width(shape.cout), "output pixels overlap");
    if shape.ow == 0 || shape.cout == 0 {
        return;
    }
    let enough = |len: usize, pixels: usize, stride: usize, width: usize| {
        pixels == 0 || len >= (pixels - 1) * stride + width
    };
    let fits = |row: &&[f32]| row.is_empty() || enough(row.len(), shape.w, x_stride, shape.cin);
    assert!(rows.iter().all(fits), "an input row is shorter than {shape:?} says");
    let width = epilogue.width(shape.cout);
    assert!(enough(out.len(), shape.ow, out_stride, width), "the output row is too short");
    epilogue.check(shape.ow, shape.cout);
    let mut copy = MaybeUninit::<[f32; COPY]>::uninit();
    for group in 0..shape.groups {
        let column = group * shape.cout_per_group();
        let row = Row {
            isa,
            shape,
            rows,
            x_stride,
            channels: ChannelRuns::new(shape, group, weights.shuffle()),
            weights: weights.group(group),
            out: out.as_mut_ptr().wrapping_add(epilogue.width(column)),
            out_stride,
            epilogue: &epilogue.columns_from(column),
        };
        row.compute(&mut copy);
    }
}

/// One output row of the first convolution of a network, which reads the caller's planes as they
/// are: `rows[c * kh + ky]` is the row of plane `c` that kernel row `ky` meets, `shape.w` floats, or
/// an empty slice where it lies in the padding (of all planes then). Weights are from
/// [`ConvWeights::pack_planar`]; all else is as for [`conv_row`].
///
/// # Panics
/// As [`conv_row`], and if the shape has groups.
pub fn planar_conv_row(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[f32]],
    weights: &ConvWeights,
    out: &mut [f32],
    out_stride: usize,
    epilogue: &Epilogue,
) {
    conv_row(isa, &planar(shape), rows, 1, weights, out, out_stride, epilogue);
}

/// Planes are kernel rows of a convolution of one channel.
pub(super) fn planar(shape: &ConvShape) -> ConvShape {
    assert_eq!(shape.groups, 1, "planes with groups");
    ConvShape { cin: 1, kh: shape.kh * shape.cin, ..*shape }
}

/// One group of an output row. The slices have been checked.
struct Row<'a> {
    isa: Isa,
    shape: &'a ConvShape,
    rows: &'a [&'a [f32]],
    x_stride: usize,
    channels: ChannelRuns,
    weights: &'a crate::gemm::PackedB,
    out: *mut f32,
    out_stride: usize,
    epilogue: &'a Epilogue<'a>,
}

impl Row<'_> {
    fn compute(&self, copy: &mut MaybeUninit<[f32; COPY]>) {
        let [left, middle, right] = self.ends();
        // SAFETY: `f32` has no invalid bits, and every float is written before it is read.
        let copy = unsafe { std::slice::from_raw_parts_mut(copy.as_mut_ptr().cast(), COPY) };
        let needed = [&left, &right].map(|pixels| self.copy_len(pixels.len()));
        if needed[0] + needed[1] > copy.len() {
            return (0..self.shape.ow).for_each(|pixel| self.pixel(pixel));
        }
        let mut runs = [Runs::new(), Runs::new(), Runs::new()];
        let (first, second) = copy.split_at_mut(needed[0]);
        let ldas = [
            self.copied(&left, first, &mut runs[0]),
            self.direct(&middle, &mut runs[1]),
            self.copied(&right, second, &mut runs[2]),
        ];
        let panels = self.weights.panels();
        let whole = self.weights.bytes() <= 4 * RESIDENT;
        let [a, b, c] = &mut runs;
        let parts = [(a.list(), left), (b.list(), middle), (c.list(), right)];
        for first in 0..if whole { 1 } else { panels } {
            let panels = if whole { 0..panels } else { first..first + 1 };
            for ((runs, pixels), &lda) in parts.iter().zip(&ldas) {
                if !pixels.is_empty() {
                    let left = Left { runs, lda, rows: pixels.len(), turn: (0, 1) };
                    self.multiply(left, panels.clone(), pixels.start);
                }
            }
        }
    }

    /// The pixels of the tiles at the left end, in the middle, where all taps exist, and at the
    /// right end.
    fn ends(&self) -> [Range<usize>; 3] {
        let (ow, interior) = (self.shape.ow, self.shape.interior());
        let tiles = ow.div_ceil(TILE);
        let inside = |i: &usize| {
            let tile = part(ow, *i, tiles);
            interior.start <= tile.start && tile.end <= interior.end
        };
        let first = (0..tiles).find(inside).map_or(ow, |i| part(ow, i, tiles).start);
        let last = (0..tiles).rfind(inside).map_or(ow, |i| part(ow, i, tiles).end);
        [0..first, first..last, last..ow]
    }

    /// Columns of the input that `pixels` output pixels read, padding included.
    fn columns(&self, pixels: usize) -> usize {
        (pixels - 1) * self.shape.sw + (self.shape.kw - 1) * self.shape.dw + 1
    }

    fn copy_len(&self, pixels: usize) -> usize {
        if pixels == 0 {
            return 0;
        }
        self.shape.kh * self.columns(pixels) * self.shape.cin_per_group()
    }

    /// Where column 0 of the input row of kernel row `ky` is.
    fn row(&self, ky: usize) -> Option<*const f32> {
        (!self.rows[ky].is_empty()).then(|| self.rows[ky].as_ptr())
    }

    /// What pixels whose taps all exist read. Returns the floats between them.
    fn direct(&self, pixels: &Range<usize>, runs: &mut Runs) -> usize {
        let shape = self.shape;
        if !pixels.is_empty() {
            let column = pixels.start * shape.sw - shape.pl;
            for ky in 0..shape.kh {
                if let Some(row) = self.row(ky) {
                    let at = row.wrapping_add(column * self.x_stride);
                    let first_row = ky * shape.kw * shape.cin_per_group();
                    let taps = 0..shape.kw;
                    runs.push_taps(shape, &self.channels, at, self.x_stride, taps, first_row);
                }
            }
        }
        shape.sw * self.x_stride
    }

    /// Copies what pixels read, with zeros for what lies in the padding. Returns the floats between
    /// pixels of the copy.
    fn copied(&self, pixels: &Range<usize>, copy: &mut [f32], runs: &mut Runs) -> usize {
        let (shape, k) = (self.shape, self.shape.cin_per_group());
        if pixels.is_empty() {
            return 0;
        }
        let columns = self.columns(pixels.len());
        // The first column, as counted with padding, and those that exist among all of them.
        let start = pixels.start * shape.sw;
        let before = shape.pl.saturating_sub(start).min(columns);
        let end = (shape.w + shape.pl).saturating_sub(start).clamp(before, columns);
        let packed = ConvShape { cin: k, groups: 1, ..*shape };
        let all = ChannelRuns::new(&packed, 0, 1);
        for (ky, copy) in copy.chunks_exact_mut(columns * k).enumerate().take(shape.kh) {
            if self.rows[ky].is_empty() {
                continue;
            }
            copy[..before * k].fill(0.0);
            copy[end * k..].fill(0.0);
            let to = &mut copy[before * k..end * k];
            let column = if to.is_empty() { 0 } else { start + before - shape.pl };
            let x = &self.rows[ky][column * self.x_stride..];
            if self.channels.whole && self.x_stride == k {
                to.copy_from_slice(&x[..to.len()]);
            } else {
                self.copy_pixels(x, to);
            }
            let first_row = ky * shape.kw * k;
            runs.push_taps(&packed, &all, copy.as_ptr(), k, 0..shape.kw, first_row);
        }
        shape.sw * k
    }

    /// Copies the channels of the group from pixels at `x`.
    fn copy_pixels(&self, x: &[f32], to: &mut [f32]) {
        let k = self.shape.cin_per_group();
        for (i, mut to) in to.chunks_exact_mut(k).enumerate() {
            for (channel, len) in self.channels.each() {
                let (now, rest) = to.split_at_mut(len);
                now.copy_from_slice(&x[i * self.x_stride + channel..][..len]);
                to = rest;
            }
        }
    }

    /// One pixel with the taps that it has, where a copy would be too large.
    fn pixel(&self, pixel: usize) {
        let (shape, taps) = (self.shape, self.shape.columns_of(pixel));
        let mut runs = Runs::new();
        for ky in 0..shape.kh {
            if let Some(row) = self.row(ky) {
                let at = row.wrapping_add(taps.at * self.x_stride);
                let first_row = ky * shape.kw * shape.cin_per_group();
                let taps = taps.tap..taps.tap + taps.count;
                runs.push_taps(shape, &self.channels, at, self.x_stride, taps, first_row);
            }
        }
        let left = Left { runs: runs.list(), lda: 0, rows: 1, turn: (0, 1) };
        self.multiply(left, 0..self.weights.panels(), pixel);
    }

    /// Multiplies what pixels from `pixel` on read.
    fn multiply(&self, left: Left, panels: Range<usize>, pixel: usize) {
        let epilogue = &self.epilogue.rows_from(pixel);
        let at = self.out.wrapping_add(pixel * self.out_stride);
        let out = Out { at, ldc: self.out_stride, far: false, epilogue };
        // SAFETY: `conv_row` has checked the slices: all taps of the pixels are in them or in the
        // copy, and the output row, which it has borrowed, holds the pixels.
        unsafe { multiply(self.isa, left, panels, self.weights, out) };
    }
}

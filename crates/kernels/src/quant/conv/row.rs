//! Rows of a convolution on the register tile of products, without im2col.
//!
//! As in float: pixels whose taps all exist are the rows of a product as they lie, and those at the
//! ends of a row take their inputs from a copy of the ends with the padding written out. Padding is
//! the zero point here and not 0, so kernel rows in the padding, which are left out, add a constant
//! to the bias. The last bytes of a row may be copied as well where groups of 4 reach beyond them.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::runs::Runs;
use crate::Isa;
use crate::conv::{ChannelRuns, ConvShape};
use crate::gemm::part;
use crate::quant::pack::{GROUP, PackedWeights, groups_of_run};
use crate::quant::product::{Left, Out, RESIDENT, multiply};

/// Bytes of the copy of both ends of a row, on the stack.
pub(super) const COPY: usize = 64 * 1024;

/// Pixels of a tile, on the instruction sets with most registers.
const TILE: usize = 14;

/// One group of an output row. The slices have been checked.
pub(super) struct Row<'a> {
    pub isa: Isa,
    pub shape: &'a ConvShape,
    pub rows: &'a [&'a [u8]],
    pub x_stride: usize,
    pub channels: ChannelRuns,
    pub weights: &'a PackedWeights,
    /// What the padding holds.
    pub pad: u8,
    pub out: &'a Out<'a>,
}

impl Row<'_> {
    /// Computes the panels `panels`.
    ///
    /// # Safety
    /// The output must be valid for writes of the row.
    pub unsafe fn compute(&self, panels: Range<usize>, copy: &mut MaybeUninit<[u8; COPY]>) {
        let [left, middle, right] = self.ends();
        let needed = [&left, &right].map(|pixels| self.copy_len(pixels.len()));
        // SAFETY: a byte has no invalid bits, and every byte is written before it is read.
        let copy = unsafe { std::slice::from_raw_parts_mut(copy.as_mut_ptr().cast(), COPY) };
        if needed[0] + needed[1] > copy.len() {
            let k = self.shape.cin_per_group();
            let mut many = vec![0; if k > copy.len() { k } else { 0 }];
            let padding = if many.is_empty() { &mut copy[..k] } else { &mut many[..] };
            padding.fill(self.pad);
            for x in 0..self.shape.ow {
                // SAFETY: by contract.
                unsafe { self.pixel(x, panels.clone(), padding) };
            }
            return;
        }
        let mut runs = [Runs::new(), Runs::new(), Runs::new()];
        let (first, second) = copy.split_at_mut(needed[0]);
        let ldas = [
            self.copied(&left, first, &mut runs[0]),
            self.direct(&middle, &mut runs[1]),
            self.copied(&right, second, &mut runs[2]),
        ];
        let whole = self.weights.bytes() <= RESIDENT;
        let step = if whole { panels.len() } else { 2 };
        for first in panels.clone().step_by(step.max(1)) {
            let panels = first..(first + step).min(panels.end);
            let pixels = [left.clone(), middle.clone(), right.clone()];
            for ((runs, pixels), lda) in runs.iter_mut().zip(pixels).zip(ldas) {
                if !pixels.is_empty() {
                    let left = Left::rows(runs.list(), lda, pixels.len());
                    // SAFETY: by contract.
                    unsafe { self.multiply(left, panels.clone(), pixels.start) };
                }
            }
        }
    }

    /// The pixels of the tiles at the left end, in the middle, where all taps can be read in groups,
    /// and at the right end.
    fn ends(&self) -> [Range<usize>; 3] {
        let (ow, interior) = (self.shape.ow, self.readable());
        let tiles = ow.div_ceil(TILE);
        let inside = |i: &usize| {
            let tile = part(ow, *i, tiles);
            interior.start <= tile.start && tile.end <= interior.end
        };
        let first = (0..tiles).find(inside).map_or(ow, |i| part(ow, i, tiles).start);
        let last = (0..tiles).rfind(inside).map_or(ow, |i| part(ow, i, tiles).end);
        [0..first, first..last, last..ow]
    }

    /// The pixels whose taps all exist, with whole groups of channels.
    fn readable(&self) -> Range<usize> {
        let shape = self.shape;
        let interior = shape.interior();
        let end = |(channel, len): (usize, usize)| channel + groups_of_run(len) * GROUP;
        let reach = self.channels.each().map(end).max().unwrap_or(0);
        let rows = self.rows.iter().filter(|row| !row.is_empty());
        let shortest = rows.map(|row| row.len()).min().unwrap_or(usize::MAX);
        let fits = |&pixel: &usize| {
            let column = pixel * shape.sw + (shape.kw - 1) * shape.dw - shape.pl;
            column * self.x_stride + reach <= shortest
        };
        // At most the last few pixels do not: groups reach a few bytes too far.
        let end = interior.clone().rev().find(fits).map_or(interior.start, |last| last + 1);
        interior.start..end
    }

    /// Columns of the input that `pixels` output pixels read, padding included.
    fn columns(&self, pixels: usize) -> usize {
        (pixels - 1) * self.shape.sw + (self.shape.kw - 1) * self.shape.dw + 1
    }

    fn copy_len(&self, pixels: usize) -> usize {
        if pixels == 0 {
            return 0;
        }
        self.shape.kh * self.columns(pixels) * self.shape.cin_per_group() + self.slack()
    }

    /// How many bytes behind a run its groups reach.
    fn slack(&self) -> usize {
        let slack = |(_, len)| groups_of_run(len) * GROUP - len;
        self.channels.each().map(slack).max().unwrap_or(0)
    }

    /// What pixels whose taps all exist read. Returns the bytes between them.
    fn direct(&self, pixels: &Range<usize>, runs: &mut Runs) -> usize {
        let shape = self.shape;
        if !pixels.is_empty() {
            let column = pixels.start * shape.sw - shape.pl;
            for (ky, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
                let at = row.as_ptr().wrapping_add(column * self.x_stride);
                // SAFETY: these runs are not exact.
                unsafe {
                    runs.push_taps(shape, &self.channels, at, self.x_stride, 0..shape.kw, ky);
                }
            }
        }
        shape.sw * self.x_stride
    }

    /// Copies what pixels read, padding included. Returns the bytes between pixels of the copy.
    fn copied(&self, pixels: &Range<usize>, copy: &mut [u8], runs: &mut Runs) -> usize {
        let (shape, k) = (self.shape, self.shape.cin_per_group());
        if pixels.is_empty() {
            return 0;
        }
        let columns = self.columns(pixels.len());
        // The first column, as counted with padding, and those that exist among all of them.
        let start = pixels.start * shape.sw;
        let before = shape.pl.saturating_sub(start).min(columns);
        let end = (shape.w + shape.pl).saturating_sub(start).clamp(before, columns);
        // The channels lie in the order of the weights, but still in their runs.
        let runs_of = self.channels.packed();
        let (len, slack) = (shape.kh * columns * k, self.slack());
        let (copy, behind) = copy[..len + slack].split_at_mut(len);
        behind.fill(0);
        for (ky, copy) in copy.chunks_exact_mut((columns * k).max(1)).enumerate() {
            if self.rows[ky].is_empty() {
                // Read by the last groups of the row before it.
                let len = copy.len().min(slack);
                copy[..len].fill(0);
                continue;
            }
            copy[..before * k].fill(self.pad);
            copy[end * k..].fill(self.pad);
            let to = &mut copy[before * k..end * k];
            let column = if to.is_empty() { 0 } else { start + before - shape.pl };
            let x = &self.rows[ky][column * self.x_stride..];
            if self.channels.whole && self.x_stride == k {
                to.copy_from_slice(&x[..to.len()]);
            } else {
                self.copy_pixels(x, to);
            }
            // SAFETY: these runs are not exact.
            unsafe { runs.push_taps(shape, &runs_of, copy.as_ptr(), k, 0..shape.kw, ky) };
        }
        shape.sw * k
    }

    /// Copies the channels of the group from pixels at `x`.
    fn copy_pixels(&self, x: &[u8], to: &mut [u8]) {
        let k = self.shape.cin_per_group();
        for (i, mut to) in to.chunks_exact_mut(k.max(1)).enumerate() {
            for (channel, len) in self.channels.each() {
                let (now, rest) = to.split_at_mut(len);
                now.copy_from_slice(&x[i * self.x_stride + channel..][..len]);
                to = rest;
            }
        }
    }

    /// One pixel, where a copy would be too large; `padding` is what one of the padding holds.
    ///
    /// # Safety
    /// As [`Row::compute`].
    unsafe fn pixel(&self, pixel: usize, panels: Range<usize>, padding: &[u8]) {
        let (shape, k) = (self.shape, self.shape.cin_per_group());
        let mut runs = Runs::exact();
        for (ky, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            for kx in 0..shape.kw {
                // In the padding it wraps far beyond the width.
                let column = (pixel * shape.sw + kx * shape.dw).wrapping_sub(shape.pl);
                // SAFETY: the pixel lies in the row, or the runs in the padding.
                unsafe {
                    let taps = kx..kx + 1;
                    if column < shape.w {
                        let at = row.as_ptr().wrapping_add(column * self.x_stride);
                        runs.push_taps(shape, &self.channels, at, self.x_stride, taps, ky);
                    } else {
                        let packed = self.channels.packed();
                        runs.push_taps(shape, &packed, padding.as_ptr(), k, taps, ky);
                    }
                }
            }
        }
        let left = Left::rows(runs.list(), 0, 1);
        // SAFETY: by contract.
        unsafe { self.multiply(left, panels, pixel) };
    }

    /// Multiplies what pixels from `pixel` on read.
    ///
    /// # Safety
    /// As [`Row::compute`]; the runs must be valid for reads.
    unsafe fn multiply(&self, left: Left, panels: Range<usize>, pixel: usize) {
        let out = &self.out.rows_from(pixel);
        // SAFETY: by contract.
        unsafe { multiply(self.isa, left, panels, self.weights, out) };
    }
}

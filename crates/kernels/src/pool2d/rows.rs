//! One output row of a pooling.
//!
//! 16 channels of a window pass through a register, so each output is written once.

use super::{Divisor, weight};
use crate::input_rows::{Rows, holds};
use crate::simd::{LANES, Simd, simd_fn};
use crate::{ConvShape, Isa};

/// One row of maxima, on the calling thread: minus infinity where a window covers no element.
///
/// `rows[ky]` is the input row that window row `ky` meets, its pixels `x_stride` floats apart, from
/// the first channel on; an empty slice where it lies in the padding. The pixels of `out` are
/// `out_stride` floats apart.
///
/// # Panics
/// If the shape is not depthwise, or a slice is shorter than all this says.
pub fn max_pool_row(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[f32]],
    x_stride: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    if let Some(line) = Line::new(shape, rows, x_stride, out, out_stride) {
        max(isa, &line, out, out_stride);
    }
}

/// Row `oy` of averages, on the calling thread: 0 where the divisor would be 0. Operands are as for
/// [`max_pool_row`].
///
/// # Panics
/// As [`max_pool_row`].
pub fn average_pool_row(
    isa: Isa,
    shape: &ConvShape,
    divisor: Divisor,
    oy: usize,
    rows: &[&[f32]],
    x_stride: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    if let Some(line) = Line::new(shape, rows, x_stride, out, out_stride) {
        average(isa, &line, divisor, oy, out, out_stride);
    }
}

/// What a row of output reads: `kh` rows with `shape.w` pixels each, or null.
pub(super) struct Line<'a> {
    pub shape: &'a ConvShape,
    pub rows: Rows<'a>,
    pub x_stride: usize,
}

impl<'a> Line<'a> {
    /// Checks all operands; `None` where there is nothing to compute.
    fn new(
        shape: &'a ConvShape,
        rows: &'a [&'a [f32]],
        x_stride: usize,
        out: &[f32],
        out_stride: usize,
    ) -> Option<Line<'a>> {
        shape.check();
        assert!(shape.is_depthwise(), "pooling has one group per channel: {shape:?}");
        assert_eq!(rows.len(), shape.kh, "one input row per row of the window of {shape:?}");
        let c = shape.cin;
        let fits = |row: &&[f32]| row.is_empty() || holds(row.len(), shape.w, x_stride, c);
        assert!(rows.iter().all(fits), "an input row is shorter than {shape:?} says");
        assert!(out_stride >= c, "output pixels overlap");
        assert!(holds(out.len(), shape.ow, out_stride, c), "the output row is too short");
        let line = Line { shape, rows: Rows::Slices(rows), x_stride };
        (shape.ow > 0 && c > 0).then_some(line)
    }

    /// The maximum or sum of 16 channels of the window of column `ox`, row by row; `None` if it
    /// is empty.
    #[inline(always)]
    fn window<S: Simd, const MAX: bool>(
        &self,
        s: S,
        ox: usize,
        channel: usize,
        mask: S::Mask,
    ) -> Option<S::V> {
        let columns = self.shape.columns_of(ox);
        let mut joined = None;
        for ky in 0..self.shape.kh {
            let row = self.rows.at(ky);
            for i in 0..if row.is_null() { 0 } else { columns.count } {
                let column = columns.at + i * self.shape.dw;
                let x = row.wrapping_add(column * self.x_stride + channel);
                // SAFETY: the row has this column, and the mask ends with its channels.
                let x = unsafe { s.load_first(x, mask) };
                joined = match joined {
                    None => Some(x),
                    Some(y) if MAX => Some(s.max(x, y)),
                    Some(y) => Some(s.add(y, x)),
                };
            }
        }
        joined
    }
}

simd_fn! {
    /// [`max_pool_row`] of operands that have been checked.
    pub(super) fn max(s: Simd, line: &Line<'_>, out: &mut [f32], out_stride: usize) {
        let c = line.shape.cin;
        for (ox, out) in out.chunks_mut(out_stride).take(line.shape.ow).enumerate() {
            for (block, out) in out[..c].chunks_mut(LANES).enumerate() {
                let mask = s.first(out.len());
                let max = line.window::<S, true>(s, ox, block * LANES, mask);
                let max = max.unwrap_or(s.splat(f32::NEG_INFINITY));
                // SAFETY: the mask has as many lanes as the slice.
                unsafe { s.store_first(out.as_mut_ptr(), max, mask) };
            }
        }
    }
}

simd_fn! {
    /// [`average_pool_row`] of operands that have been checked.
    pub(super) fn average(
        s: Simd,
        line: &Line<'_>,
        divisor: Divisor,
        oy: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let c = line.shape.cin;
        for (ox, out) in out.chunks_mut(out_stride).take(line.shape.ow).enumerate() {
            let weight = s.splat(weight(line.shape, divisor, oy, ox));
            for (block, out) in out[..c].chunks_mut(LANES).enumerate() {
                let mask = s.first(out.len());
                let sum = line.window::<S, false>(s, ox, block * LANES, mask);
                let mean = s.mul(sum.unwrap_or(s.splat(0.0)), weight);
                // SAFETY: the mask has as many lanes as the slice.
                unsafe { s.store_first(out.as_mut_ptr(), mean, mask) };
            }
        }
    }
}

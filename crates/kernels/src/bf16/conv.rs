//! One output row: its inputs are rounded block by block, and every panel of weights meets a block.

use std::ops::Range;

use super::machine::{Machine, Run, Strip};
use super::weights::{LINE, STEP, SUMS, Weights};
use super::{Unit, dot};
use crate::pool::SharedMut;
use crate::{ConvShape, Epilogue};

/// Bytes of rounded inputs per block where weights are few: the first-level cache has room for the
/// inputs and outputs of the block as well.
const SMALL_BLOCK: usize = 8 * 1024;

/// Bytes of rounded inputs per block where weights are many, which every block reads again: half of
/// a first-level cache of 48 KiB.
const LARGE_BLOCK: usize = 24 * 1024;

/// From these bytes on weights are many.
const MANY_WEIGHTS: usize = 16 * 1024;

/// Output pixels of two tiles; a block holds a multiple.
const ROWS: usize = 32;

/// Furthest from one pixel to the next and from the first tap to the last, in columns: beyond, the
/// rounded inputs of a block would be mostly gaps, and large.
const MAX_REACH: usize = 1024;

/// Whether [`conv_row`] may be used for `shape`: its scratch memory is small beside the weights.
pub fn fits(shape: &ConvShape) -> bool {
    let reach = (shape.kw - 1).saturating_mul(shape.dw);
    shape.is_valid() && reach <= MAX_REACH && shape.sw <= MAX_REACH && shape.kh <= MAX_REACH
}

/// Words of scratch memory that [`conv_row`] needs.
pub fn scratch_len(shape: &ConvShape) -> usize {
    // A cache line to align it.
    LINE + SUMS + shape.kh * Geometry::new(shape).row
}

/// How the rounded inputs of a block of output pixels lie in scratch memory: `[kh][pixel][pitch]`.
struct Geometry {
    /// Words per pixel: its channels, filled up with zeros to a multiple of 32.
    pitch: usize,
    /// Input columns from one pixel to the next.
    columns: usize,
    /// Pixels from the first tap of one output to that of the next.
    advance: usize,
    /// Output pixels of a block.
    block: usize,
    /// Words per kernel row.
    row: usize,
}

impl Geometry {
    fn new(shape: &ConvShape) -> Geometry {
        let pitch = shape.cin_per_group().div_ceil(STEP) * LINE;
        // A single column of taps skips what the stride skips.
        let (columns, advance) = if shape.kw == 1 { (shape.sw, 1) } else { (1, shape.sw) };
        let bytes = shape.kh * advance * pitch * size_of::<u32>();
        let most = shape.ow.next_multiple_of(ROWS).max(ROWS);
        let many = shape.kh * shape.kw * pitch * size_of::<u32>() * shape.cout_per_group();
        let room = if many >= MANY_WEIGHTS { LARGE_BLOCK } else { SMALL_BLOCK };
        let block = (room / bytes.max(1) / ROWS * ROWS).clamp(ROWS, most);
        let pixels = (block - 1) * advance + (shape.kw - 1) * shape.dw + 1;
        Geometry { pitch, columns, advance, block, row: pixels * pitch }
    }
}

/// `out[ow, cout] = epilogue(one row of a convolution)`. `rows[ky]` is the input row that kernel
/// row `ky` meets, its pixels `x_stride` floats apart, or empty where it lies in the padding. The
/// results of neighbouring pixels are `out_stride` floats apart; row i of the epilogue's matrices
/// belongs to pixel i. `scratch` holds at least [`scratch_len`] words.
///
/// # Panics
/// If a slice is too short for the shape, or the weights are those of another shape.
pub fn conv_row(
    unit: Unit,
    shape: &ConvShape,
    rows: &[&[f32]],
    x_stride: usize,
    weights: &Weights,
    out: &mut [f32],
    out_stride: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    let out = SharedMut::new(out);
    let row = Row::new(shape, rows, x_stride, weights, out, out_stride, epilogue);
    // SAFETY: nobody else has this slice.
    unsafe { row.run(unit, 0..shape.ow, 0..weights.panels(), scratch) };
}

/// The operands of an output row, checked against each other.
pub(super) struct Row<'a> {
    shape: &'a ConvShape,
    geometry: Geometry,
    rows: &'a [&'a [f32]],
    x_stride: usize,
    weights: &'a Weights,
    out: SharedMut<'a, f32>,
    out_stride: usize,
    epilogue: &'a Epilogue<'a>,
    /// The kernel rows that meet data: padding is above or below them.
    present: Range<usize>,
}

impl<'a> Row<'a> {
    pub fn new(
        shape: &'a ConvShape,
        rows: &'a [&'a [f32]],
        x_stride: usize,
        weights: &'a Weights,
        out: SharedMut<'a, f32>,
        out_stride: usize,
        epilogue: &'a Epilogue<'a>,
    ) -> Row<'a> {
        assert!(weights.fit(shape), "weights were packed for another shape than {shape:?}");
        assert_eq!(rows.len(), shape.kh, "one input row per kernel row");
        let needed = shape.w.saturating_sub(1) * x_stride + shape.cin;
        let long = |row: &&[f32]| row.is_empty() || row.len() >= needed;
        assert!(x_stride >= shape.cin && rows.iter().all(long), "input rows of {shape:?}");
        let width = epilogue.width(shape.cout);
        let written = shape.ow.checked_sub(1).map_or(0, |last| last * out_stride + width);
        assert!(out_stride >= width && out.len() >= written, "output row of {shape:?}");
        epilogue.check(shape.ow, shape.cout);
        let first = rows.iter().position(|row| !row.is_empty()).unwrap_or(shape.kh);
        let count = rows[first..].iter().take_while(|row| !row.is_empty()).count();
        let (geometry, present) = (Geometry::new(shape), first..first + count);
        Row { shape, geometry, rows, x_stride, weights, out, out_stride, epilogue, present }
    }

    /// Computes some pixels and panels.
    ///
    /// # Safety
    /// Nobody else may use this part of the output at the same time.
    pub unsafe fn run(
        &self,
        unit: Unit,
        pixels: Range<usize>,
        panels: Range<usize>,
        scratch: &mut [f32],
    ) {
        assert!(pixels.end <= self.shape.ow && panels.end <= self.weights.panels());
        assert!(scratch.len() >= scratch_len(self.shape), "scratch memory of {:?}", self.shape);
        // SAFETY: the unit proves that its instructions exist; the output by contract.
        unsafe {
            match unit.kind() {
                #[cfg(target_arch = "x86_64")]
                super::Kind::Amx => super::amx::row(self, pixels, panels, scratch),
                #[cfg(target_arch = "x86_64")]
                super::Kind::Avx512Bf16 => super::native::row(self, pixels, panels, scratch),
                _ => dot::row(unit.isa(), self, pixels, panels, scratch),
            }
        }
    }

    /// [`Row::run`] on one machine, inlined into a function that is compiled for it.
    ///
    /// # Safety
    /// As [`Row::run`]; the operands have been checked there.
    #[inline(always)]
    pub unsafe fn on<M: Machine>(
        &self,
        m: M,
        pixels: Range<usize>,
        panels: Range<usize>,
        scratch: &mut [f32],
    ) {
        let start = scratch.as_ptr().align_offset(LINE * size_of::<u32>());
        let words = scratch[start..].as_mut_ptr().cast::<u32>();
        let (sums, inputs) = (words.cast::<f32>(), words.wrapping_add(SUMS));
        let Row { shape, geometry, weights, .. } = self;
        for group in 0..shape.groups {
            let column = group * weights.n();
            let out = self.out.address().cast_mut().wrapping_add(self.epilogue.width(column));
            for first in pixels.clone().step_by(geometry.block) {
                let block = first..(first + geometry.block).min(pixels.end);
                // SAFETY: the scratch memory holds a block.
                unsafe { self.round(m, group, block.clone(), inputs) };
                for panel in panels.clone() {
                    let strip = Strip {
                        a: inputs.wrapping_add(self.present.start * geometry.row),
                        advance: geometry.advance * geometry.pitch,
                        row: geometry.row,
                        tap: shape.dw * geometry.pitch,
                        taps: [self.present.len(), shape.kw],
                        channels: shape.cin_per_group(),
                        b: weights.panel(group, panel, self.present.start * shape.kw),
                        sums,
                        pixels: block.clone(),
                        columns: weights.panel_columns(panel),
                        out,
                        out_stride: self.out_stride,
                        epilogue: self.epilogue.columns_from(column),
                    };
                    // SAFETY: as checked when the row was made.
                    unsafe { m.strip(&strip) };
                }
            }
        }
    }

    /// Rounds the input pixels that a block of output pixels reads.
    ///
    /// # Safety
    /// `to` must be valid for `kh * geometry.row` words.
    #[inline(always)]
    unsafe fn round<M: Machine>(&self, m: M, group: usize, block: Range<usize>, to: *mut u32) {
        let Row { shape, geometry, .. } = self;
        let channels = shape.cin_per_group();
        let count = (block.len() - 1) * geometry.advance + (shape.kw - 1) * shape.dw + 1;
        // Pixel i is input column i * columns + first - pl.
        let first = block.start * shape.sw;
        let index_of = |column: usize| {
            (column + shape.pl).saturating_sub(first).div_ceil(geometry.columns).min(count)
        };
        let inside = index_of(0)..index_of(shape.w);
        for ky in self.present.clone() {
            let to = to.wrapping_add(ky * geometry.row);
            // SAFETY: each pixel of kernel row ky has `pitch` words, enough for its channels.
            unsafe {
                to.write_bytes(0, inside.start * geometry.pitch);
                let right = to.add(inside.end * geometry.pitch);
                right.write_bytes(0, (count - inside.end) * geometry.pitch);
            }
            if inside.is_empty() {
                continue;
            }
            let column = inside.start * geometry.columns + first - shape.pl;
            let run = Run {
                x: self.rows[ky][column * self.x_stride + group * channels..].as_ptr(),
                stride: geometry.columns * self.x_stride,
                pixels: inside.len(),
                channels,
            };
            // SAFETY: the row is as long as was checked; `to` as above.
            unsafe { m.round(&run, to.add(inside.start * geometry.pitch)) };
        }
    }
}

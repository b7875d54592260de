//! The register tile of 8-bit products and convolutions.
//!
//! A tile is some rows of the result and one or two panels of 16 columns; its sums stay in registers
//! over the whole of K and then go through a buffer in the first-level cache to what becomes of
//! them. What a row of the left operand is does not matter to it: a list of [`Run`]s of groups of 4
//! bytes, the same for all rows but for a fixed distance between rows. That is one run for a row of
//! a matrix, and one per kernel row or tap for an output pixel of a convolution, whose inputs need
//! not be copied anywhere.
//!
//! Integer sums are exact in any order, so all ways to compute them give the same bits.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dots;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod vnni;

use super::dot;
use super::finish::Finish;
use super::pack::{COLUMNS, PackedWeights};
use super::requant::Dequant;
use crate::Isa;
use crate::gemm::heights;
use crate::simd::{Scalar, Simd};
use dots::Dots;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Neighbouring groups of the left operand, which meet neighbouring groups of the weights.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Run {
    /// The first byte in row 0.
    pub at: *const u8,
    /// How many groups; 0 ends a list.
    pub groups: usize,
    /// Groups of weights between the last run and this one.
    pub skip: usize,
}

impl Run {
    /// Ends a list.
    pub const END: Run = Run { at: std::ptr::null(), groups: 0, skip: 0 };
}

/// Rows of the left operand of a product.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    /// Where row 0 reads. The last run is [`Run::END`], and only that is empty.
    pub runs: &'a [Run],
    /// Bytes between rows.
    pub lda: usize,
    /// Rows of a line, bytes between lines, and how many there are: the rows of the result are
    /// those of one line after the other.
    pub rows: usize,
    pub line: usize,
    pub lines: usize,
}

impl<'a> Left<'a> {
    /// A single line.
    pub fn rows(runs: &'a [Run], lda: usize, rows: usize) -> Left<'a> {
        Left { runs, lda, rows, line: 0, lines: 1 }
    }
}

/// What becomes of the sums of row 0, from column 0 on.
#[derive(Clone, Copy)]
pub(super) enum Sink<'a> {
    U8(*mut u8, Finish<'a>),
    F32(*mut f32, &'a Dequant),
    I32(*mut i32),
}

impl Sink<'_> {
    /// What the sums of 16 channels begin with.
    fn bias(&self, channel: usize) -> [i32; COLUMNS] {
        let of = |bias: &[i32]| *bias[channel..].first_chunk().expect("padded by 16");
        match self {
            Sink::U8(_, finish) => of(&finish.requant.bias),
            Sink::F32(_, dequant) => of(&dequant.bias),
            Sink::I32(_) => [0; COLUMNS],
        }
    }
}

/// Rows of the result.
#[derive(Clone, Copy)]
pub(super) struct Out<'a> {
    pub sink: Sink<'a>,
    /// Elements between rows.
    pub ldc: usize,
    /// The output channel of column 0.
    pub channel: usize,
    pub pads: Option<Pads<'a>>,
}

impl<'a> Out<'a> {
    /// The part that concerns the rows from `row` on.
    pub fn rows_from(&self, row: usize) -> Out<'a> {
        let sink = match self.sink {
            Sink::U8(at, finish) => {
                Sink::U8(at.wrapping_add(row * self.ldc), finish.rows_from(row))
            }
            Sink::F32(at, dequant) => Sink::F32(at.wrapping_add(row * self.ldc), dequant),
            Sink::I32(at) => Sink::I32(at.wrapping_add(row * self.ldc)),
        };
        Out { sink, ..*self }
    }

    /// The part that concerns the columns from `column` on.
    pub fn columns_from(&self, column: usize) -> Out<'a> {
        let sink = match self.sink {
            Sink::U8(at, finish) => Sink::U8(at.wrapping_add(finish.width(column)), finish),
            Sink::F32(at, dequant) => Sink::F32(at.wrapping_add(column), dequant),
            Sink::I32(at) => Sink::I32(at.wrapping_add(column)),
        };
        Out { sink, channel: self.channel + column, ..*self }
    }
}

/// Kernel rows that lie in the padding and are left out of the runs: what they would add to each
/// output channel is added to the bias.
#[derive(Clone, Copy)]
pub(super) struct Pads<'a> {
    /// `[kernel row][output channel]`
    pub sums: &'a [i32],
    /// The rows that the kernel rows meet, empty in the padding.
    pub rows: &'a [&'a [u8]],
}

impl Pads<'_> {
    fn add(&self, channel: usize, width: usize, start: &mut [i32; COLUMNS]) {
        let channels = self.sums.len() / self.rows.len();
        for (sums, row) in self.sums.chunks_exact(channels).zip(self.rows) {
            if row.is_empty() {
                for (start, sum) in start.iter_mut().zip(&sums[channel..][..width]) {
                    *start = start.wrapping_add(*sum);
                }
            }
        }
    }
}

/// Bytes of packed weights that stay in the second-level cache while all rows pass.
pub(super) const RESIDENT: usize = 512 * 1024;

/// Most rows of a tile.
const MAX_ROWS: usize = 32;

/// Sums of a tile: `[rows][columns]`, aligned to cache lines.
#[repr(C, align(64))]
struct Sums([MaybeUninit<i32>; MAX_ROWS * 2 * COLUMNS]);

impl Sums {
    /// Every sum is written before it is read.
    fn new() -> Sums {
        Sums([MaybeUninit::uninit(); MAX_ROWS * 2 * COLUMNS])
    }

    /// The sums of row `row` and panel `panel` of a tile of `panels`.
    ///
    /// # Safety
    /// They must have been written.
    unsafe fn get(&self, row: usize, panel: usize, panels: usize) -> [i32; COLUMNS] {
        let sums = &self.0[(row * panels + panel) * COLUMNS..][..COLUMNS];
        // SAFETY: initialised by contract.
        unsafe { *sums.as_ptr().cast() }
    }

    /// Writes the sums that [`Sums::get`] reads.
    fn set(&mut self, row: usize, panel: usize, panels: usize, sums: [i32; COLUMNS]) {
        let to = &mut self.0[(row * panels + panel) * COLUMNS..][..COLUMNS];
        for (to, sum) in to.iter_mut().zip(sums) {
            to.write(sum);
        }
    }
}

/// A tile of the result.
struct Tile<'a> {
    left: Left<'a>,
    out: &'a Out<'a>,
    /// Rows of the result, and how many bytes further on than row 0 the first of them reads.
    rows: Range<usize>,
    at: usize,
    /// Weights of the first panel, and bytes to those of the second if there is one.
    weights: *const i8,
    next: usize,
    panels: usize,
    /// First column, and how many of the panels' exist.
    column: usize,
    width: usize,
    /// What the sums begin with: the biases.
    start: Start,
}

/// Of two panels, aligned to cache lines.
#[repr(C, align(64))]
struct Start([[i32; COLUMNS]; 2]);

/// The way of an instruction set to compute tiles.
trait Machine: Copy {
    /// Most rows of a tile.
    const ROWS: usize;

    /// Writes the sums of a tile.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums);

    /// Finishes the sums of a tile and stores the results.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn finish(self, tile: &Tile, sums: &Sums);
}

/// All rows of `left` times the panels `panels` of `weights`.
///
/// # Safety
/// The runs of every row must be valid for reads, and their groups and skips must add up to the
/// groups of the weights at most; these rows and columns of the result must be valid for writes and
/// nobody else's; a [`Finish`] must have passed its check for them.
pub(super) unsafe fn multiply(
    isa: Isa,
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
) {
    // SAFETY: an Isa proves that the CPU has the instructions of its level; the rest by contract.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            crate::Level::Avx512Vnni => {
                let step = amx::step(left.runs);
                if isa.products() == Some(crate::Products::Amx) && amx::pays(&left, step) {
                    amx::multiply(left, panels, weights, out, step);
                } else {
                    vnni(left, panels, weights, out);
                }
            }
            #[cfg(target_arch = "x86_64")]
            crate::Level::Avx2 | crate::Level::Avx512 => avx2(left, panels, weights, out),
            #[cfg(target_arch = "aarch64")]
            crate::Level::Neon => match isa.products() {
                Some(crate::Products::I8mm) => i8mm(left, panels, weights, out),
                Some(crate::Products::Dot) => dotprod(left, panels, weights, out),
                _ => plain_neon(left, panels, weights, out),
            },
            _ => each_tile(Dots(dot::Scalar, Scalar), left, panels, weights, out),
        }
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn vnni(left: Left, panels: Range<usize>, weights: &PackedWeights, out: &Out) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = vnni::Vnni(crate::simd::Avx512::new());
        each_tile(machine, left, panels, weights, out);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(left: Left, panels: Range<usize>, weights: &PackedWeights, out: &Out) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = Dots(dot::Avx2::new(), crate::simd::Avx2::new());
        each_tile(machine, left, panels, weights, out);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn i8mm(left: Left, panels: Range<usize>, weights: &PackedWeights, out: &Out) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = neon::Dots::<true>(crate::simd::Neon::new());
        each_tile(machine, left, panels, weights, out);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dotprod(left: Left, panels: Range<usize>, weights: &PackedWeights, out: &Out) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = neon::Dots::<false>(crate::simd::Neon::new());
        each_tile(machine, left, panels, weights, out);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn plain_neon(left: Left, panels: Range<usize>, weights: &PackedWeights, out: &Out) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = Dots(dot::Scalar, crate::simd::Neon::new());
        each_tile(machine, left, panels, weights, out);
    }
}

/// [`multiply`] on one machine, inlined into a function that is compiled for it.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn each_tile<M: Machine>(
    m: M,
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
) {
    // Rows 4096 bytes apart share a set of the first-level cache, which holds 8 to 12 lines.
    let most = if left.lda.is_multiple_of(4096) { M::ROWS.min(8) } else { M::ROWS };
    let mut sums = Sums::new();
    for mut tile in tiles(left, panels, weights, out) {
        for line in 0..left.lines {
            for rows in heights(left.rows, most) {
                tile.at = line * left.line + rows.start * left.lda;
                tile.rows = line * left.rows + rows.start..line * left.rows + rows.end;
                // SAFETY: by contract.
                unsafe {
                    m.sums(&tile, &mut sums);
                    m.finish(&tile, &sums);
                }
            }
        }
    }
}

/// The tiles of each two panels, of no rows yet.
fn tiles<'a>(
    left: Left<'a>,
    panels: Range<usize>,
    weights: &'a PackedWeights,
    out: &'a Out<'a>,
) -> impl Iterator<Item = Tile<'a>> {
    panels.clone().step_by(2).map(move |panel| {
        let (count, column) = ((panels.end - panel).min(2), panel * COLUMNS);
        let width = (count * COLUMNS).min(weights.n() - column);
        let start = |before: usize| {
            let (channel, width) = (out.channel + column + before, width.saturating_sub(before));
            if width == 0 {
                return [0; COLUMNS];
            }
            let mut start = out.sink.bias(channel);
            if let Some(pads) = &out.pads {
                pads.add(channel, width.min(COLUMNS), &mut start);
            }
            start
        };
        let next = weights.panel_stride();
        Tile {
            left,
            out,
            rows: 0..0,
            at: 0,
            weights: weights.data().as_ptr().wrapping_add(panel * next),
            next,
            panels: count,
            column,
            width,
            start: Start([start(0), start(COLUMNS)]),
        }
    })
}

impl Tile<'_> {
    /// Finishes all sums, 16 at a time, in whatever way. Inlined into a function for the
    /// instruction set of `s`.
    ///
    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, sums: &Sums) {
        let out = self.out;
        for (r, row) in self.rows.clone().enumerate() {
            for i in 0..self.panels {
                // SAFETY: the sums of a tile have been written.
                let sums = unsafe { sums.get(r, i, self.panels) };
                let before = i * COLUMNS;
                let (column, width) = (self.column + before, (self.width - before).min(COLUMNS));
                let (channel, at) = (out.channel + column, row * out.ldc + column);
                match out.sink {
                    // SAFETY: by contract.
                    Sink::U8(out_at, finish) => unsafe {
                        let at = row * out.ldc + finish.width(column);
                        finish.store(s, sums, row, channel, width, out_at.wrapping_add(at));
                    },
                    Sink::F32(out_at, dequant) => {
                        for (i, &sum) in sums.iter().enumerate().take(width) {
                            let y = sum as f32 * dequant.scale[channel + i];
                            // SAFETY: by contract.
                            unsafe { *out_at.wrapping_add(at + i) = y };
                        }
                    }
                    Sink::I32(out_at) => {
                        for (i, &sum) in sums.iter().enumerate().take(width) {
                            // SAFETY: by contract.
                            unsafe { *out_at.wrapping_add(at + i) = sum };
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

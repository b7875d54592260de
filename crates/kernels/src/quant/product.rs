//! The register tile of 8-bit products and convolutions.
//!
//! A tile is some rows of the result and one or two panels of 16 columns; its sums stay in registers
//! over the whole of K and then go through a buffer in the first-level cache to what becomes of
//! them. What a row of the left operand is does not matter to it: a list of [`Run`]s of groups of 4
//! bytes, the same for all rows but for a fixed distance between rows. That is one run for a row of
//! a matrix, and one per kernel row or tap for an output pixel of a convolution, whose inputs need
//! not be copied anywhere.
//!
//! Weights that share bytes are made whole in registers where few rows meet them: then reading them
//! is what takes the time. Where many do, each two panels are made whole in a scratch that stays in
//! the caches, and all rows read that: it takes about as long as the products of 4 rows.
//!
//! Integer sums are exact in any order, so all ways to compute them give the same bits.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dots;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operands;
mod scratch;
#[cfg(target_arch = "x86_64")]
mod vnni;

use super::dot;
use super::pack::{COLUMNS, GROUP_BYTES, HALVED_BYTES, PackedWeights, whole};
use crate::Isa;
use crate::gemm::heights;
use crate::simd::{Scalar, Simd};
use dots::Dots;
pub(super) use operands::{Left, Out, Pads, Run, Sink};
use scratch::Scratch;
use std::mem::MaybeUninit;
use std::ops::Range;
#[cfg(target_arch = "x86_64")]
use vnni::Vnni;

/// Bytes of packed weights that stay in the second-level cache while all rows pass.
pub(super) const RESIDENT: usize = 512 * 1024;

/// Most rows of a tile of weights that share bytes.
const FEW: usize = 4;

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
    /// Whether two weights share a byte.
    halved: bool,
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
    /// What is worth knowing of the panels of a tile before its rows are finished.
    type Job;

    /// Writes the sums of a tile, of at most [`FEW`] rows where two weights share a byte.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums);

    /// Looks at the panels of a tile.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn job(self, tile: &Tile) -> Self::Job;

    /// Finishes the sums of a tile and stores the results.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn finish(self, tile: &Tile, job: &Self::Job, sums: &Sums);

    /// The weights of a group of which two share a byte.
    #[inline(always)]
    fn whole(self, group: &[i8; HALVED_BYTES]) -> [i8; GROUP_BYTES] {
        whole(group)
    }
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
    // SAFETY: by contract.
    unsafe {
        if weights.halved() && left.rows * left.lines > FEW && Scratch::fits(weights) {
            scratch::with(|scratch| dispatch(isa, left, panels, weights, out, Some(scratch)));
        } else {
            dispatch(isa, left, panels, weights, out, None);
        }
    }
}

/// [`multiply`], with room for whole weights if they are to be made so.
///
/// # Safety
/// As [`multiply`].
unsafe fn dispatch(
    isa: Isa,
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    scratch: Option<&mut Scratch>,
) {
    // SAFETY: an Isa proves that the CPU has the instructions of its level; the rest by contract.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            crate::Level::Avx512Vnni => {
                let step = amx::step(left.runs);
                let whole = scratch.is_some() || !weights.halved();
                if isa.products() == Some(crate::Products::Amx) && whole && amx::pays(&left, step) {
                    amx::multiply(left, panels, weights, out, scratch, step);
                } else {
                    vnni(left, panels, weights, out, scratch);
                }
            }
            #[cfg(target_arch = "x86_64")]
            crate::Level::Avx2 | crate::Level::Avx512 => avx2(left, panels, weights, out, scratch),
            #[cfg(target_arch = "aarch64")]
            crate::Level::Neon => match isa.products() {
                Some(crate::Products::I8mm) => i8mm(left, panels, weights, out, scratch),
                Some(crate::Products::Dot) => dotprod(left, panels, weights, out, scratch),
                _ => plain_neon(left, panels, weights, out, scratch),
            },
            _ => each_tile(Dots(dot::Scalar, Scalar), left, panels, weights, out, scratch),
        }
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn vnni(
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    scratch: Option<&mut Scratch>,
) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = Vnni(crate::simd::Avx512::new());
        each_tile(machine, left, panels, weights, out, scratch);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    scratch: Option<&mut Scratch>,
) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = Dots(dot::Avx2::new(), crate::simd::Avx2::new());
        each_tile(machine, left, panels, weights, out, scratch);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn i8mm(
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    scratch: Option<&mut Scratch>,
) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = i8mm::Mmla(crate::simd::Neon::new());
        each_tile(machine, left, panels, weights, out, scratch);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dotprod(
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    scratch: Option<&mut Scratch>,
) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = neon::Dots::<false>(crate::simd::Neon::new());
        each_tile(machine, left, panels, weights, out, scratch);
    }
}

/// # Safety
/// As [`multiply`]; the CPU must have the instructions.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn plain_neon(
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    scratch: Option<&mut Scratch>,
) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe {
        let machine = Dots(dot::Scalar, crate::simd::Neon::new());
        each_tile(machine, left, panels, weights, out, scratch);
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
    mut scratch: Option<&mut Scratch>,
) {
    // Rows 4096 bytes apart share a set of the first-level cache, which holds 8 to 12 lines.
    let most = if left.lda.is_multiple_of(4096) { M::ROWS.min(8) } else { M::ROWS };
    let most = if weights.halved() && scratch.is_none() { FEW } else { most };
    let mut sums = Sums::new();
    for mut tile in tiles(left, panels, weights, out) {
        if let Some(scratch) = &mut scratch {
            // SAFETY: a tile of these weights.
            unsafe { scratch.fill(m, &mut tile, weights) };
        }
        // SAFETY: by contract.
        let job = unsafe { m.job(&tile) };
        for line in 0..left.lines {
            for rows in heights(left.rows, most) {
                tile.at = line * left.line + rows.start * left.lda;
                tile.rows = line * left.rows + rows.start..line * left.rows + rows.end;
                // SAFETY: by contract.
                unsafe {
                    m.sums(&tile, &mut sums);
                    m.finish(&tile, &job, &sums);
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
    let most = if Scratch::fits_twice(weights) { 2 } else { 1 };
    panels.clone().step_by(most).map(move |panel| {
        let (count, column) = ((panels.end - panel).min(most), panel * COLUMNS);
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
            halved: weights.halved(),
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

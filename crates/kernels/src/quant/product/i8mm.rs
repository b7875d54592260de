//! Tiles on `usmmla` of FEAT_I8MM: two rows by two columns by 8 products.
//!
//! A tile of 6 rows and 16 columns has its sums in 24 registers. Two groups of 4 products then take
//!
//! ```text
//!                        usmmla, 6 rows   sudot, 4 rows
//! multiply-adds                768             512
//! products                      24              32
//! loads                    8 + 3          8 + 2
//! that bring operands together  8 + 3           0
//! instructions                  46              42
//! ```
//!
//! which is 17 multiply-adds an instruction against 12, and 70 a load against 51.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{MAX_ROWS, Machine, Sums, Tile, neon};
use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES};
use crate::simd::Neon;

/// `usmmla`, and `sudot` for single rows and for weights that share bytes.
#[derive(Clone, Copy)]
pub(super) struct Mmla(pub Neon);

/// Rows of a tile, two of which are a pair.
const ROWS: usize = 6;

const _: () = assert!(ROWS <= MAX_ROWS);

/// Vectors of 16 columns.
const QUADS: usize = COLUMNS / 4;

/// The sums of two rows, two columns a vector.
type Pair = [int32x4_t; 2 * QUADS];

impl Machine for Mmla {
    const ROWS: usize = ROWS;
    type Job = ();

    #[inline(always)]
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums) {
        // SAFETY: by contract.
        unsafe {
            if tile.halved || tile.rows.len() == 1 {
                return neon::Dots::<true>(self.0).sums(tile, sums);
            }
            for panel in 0..tile.panels {
                match tile.rows.len().div_ceil(2) {
                    1 => pairs::<1>(tile, panel, sums),
                    2 => pairs::<2>(tile, panel, sums),
                    _ => pairs::<3>(tile, panel, sums),
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn job(self, _: &Tile) {}

    #[inline(always)]
    unsafe fn finish(self, tile: &Tile, (): &(), sums: &Sums) {
        // SAFETY: by contract.
        unsafe { tile.finish(self.0, sums) };
    }
}

/// Adds the products of two rows of `a`, 8 bytes each, with two columns of `b`, 8 bytes each.
///
/// # Safety
/// The CPU must have the instruction.
#[inline(always)]
unsafe fn mmla(mut sums: int32x4_t, a: uint8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: registers only; the CPU by contract.
    unsafe {
        asm!(".arch_extension i8mm", "usmmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sums, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// Adds the products of two groups of weights, or of one if `LAST`, with 8 bytes of each row.
///
/// # Safety
/// As [`mmla`]; `b` must be valid for reads of the groups.
#[inline(always)]
unsafe fn step<const P: usize, const LAST: bool>(
    acc: &mut [Pair; P],
    a: &[uint8x16_t; P],
    b: *const i8,
) {
    // SAFETY: by contract.
    unsafe {
        for q in 0..QUADS {
            let first = vreinterpretq_s32_s8(vld1q_s8(b.add(q * 16)));
            let second = if LAST {
                vdupq_n_s32(0)
            } else {
                vreinterpretq_s32_s8(vld1q_s8(b.add(GROUP_BYTES + q * 16)))
            };
            // Column by column what were groups one after the other.
            let low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
            let high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
            for p in 0..P {
                acc[p][2 * q] = mmla(acc[p][2 * q], a[p], low);
                acc[p][2 * q + 1] = mmla(acc[p][2 * q + 1], a[p], high);
            }
        }
    }
}

/// The sums of `P` pairs of rows and one panel. A row that is missing repeats the last.
///
/// # Safety
/// As [`Machine::sums`].
#[inline(always)]
unsafe fn pairs<const P: usize>(tile: &Tile, panel: usize, sums: &mut Sums) {
    let (lda, rows) = (tile.left.lda, tile.rows.len());
    let mut b = tile.weights.wrapping_add(panel * tile.next);
    // SAFETY: the groups lie within each row and the panel.
    unsafe {
        let mut acc = [[vdupq_n_s32(0); 2 * QUADS]; P];
        let mut x = [[vdupq_n_u8(0); P]; 2];
        for run in tile.left.runs {
            b = b.wrapping_add(run.skip * GROUP_BYTES);
            let a = run.at.wrapping_add(tile.at);
            let row =
                |r: usize, group: usize| a.wrapping_add(r.min(rows - 1) * lda + group * GROUP);
            let mut group = 0;
            while run.groups - group >= 4 {
                for p in 0..P {
                    let first = vreinterpretq_u64_u8(vld1q_u8(row(2 * p, group)));
                    let second = vreinterpretq_u64_u8(vld1q_u8(row(2 * p + 1, group)));
                    x[0][p] = vreinterpretq_u8_u64(vzip1q_u64(first, second));
                    x[1][p] = vreinterpretq_u8_u64(vzip2q_u64(first, second));
                }
                step::<P, false>(&mut acc, &x[0], b);
                step::<P, false>(&mut acc, &x[1], b.add(2 * GROUP_BYTES));
                (group, b) = (group + 4, b.add(4 * GROUP_BYTES));
            }
            if run.groups - group >= 2 {
                for p in 0..P {
                    let (first, second) = (row(2 * p, group), row(2 * p + 1, group));
                    x[0][p] = vcombine_u8(vld1_u8(first), vld1_u8(second));
                }
                step::<P, false>(&mut acc, &x[0], b);
                (group, b) = (group + 2, b.add(2 * GROUP_BYTES));
            }
            if run.groups > group {
                for p in 0..P {
                    let word = |r| u64::from(row(r, group).cast::<u32>().read_unaligned());
                    let (first, second) = (word(2 * p), word(2 * p + 1));
                    x[0][p] = vcombine_u8(vcreate_u8(first), vcreate_u8(second));
                }
                step::<P, true>(&mut acc, &x[0], b);
                b = b.add(GROUP_BYTES);
            }
        }
        for r in 0..rows {
            let mut total = [0; COLUMNS];
            for q in 0..QUADS {
                let (low, high) = (acc[r / 2][2 * q], acc[r / 2][2 * q + 1]);
                let (low, high) = (vreinterpretq_s64_s32(low), vreinterpretq_s64_s32(high));
                let sum = if r % 2 == 0 { vzip1q_s64(low, high) } else { vzip2q_s64(low, high) };
                let start = vld1q_s32(tile.start.0[panel][4 * q..].as_ptr());
                vst1q_s32(
                    total[4 * q..].as_mut_ptr(),
                    vaddq_s32(start, vreinterpretq_s32_s64(sum)),
                );
            }
            sums.set(r, panel, tile.panels, total);
        }
    }
}

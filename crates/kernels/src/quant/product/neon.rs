//! Tiles on the dot products of AArch64: 4 sums of 4 products.
//!
//! `sudot` of FEAT_I8MM multiplies unsigned activations by signed weights. `sdot` of FEAT_DotProd
//! takes signed bytes only, so activations lose 128 by flipping their highest bit, and a row of the
//! constant -128 runs along with each tile: what it adds up to is what the others lack, the same for
//! all of them.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{MAX_ROWS, Machine, Sums, Tile};
use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES, HALVED_BYTES};
use crate::simd::Neon;

/// `sudot` if `MIXED`, else `sdot`.
#[derive(Clone, Copy)]
pub(super) struct Dots<const MIXED: bool>(pub Neon);

/// Rows of a tile: with 16 columns 16 registers of sums, 4 of each operand, and 4 for the row of
/// constants.
const ROWS: usize = 4;

const _: () = assert!(ROWS <= MAX_ROWS);

/// Vectors of 16 columns, and groups of a vector of activations.
const QUADS: usize = COLUMNS / 4;

impl<const MIXED: bool> Machine for Dots<MIXED> {
    const ROWS: usize = ROWS;
    type Job = ();

    #[inline(always)]
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums) {
        for panel in 0..tile.panels {
            // SAFETY: by contract.
            unsafe {
                match (tile.rows.len(), tile.halved) {
                    (1, false) => rows::<MIXED, false, 1>(tile, panel, sums),
                    (2, false) => rows::<MIXED, false, 2>(tile, panel, sums),
                    (3, false) => rows::<MIXED, false, 3>(tile, panel, sums),
                    (_, false) => rows::<MIXED, false, 4>(tile, panel, sums),
                    (1, true) => rows::<MIXED, true, 1>(tile, panel, sums),
                    (2, true) => rows::<MIXED, true, 2>(tile, panel, sums),
                    (3, true) => rows::<MIXED, true, 3>(tile, panel, sums),
                    (_, true) => rows::<MIXED, true, 4>(tile, panel, sums),
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

/// `sum` and the products of 4 columns with the 4 bytes `LANE` of `a`.
///
/// # Safety
/// The CPU must have the instruction.
#[inline(always)]
unsafe fn dot<const MIXED: bool, const LANE: i32>(
    mut sum: int32x4_t,
    b: int8x16_t,
    a: uint8x16_t,
) -> int32x4_t {
    // SAFETY: registers only; the CPU by contract.
    unsafe {
        if MIXED {
            asm!(".arch_extension i8mm", "sudot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]",
                inout(vreg) sum, in(vreg) b, in(vreg) a, const LANE,
                options(pure, nomem, nostack, preserves_flags));
        } else {
            asm!(".arch_extension dotprod", "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]",
                inout(vreg) sum, in(vreg) b, in(vreg) a, const LANE,
                options(pure, nomem, nostack, preserves_flags));
        }
    }
    sum
}

/// Weights of the columns from `4 * quad` on, of a group of which two share a byte if `HALVED`.
///
/// # Safety
/// The group must be valid for reads.
#[inline(always)]
unsafe fn weights<const HALVED: bool>(group: *const i8, quad: usize) -> int8x16_t {
    // SAFETY: by contract.
    unsafe {
        if !HALVED {
            return vld1q_s8(group.add(quad * 16));
        }
        let bytes = vld1q_s8(group.add(quad % 2 * 16));
        vshrq_n_s8::<4>(if quad < 2 { vshlq_n_s8::<4>(bytes) } else { bytes })
    }
}

/// Adds the products of one group of weights with the 4 bytes `LANE` of each row.
///
/// # Safety
/// As [`dot`] and [`weights`].
#[inline(always)]
unsafe fn step<const MIXED: bool, const HALVED: bool, const R: usize, const LANE: i32>(
    acc: &mut [[int32x4_t; QUADS]; R],
    constant: &mut [int32x4_t; QUADS],
    a: &[uint8x16_t; R],
    b: *const i8,
) {
    // SAFETY: by contract.
    unsafe {
        for q in 0..QUADS {
            let b = weights::<HALVED>(b, q);
            if !MIXED {
                constant[q] = dot::<MIXED, 0>(constant[q], b, vdupq_n_u8(128));
            }
            for r in 0..R {
                acc[r][q] = dot::<MIXED, LANE>(acc[r][q], b, a[r]);
            }
        }
    }
}

/// The sums of `R` rows and one panel, whose weights share bytes if `HALVED`.
///
/// # Safety
/// As [`Machine::sums`].
#[inline(always)]
unsafe fn rows<const MIXED: bool, const HALVED: bool, const R: usize>(
    tile: &Tile,
    panel: usize,
    sums: &mut Sums,
) {
    let (lda, size) = (tile.left.lda, if HALVED { HALVED_BYTES } else { GROUP_BYTES });
    let mut b = tile.weights.wrapping_add(panel * tile.next);
    // SAFETY: the groups lie within each row and the panel.
    unsafe {
        let mut acc = [[vdupq_n_s32(0); QUADS]; R];
        let mut constant = [vdupq_n_s32(0); QUADS];
        let mut rows = [vdupq_n_u8(0); R];
        let flip = if MIXED { vdupq_n_u8(0) } else { vdupq_n_u8(128) };
        for run in tile.left.runs {
            b = b.wrapping_add(run.skip * size);
            let mut a = run.at.wrapping_add(tile.at);
            for _ in 0..run.groups / QUADS {
                for r in 0..R {
                    rows[r] = veorq_u8(vld1q_u8(a.add(r * lda)), flip);
                }
                step::<MIXED, HALVED, R, 0>(&mut acc, &mut constant, &rows, b);
                step::<MIXED, HALVED, R, 1>(&mut acc, &mut constant, &rows, b.add(size));
                step::<MIXED, HALVED, R, 2>(&mut acc, &mut constant, &rows, b.add(2 * size));
                step::<MIXED, HALVED, R, 3>(&mut acc, &mut constant, &rows, b.add(3 * size));
                a = a.add(QUADS * GROUP);
                b = b.add(QUADS * size);
            }
            for _ in 0..run.groups % QUADS {
                for r in 0..R {
                    let word = a.add(r * lda).cast::<u32>().read_unaligned();
                    rows[r] = veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), flip);
                }
                step::<MIXED, HALVED, R, 0>(&mut acc, &mut constant, &rows, b);
                a = a.add(GROUP);
                b = b.add(size);
            }
        }
        for r in 0..R {
            let mut total = [0; COLUMNS];
            for q in 0..QUADS {
                let start = vld1q_s32(tile.start.0[panel][4 * q..].as_ptr());
                let sum = vaddq_s32(start, vsubq_s32(acc[r][q], constant[q]));
                vst1q_s32(total[4 * q..].as_mut_ptr(), sum);
            }
            sums.set(r, panel, tile.panels, total);
        }
    }
}

//! Tiles on the dot products of AArch64: 4 sums of 4 products.
//!
//! `sudot` of FEAT_I8MM multiplies unsigned activations by signed weights. `sdot` of FEAT_DotProd
//! takes signed bytes only, so activations lose 128 by flipping their highest bit, and a row of the
//! constant -128 runs along with each tile: what it adds up to is what the others lack, the same for
//! all of them.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{MAX_ROWS, Machine, Sums, Tile};
use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES};
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

    #[inline(always)]
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums) {
        for panel in 0..tile.panels {
            // SAFETY: by contract.
            unsafe {
                match tile.rows.len() {
                    1 => rows::<MIXED, 1>(tile, panel, sums),
                    2 => rows::<MIXED, 2>(tile, panel, sums),
                    3 => rows::<MIXED, 3>(tile, panel, sums),
                    _ => rows::<MIXED, 4>(tile, panel, sums),
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish(self, tile: &Tile, sums: &Sums) {
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

/// Adds the products of one group of weights with the 4 bytes `LANE` of each row.
///
/// # Safety
/// As [`dot`], and `b` must be valid for 64 reads.
#[inline(always)]
unsafe fn step<const MIXED: bool, const R: usize, const LANE: i32>(
    acc: &mut [[int32x4_t; QUADS]; R],
    constant: &mut [int32x4_t; QUADS],
    a: &[uint8x16_t; R],
    b: *const i8,
) {
    // SAFETY: by contract.
    unsafe {
        for q in 0..QUADS {
            let b = vld1q_s8(b.add(q * 16));
            if !MIXED {
                constant[q] = dot::<MIXED, 0>(constant[q], b, vdupq_n_u8(128));
            }
            for r in 0..R {
                acc[r][q] = dot::<MIXED, LANE>(acc[r][q], b, a[r]);
            }
        }
    }
}

/// The sums of `R` rows and one panel.
///
/// # Safety
/// As [`Machine::sums`].
#[inline(always)]
unsafe fn rows<const MIXED: bool, const R: usize>(tile: &Tile, panel: usize, sums: &mut Sums) {
    let lda = tile.left.lda;
    let mut b = tile.weights.wrapping_add(panel * tile.next);
    // SAFETY: the groups lie within each row and the panel.
    unsafe {
        let mut acc = [[vdupq_n_s32(0); QUADS]; R];
        let mut constant = [vdupq_n_s32(0); QUADS];
        let mut rows = [vdupq_n_u8(0); R];
        let flip = if MIXED { vdupq_n_u8(0) } else { vdupq_n_u8(128) };
        for run in tile.left.runs {
            b = b.wrapping_add(run.skip * GROUP_BYTES);
            let mut a = run.at.wrapping_add(tile.at);
            for _ in 0..run.groups / QUADS {
                for r in 0..R {
                    rows[r] = veorq_u8(vld1q_u8(a.add(r * lda)), flip);
                }
                step::<MIXED, R, 0>(&mut acc, &mut constant, &rows, b);
                step::<MIXED, R, 1>(&mut acc, &mut constant, &rows, b.add(GROUP_BYTES));
                step::<MIXED, R, 2>(&mut acc, &mut constant, &rows, b.add(2 * GROUP_BYTES));
                step::<MIXED, R, 3>(&mut acc, &mut constant, &rows, b.add(3 * GROUP_BYTES));
                a = a.add(QUADS * GROUP);
                b = b.add(QUADS * GROUP_BYTES);
            }
            for _ in 0..run.groups % QUADS {
                for r in 0..R {
                    let word = a.add(r * lda).cast::<u32>().read_unaligned();
                    rows[r] = veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), flip);
                }
                step::<MIXED, R, 0>(&mut acc, &mut constant, &rows, b);
                a = a.add(GROUP);
                b = b.add(GROUP_BYTES);
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

//! Few rows times weights of which two share a byte.
//!
//! The low halves of 32 bytes are shifted to where the high ones are, and all lower bits cleared: that
//! is 16 times the weights, and the sums are 16 times too large, which still fits into 32 bits. Besides
//! one dot product for each row, a group of weights takes a load, a shift and a mask.

use std::arch::x86_64::*;

use super::{FEW, Sums, Tile};
use crate::quant::pack::{COLUMNS, GROUP, HALVED_BYTES};

/// Neighbouring groups that are summed apart, because one dot product takes as long as several that do
/// not wait for each other.
const PARTS: usize = 2;

/// Writes the sums of a tile of at most [`FEW`] rows.
///
/// # Safety
/// As [`Machine::sums`](super::Machine::sums), and the CPU must have AVX-512 VNNI.
pub(super) unsafe fn sums(tile: &Tile, sums: &mut Sums) {
    const { assert!(FEW == 4) };
    // SAFETY: by contract.
    unsafe {
        match (tile.rows.len(), tile.panels) {
            (1, 2) => rows::<1, 2>(tile, sums),
            (2, 2) => rows::<2, 2>(tile, sums),
            (3, 2) => rows::<3, 2>(tile, sums),
            (_, 2) => rows::<4, 2>(tile, sums),
            (1, _) => rows::<1, 1>(tile, sums),
            (2, _) => rows::<2, 1>(tile, sums),
            (3, _) => rows::<3, 1>(tile, sums),
            _ => rows::<4, 1>(tile, sums),
        }
    }
}

/// The sums of `R` rows and `NP` panels.
///
/// # Safety
/// As [`sums`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn rows<const R: usize, const NP: usize>(tile: &Tile, sums: &mut Sums) {
    let mut acc = [[[_mm512_setzero_si512(); NP]; R]; PARTS];
    let (lda, next, mut b) = (tile.left.lda, tile.next, tile.weights);
    // SAFETY: the caller promises that all these reads are in bounds, and the sums have room.
    unsafe {
        macro_rules! add {
            ($part:expr, $a:expr, $b:expr) => {
                for p in 0..NP {
                    let w = weights($b.wrapping_add(p * next));
                    for r in 0..R {
                        let word = $a.wrapping_add(r * lda).cast::<i32>().read_unaligned();
                        acc[$part][r][p] =
                            _mm512_dpbusd_epi32(acc[$part][r][p], _mm512_set1_epi32(word), w);
                    }
                }
            };
        }
        for run in tile.left.runs {
            b = b.wrapping_add(run.skip * HALVED_BYTES);
            let mut a = run.at.wrapping_add(tile.at);
            for _ in 0..run.groups / PARTS {
                for part in 0..PARTS {
                    let b = b.wrapping_add(part * HALVED_BYTES);
                    add!(part, a.wrapping_add(part * GROUP), b);
                }
                a = a.wrapping_add(PARTS * GROUP);
                b = b.wrapping_add(PARTS * HALVED_BYTES);
            }
            for _ in 0..run.groups % PARTS {
                add!(0, a, b);
                a = a.wrapping_add(GROUP);
                b = b.wrapping_add(HALVED_BYTES);
            }
        }
        for r in 0..R {
            for p in 0..NP {
                let sum = _mm512_add_epi32(acc[0][r][p], acc[1][r][p]);
                let start = _mm512_loadu_si512(tile.start.0[p].as_ptr().cast());
                let sum = _mm512_add_epi32(start, _mm512_srai_epi32(sum, 4));
                _mm512_storeu_si512(sums.0[(r * NP + p) * COLUMNS..].as_mut_ptr().cast(), sum);
            }
        }
    }
}

/// The weights of a group, each looked up by its 4 bits.
///
/// # Safety
/// The CPU must have AVX-512 BW.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn whole(group: &[i8; HALVED_BYTES]) -> __m512i {
    // SAFETY: there are 32 bytes to read.
    let bytes = _mm512_broadcast_i64x4(unsafe { _mm256_loadu_si256(group.as_ptr().cast()) });
    let low = _mm512_mask_srli_epi16(bytes, 0xffff << 16, bytes, 4);
    let low = _mm512_and_si512(low, _mm512_set1_epi8(15));
    let numbers = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
    _mm512_shuffle_epi8(_mm512_broadcast_i32x4(numbers), low)
}

/// 16 times the weights of a group.
///
/// # Safety
/// `p` must be valid for 32 reads.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn weights(p: *const i8) -> __m512i {
    // SAFETY: by contract.
    let bytes = _mm512_broadcast_i64x4(unsafe { _mm256_loadu_si256(p.cast()) });
    let high = _mm512_mask_slli_epi16(bytes, 0xffff, bytes, 4);
    _mm512_and_si512(high, _mm512_set1_epi8(!15))
}

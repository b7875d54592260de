//! What becomes of sums, in AVX-512.
//!
//! Four vectors of 16 sums at a time become one of 64 bytes: per vector a conversion, a multiplication
//! and a conversion back that rounds half to even, then three packs and the addition of the zero
//! point, all of which saturate, and the limits on bytes. That gives the bits of [`Finish::store`]:
//! limits are whole numbers, so it is the same to limit before or after rounding. What is too large
//! for an i32 would become, as NaN does, the least of all; where it may occur it is cut off beforehand.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Sink, Sums, Tile};
use crate::Activation;
use crate::quant::finish::Finish;
use crate::quant::pack::COLUMNS;
use crate::simd::{Avx512, Simd};

/// Finishes the sums of a tile and stores the results, with what [`job`] gave for its panels.
///
/// # Safety
/// As [`multiply`](super::multiply).
#[inline(always)]
pub(super) unsafe fn finish(s: Avx512, tile: &Tile, job: &Option<Job>, sums: &Sums) {
    // SAFETY: by contract.
    unsafe {
        match job {
            Some(job) => (job.rows)(job, tile.rows.clone(), sums),
            None => tile.finish(s, sums),
        }
    }
}

/// What [`finish`] does with the panels of a tile, if results are bytes.
///
/// # Safety
/// As [`multiply`](super::multiply).
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn job(s: Avx512, tile: &Tile) -> Option<Job> {
    let Sink::U8(out, finish) = tile.out.sink else { return None };
    // SAFETY: by contract.
    unsafe {
        let rows =
            if tile.panels == 2 { usual::<2>(tile, &finish) } else { usual::<1>(tile, &finish) };
        Some(Job::new(s, tile, out, &finish, rows))
    }
}

/// What happens to sums besides requantisation: nothing, where results fit into an i32, activations
/// that have a loop of their own, and all others.
const NOTHING: u8 = 0;
const HARD_SWISH: u8 = 1;
const ANYTHING: u8 = 2;

/// How results are stored: all of the panels as they are or interleaved, or in whatever way.
const WHOLE: u8 = 0;
const INTERLEAVED: u8 = 1;
const ANYHOW: u8 = 2;

/// What finishes rows of `NP` panels.
type Rows = unsafe fn(&Job, Range<usize>, &Sums);

/// Each usual case is a function of its own: tests for every vector would take longer than all else
/// that happens to it, and one function of all cases would spill.
fn usual<const NP: usize>(tile: &Tile, finish: &Finish) -> Rows {
    let whole = tile.width == NP * COLUMNS;
    let activation = match finish.requant.activation {
        Activation::None if finish.is_bounded() => NOTHING,
        Activation::HardSwish => HARD_SWISH,
        _ => ANYTHING,
    };
    match (finish.residual.is_some(), activation, finish.interleave.is_some()) {
        (false, NOTHING, false) if whole => rows::<NP, false, NOTHING, WHOLE>,
        (false, NOTHING, true) if whole => rows::<NP, false, NOTHING, INTERLEAVED>,
        (false, HARD_SWISH, false) if whole => rows::<NP, false, HARD_SWISH, WHOLE>,
        (true, NOTHING, false) if whole => rows::<NP, true, NOTHING, WHOLE>,
        (false, NOTHING, _) => rows::<NP, false, NOTHING, ANYHOW>,
        (true, NOTHING, _) => rows::<NP, true, NOTHING, ANYHOW>,
        (false, _, _) => rows::<NP, false, ANYTHING, ANYHOW>,
        (true, _, _) => rows::<NP, true, ANYTHING, ANYHOW>,
    }
}

/// Stores the bytes of rows of `NP` panels, whose sums begin with the first of them.
///
/// # Safety
/// As [`finish`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
#[inline(never)]
unsafe fn rows<const NP: usize, const RESIDUAL: bool, const ACTIVATION: u8, const STORE: u8>(
    job: &Job,
    rows: Range<usize>,
    sums: &Sums,
) {
    let matrix = |m: Matrix| Matrix { at: m.at.wrapping_add(rows.start * m.stride), ..m };
    let block = Block::<NP> {
        job,
        rows: rows.len(),
        sums: sums.0.as_ptr().cast(),
        residual: matrix(job.residual),
        even: job.even.map(matrix),
        out: job.out.wrapping_add(rows.start * job.ldc),
    };
    // Rows beyond the last repeat it, and are not stored.
    let (step, last) = (4 / NP, block.rows - 1);
    for first in (0..block.rows).step_by(step) {
        // SAFETY: every row that is read is one of the tile.
        unsafe {
            macro_rules! vector {
                ($i:literal) => {
                    block.rounded::<RESIDUAL, ACTIVATION>((first + $i / NP).min(last), $i % NP)
                };
            }
            let ab = _mm512_packs_epi32(vector!(0), vector!(1));
            let cd = _mm512_packs_epi32(vector!(2), vector!(3));
            let ab = _mm512_adds_epi16(ab, job.zero_point);
            let cd = _mm512_adds_epi16(cd, job.zero_point);
            let bytes = _mm512_packus_epi16(ab, cd);
            let bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, job.low), job.high);
            // Within 128 bits lie 4 bytes of each vector.
            let order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
            block.put_all::<STORE>(first, _mm512_permutexvar_epi32(order, bytes));
        }
    }
}

/// What is common to the rows of a tile. Matrices begin with its first column in row 0.
pub(super) struct Job {
    rows: Rows,
    s: Avx512,
    multiplier: [__m512; 2],
    activation: Activation,
    /// The scale of the result, and one by it.
    scale: __m512,
    inverse: __m512,
    residual: Matrix,
    /// What a step of the residual is in units of the result, and its zero point.
    ratio: __m512,
    offset: __m512i,
    zero_point: __m512i,
    low: __m512i,
    high: __m512i,
    width: usize,
    masks: [__mmask16; 2],
    even: Option<Matrix>,
    out: *mut u8,
    ldc: usize,
}

/// A matrix from some element on.
#[derive(Clone, Copy)]
struct Matrix {
    at: *const u8,
    stride: usize,
}

impl Job {
    /// # Safety
    /// As [`finish`].
    #[inline(always)]
    unsafe fn new(s: Avx512, tile: &Tile, out: *mut u8, finish: &Finish, rows: Rows) -> Job {
        let (requant, channel) = (finish.requant, tile.out.channel + tile.column);
        let range = requant.range;
        let matrix = |(data, stride): (&[u8], usize)| Matrix {
            at: data.as_ptr().wrapping_add(channel),
            stride,
        };
        let (low, high) = range.bytes();
        let affine = finish.residual.map(|r| r.affine);
        let mut multiplier = [s.splat(0.0); 2];
        let mut masks = [0; 2];
        for v in 0..tile.panels {
            let lanes = &requant.multiplier[channel + v * COLUMNS..][..COLUMNS];
            // SAFETY: as many floats as a vector has lanes.
            multiplier[v] = unsafe { s.load(lanes.as_ptr()) };
            masks[v] = s.first(tile.width - v * COLUMNS);
        }
        // SAFETY: the token proves that the instructions exist.
        unsafe {
            Job {
                rows,
                s,
                multiplier,
                activation: requant.activation,
                scale: s.splat(requant.scale),
                inverse: s.splat(requant.inverse),
                residual: matrix(finish.residual.map_or((&[], 0), |r| (r.data, r.stride))),
                ratio: s.splat(affine.map_or(0.0, |affine| affine.scale / requant.scale)),
                offset: _mm512_set1_epi32(affine.map_or(0, |affine| affine.zero_point.into())),
                zero_point: _mm512_set1_epi16(range.zero_point as i16),
                low: _mm512_set1_epi8(low as i8),
                high: _mm512_set1_epi8(high as i8),
                width: tile.width,
                masks,
                even: finish.interleave.map(matrix),
                out: out.wrapping_add(finish.width(tile.column)),
                ldc: tile.out.ldc,
            }
        }
    }
}

/// Rows of `NP` panels, from the first of them on.
struct Block<'a, const NP: usize> {
    job: &'a Job,
    rows: usize,
    sums: *const i32,
    residual: Matrix,
    even: Option<Matrix>,
    out: *mut u8,
}

impl<const NP: usize> Block<'_, NP> {
    /// Vector `v` of a row in units of the result, rounded.
    ///
    /// # Safety
    /// As [`finish`].
    #[inline(always)]
    unsafe fn rounded<const RESIDUAL: bool, const ACTIVATION: u8>(
        &self,
        row: usize,
        v: usize,
    ) -> __m512i {
        let job = self.job;
        let s = job.s;
        // SAFETY: the vector is one of the tile's, and its mask ends with the columns; the token
        // proves that the instructions exist.
        unsafe {
            let sums = self.sums.wrapping_add((row * NP + v) * COLUMNS);
            let sums = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums.cast()));
            let mut u = s.mul(sums, job.multiplier[v]);
            if RESIDUAL {
                let at = self.residual.at.wrapping_add(row * self.residual.stride + v * COLUMNS);
                let q = match job.masks[v] {
                    __mmask16::MAX => _mm_loadu_si128(at.cast()),
                    mask => _mm_maskz_loadu_epi8(mask, at.cast()),
                };
                let q = _mm512_sub_epi32(_mm512_cvtepu8_epi32(q), job.offset);
                u = s.add(u, s.mul(_mm512_cvtepi32_ps(q), job.ratio));
            }
            if ACTIVATION == NOTHING {
                return _mm512_cvtps_epi32(u);
            }
            let activation =
                if ACTIVATION == HARD_SWISH { Activation::HardSwish } else { job.activation };
            if activation != Activation::None {
                u = s.mul(activation.apply(s, s.mul(u, job.scale)), job.inverse);
            }
            // The second operand where one is NaN.
            _mm512_cvtps_epi32(s.min(s.splat(65536.0), u))
        }
    }

    /// Stores the bytes of 4 vectors, from row `first` on.
    ///
    /// # Safety
    /// As [`finish`].
    #[inline(always)]
    unsafe fn put_all<const STORE: u8>(&self, first: usize, bytes: __m512i) {
        // SAFETY: by contract; the token proves that the instructions exist.
        unsafe {
            if NP == 2 {
                self.put::<STORE>(first, _mm512_castsi512_si256(bytes));
                if first + 1 < self.rows {
                    self.put::<STORE>(first + 1, _mm512_extracti64x4_epi64::<1>(bytes));
                }
                return;
            }
            let (low, high) =
                (_mm512_castsi512_si256(bytes), _mm512_extracti64x4_epi64::<1>(bytes));
            self.put::<STORE>(first, low);
            if first + 1 < self.rows {
                self.put::<STORE>(first + 1, _mm256_permute4x64_epi64::<0b1110>(low));
            }
            if first + 2 < self.rows {
                self.put::<STORE>(first + 2, high);
            }
            if first + 3 < self.rows {
                self.put::<STORE>(first + 3, _mm256_permute4x64_epi64::<0b1110>(high));
            }
        }
    }

    /// Stores the results of a row, as many as the tile has columns.
    ///
    /// # Safety
    /// As [`finish`].
    #[inline(always)]
    unsafe fn put<const STORE: u8>(&self, row: usize, bytes: __m256i) {
        let (at, width) = (self.out.wrapping_add(row * self.job.ldc), self.job.width);
        // SAFETY: the token proves that the instructions exist, and masks end with the columns.
        unsafe {
            let low = _mm256_castsi256_si128(bytes);
            let Some(Matrix { at: even, stride }) = self.even.filter(|_| STORE != WHOLE) else {
                return match width {
                    _ if STORE == WHOLE && NP == 2 => _mm256_storeu_si256(at.cast(), bytes),
                    _ if STORE == WHOLE => _mm_storeu_si128(at.cast(), low),
                    8 => _mm_storel_epi64(at.cast(), low),
                    24 => {
                        _mm_storeu_si128(at.cast(), low);
                        let rest = _mm256_extracti128_si256::<1>(bytes);
                        _mm_storel_epi64(at.wrapping_add(16).cast(), rest);
                    }
                    _ => _mm256_mask_storeu_epi8(at.cast(), first(width) as __mmask32, bytes),
                };
            };
            let even = even.wrapping_add(row * stride);
            let whole = STORE == INTERLEAVED && NP == 2;
            let even = if whole {
                _mm256_loadu_si256(even.cast())
            } else {
                _mm256_maskz_loadu_epi8(first(width) as __mmask32, even.cast())
            };
            let odd = _mm512_slli_epi16::<8>(_mm512_cvtepu8_epi16(bytes));
            let both = _mm512_or_si512(odd, _mm512_cvtepu8_epi16(even));
            if whole {
                _mm512_storeu_si512(at.cast(), both);
            } else {
                _mm512_mask_storeu_epi8(at.cast(), first(2 * width), both);
            }
        }
    }
}

/// Selects the first `n` of 64 bytes.
fn first(n: usize) -> __mmask64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

//! Weight gradients on tile registers: 16 by 16 sums over 32 pixels at a time.
//!
//! A tile of the right operand has a pair of pixels in each row and a channel in each column, which
//! is how two neighbouring pixels lie once they are rounded together. A tile of the left operand is
//! the same, turned round: 64 exchanges of 16 registers. Rounding a tile takes about 50 cycles and
//! turning it 70 more, a product 16, so each tile is used for all of the other operand's.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::Range;

use super::amx::{Tiles, step};
use super::native::Native;
use super::weight_grad::{STEP, TILE};
use crate::ConvShape;
use crate::simd::LANES;

/// One operand: pixels by channels.
pub(super) trait Operand {
    /// Rounds the pixels from `first` to before `end`, 32 at most, of the tiles `columns` to tiles one
    /// behind the other at `to`, each turned round if `TURN`.
    ///
    /// # Safety
    /// The CPU must have AVX512_BF16, `to` must be valid for the tiles and aligned to a cache line.
    unsafe fn round<const TURN: bool>(
        &self,
        pixels: Range<usize>,
        columns: Range<usize>,
        to: *mut u32,
    );
}

/// Where each pixel of a step has its channels; null where there is no pixel.
type Places = [*const f32; STEP];

/// Output gradients `[pixels, channels]`.
pub(super) struct Gradients<'a> {
    pub dy: &'a [f32],
    pub channels: usize,
}

impl Operand for Gradients<'_> {
    #[inline(always)]
    unsafe fn round<const TURN: bool>(
        &self,
        pixels: Range<usize>,
        columns: Range<usize>,
        to: *mut u32,
    ) {
        let dy = &self.dy[pixels.start * self.channels..pixels.end * self.channels];
        let mut places: Places = [std::ptr::null(); STEP];
        for (place, pixel) in places.iter_mut().zip(dy.chunks_exact(self.channels)) {
            *place = pixel.as_ptr();
        }
        // SAFETY: each place has all channels; `to` by contract.
        unsafe { round_tiles::<TURN>(&places, self.channels, columns, to) };
    }
}

/// The inputs `[pixels, taps, channels]` that output pixels read, each tap's channels filled up to
/// whole tiles.
pub(super) struct Inputs<'a> {
    pub shape: &'a ConvShape,
    pub x: &'a [f32],
    /// Tiles of a tap.
    pub per_tap: usize,
}

impl Operand for Inputs<'_> {
    #[inline(always)]
    unsafe fn round<const TURN: bool>(
        &self,
        pixels: Range<usize>,
        columns: Range<usize>,
        to: *mut u32,
    ) {
        let (shape, per_tap) = (self.shape, self.per_tap);
        // Image, row and column of the first tap of each pixel.
        let mut corners = [[0usize; 3]; STEP];
        for (corner, pixel) in corners.iter_mut().zip(pixels.clone()) {
            let (line, ox) = (pixel / shape.ow, pixel % shape.ow);
            *corner = [line / shape.oh, line % shape.oh * shape.sh, ox * shape.sw];
        }
        let mut to = to;
        for tap in columns.start / per_tap..columns.end.div_ceil(per_tap) {
            let (dy, dx) = (tap / shape.kw * shape.dh, tap % shape.kw * shape.dw);
            let mut places: Places = [std::ptr::null(); STEP];
            for (place, [image, y, x]) in places.iter_mut().zip(&corners[..pixels.len()]) {
                let (y, x) = ((y + dy).wrapping_sub(shape.pt), (x + dx).wrapping_sub(shape.pl));
                if y < shape.h && x < shape.w {
                    let at = ((image * shape.h + y) * shape.w + x) * shape.cin;
                    *place = self.x[at..at + shape.cin].as_ptr();
                }
            }
            let first = tap * per_tap;
            let own = columns.start.max(first) - first..columns.end.min(first + per_tap) - first;
            // SAFETY: each place has all channels; `to` by contract.
            unsafe { round_tiles::<TURN>(&places, shape.cin, own.clone(), to) };
            to = to.wrapping_add(own.len() * TILE);
        }
    }
}

/// Rounds the channels of the tiles `columns` of 32 pixels.
///
/// # Safety
/// Each place that is not null has `channels` floats; `to` must be valid for the tiles and aligned.
#[inline(always)]
unsafe fn round_tiles<const TURN: bool>(
    places: &Places,
    channels: usize,
    columns: Range<usize>,
    to: *mut u32,
) {
    for (i, tile) in columns.enumerate() {
        let first = tile * LANES;
        let mask = u16::MAX >> (LANES - (channels - first).min(LANES));
        let to = to.wrapping_add(i * TILE);
        // SAFETY: the masks end with the channels, and nothing is loaded where there is no pixel.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); LANES];
            for (row, pair) in rows.iter_mut().zip(places.chunks_exact(2)) {
                let load = |place: *const f32| {
                    let mask = if place.is_null() { 0 } else { mask };
                    _mm512_maskz_loadu_ps(mask, place.wrapping_add(first))
                };
                *row = pairs(load(pair[0]), load(pair[1]));
            }
            if TURN {
                rows = turn(rows);
            }
            for (row, words) in rows.into_iter().enumerate() {
                _mm512_store_si512(to.add(row * LANES).cast(), words);
            }
        }
    }
}

/// Half words 0, 16, 1, 17, ...
static INTERLEAVED: [u16; 2 * LANES] = {
    let mut order = [0; 2 * LANES];
    let mut i = 0;
    while i < 2 * LANES {
        order[i] = (i / 2 + i % 2 * LANES) as u16;
        i += 1;
    }
    order
};

/// Lane i of the first and of the second, rounded, in word i.
///
/// # Safety
/// The CPU must have AVX512_BF16.
#[inline(always)]
unsafe fn pairs(first: __m512, second: __m512) -> __m512i {
    // SAFETY: registers only, and all types are 512 plain bits.
    unsafe {
        let both = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
        _mm512_permutexvar_epi16(_mm512_loadu_si512(INTERLEAVED.as_ptr().cast()), both)
    }
}

/// Rows become columns.
///
/// # Safety
/// The CPU must have AVX-512 F.
#[inline(always)]
unsafe fn turn(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    // SAFETY: registers only.
    unsafe {
        let zero = _mm512_setzero_si512();
        let (mut a, mut b) = ([zero; LANES], [zero; LANES]);
        // 2 by 2 words, then 4 by 4, in each quarter of a register.
        for i in (0..LANES).step_by(2) {
            a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
            a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
        }
        for i in (0..LANES).step_by(4) {
            b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
            b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
            b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
            b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
        }
        // Quarter q of b[4 r + j] is column 4 q + j of rows 4 r to 4 r + 3.
        for j in 0..4 {
            let low = [
                _mm512_shuffle_i32x4::<0x88>(b[j], b[4 + j]),
                _mm512_shuffle_i32x4::<0x88>(b[8 + j], b[12 + j]),
            ];
            let high = [
                _mm512_shuffle_i32x4::<0xdd>(b[j], b[4 + j]),
                _mm512_shuffle_i32x4::<0xdd>(b[8 + j], b[12 + j]),
            ];
            a[j] = _mm512_shuffle_i32x4::<0x88>(low[0], low[1]);
            a[8 + j] = _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]);
            a[4 + j] = _mm512_shuffle_i32x4::<0x88>(high[0], high[1]);
            a[12 + j] = _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]);
        }
        a
    }
}

/// A sum over pixels.
pub(super) struct Sums {
    /// Room for the tiles of so many steps, the left ones first, aligned to a cache line.
    pub words: *mut u32,
    /// Tiles of the left operand.
    pub left: usize,
    /// Tiles of the right operand.
    pub columns: Range<usize>,
    /// Steps whose tiles are rounded at a time.
    pub steps: usize,
    pub pixels: Range<usize>,
    /// The result, `width` floats a row.
    pub out: *mut f32,
    pub width: usize,
}

/// Writes the sums of products of `left` and `right` to the columns of the result.
///
/// # Safety
/// The CPU must have AMX and AVX512_BF16; the pointers must be valid for what they are said to hold.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn sum<L: Operand, R: Operand>(sums: &Sums, left: &L, right: &R) {
    let Sums { words, ref columns, steps, ref pixels, .. } = *sums;
    let others = words.wrapping_add(steps * sums.left * TILE);
    // SAFETY: by contract.
    unsafe {
        let _tiles = Tiles::configure(Native::new());
        for first in pixels.clone().step_by(steps * STEP) {
            let block = first..(first + steps * STEP).min(pixels.end);
            let count = block.len().div_ceil(STEP);
            for i in 0..count {
                let start = first + i * STEP;
                let some = start..(start + STEP).min(block.end);
                left.round::<true>(some.clone(), 0..sums.left, words.add(i * sums.left * TILE));
                let to = others.add(i * columns.len() * TILE);
                right.round::<false>(some, columns.clone(), to);
            }
            multiply(sums, count, others, first > pixels.start);
        }
    }
}

/// Adds the products of `count` steps to the result, or begins it.
///
/// # Safety
/// As [`sum`], with configured tiles.
#[inline(always)]
unsafe fn multiply(sums: &Sums, count: usize, others: *const u32, add: bool) {
    let columns = &sums.columns;
    for j in (0..columns.len()).step_by(2) {
        for i in (0..sums.left).step_by(2) {
            let at = i * LANES * sums.width + (columns.start + j) * LANES;
            let job = Square {
                left: sums.words.wrapping_add(i * TILE),
                right: others.wrapping_add(j * TILE),
                strides: [sums.left * TILE, columns.len() * TILE],
                count,
                out: sums.out.wrapping_add(at),
                width: sums.width,
                add,
            };
            // SAFETY: by contract, so many tiles are left of both operands.
            unsafe {
                match (sums.left - i > 1, columns.len() - j > 1) {
                    (true, true) => square::<2, 2>(&job),
                    (true, false) => square::<2, 1>(&job),
                    (false, true) => square::<1, 2>(&job),
                    (false, false) => square::<1, 1>(&job),
                }
            }
        }
    }
}

/// Up to two by two tiles of the result.
struct Square {
    left: *const u32,
    right: *const u32,
    /// Words from one step to the next, left and right.
    strides: [usize; 2],
    count: usize,
    out: *mut f32,
    width: usize,
    add: bool,
}

/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn square<const M: usize, const N: usize>(job: &Square) {
    let (out, stride) = (job.out, size_of::<f32>() * job.width);
    let below = out.wrapping_add(LANES * job.width);
    // SAFETY: by contract.
    unsafe {
        if job.add {
            asm!("tileloadd tmm0, [{c} + {s} * 1]", c = in(reg) out, s = in(reg) stride, options(nostack, readonly));
            if N == 2 {
                asm!("tileloadd tmm1, [{c} + {s} * 1 + 64]", c = in(reg) out, s = in(reg) stride, options(nostack, readonly));
            }
            if M == 2 {
                asm!("tileloadd tmm2, [{c} + {s} * 1]", c = in(reg) below, s = in(reg) stride, options(nostack, readonly));
            }
            if M == 2 && N == 2 {
                asm!("tileloadd tmm3, [{c} + {s} * 1 + 64]", c = in(reg) below, s = in(reg) stride, options(nostack, readonly));
            }
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        }
        for i in 0..job.count {
            let left = job.left.wrapping_add(i * job.strides[0]);
            let right = job.right.wrapping_add(i * job.strides[1]);
            step::<M, N>(left, left.wrapping_add(TILE), 64, right);
        }
        asm!("tilestored [{c} + {s} * 1], tmm0", c = in(reg) out, s = in(reg) stride, options(nostack));
        if N == 2 {
            asm!("tilestored [{c} + {s} * 1 + 64], tmm1", c = in(reg) out, s = in(reg) stride, options(nostack));
        }
        if M == 2 {
            asm!("tilestored [{c} + {s} * 1], tmm2", c = in(reg) below, s = in(reg) stride, options(nostack));
        }
        if M == 2 && N == 2 {
            asm!("tilestored [{c} + {s} * 1 + 64], tmm3", c = in(reg) below, s = in(reg) stride, options(nostack));
        }
    }
}

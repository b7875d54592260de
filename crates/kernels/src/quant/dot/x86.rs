//! The dot products of x86-64.

use super::{COLUMNS, Dot, GROUP, Lanes, Requant, lanes};
use std::arch::x86_64::*;

/// `vpdpbusd` on 512 bits.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Vnni(());

impl Vnni {
    /// # Safety
    /// The CPU must have AVX-512 F, BW, DQ, VL and VNNI.
    #[inline(always)]
    pub(in crate::quant) unsafe fn new() -> Vnni {
        Vnni(())
    }
}

impl Dot for Vnni {
    type Acc = __m512i;
    type A = __m512i;
    type X = __m512i;
    type B = __m512i;
    type Params = VnniParams;

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves that the instructions exist.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    fn activations(self, word: u32) -> __m512i {
        // SAFETY: `self` proves that the instructions exist.
        unsafe { _mm512_set1_epi32(word as i32) }
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> __m512i {
        // SAFETY: valid for 64 reads by contract; `self` proves that the instructions exist.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    fn dot(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the instructions exist.
        unsafe { _mm512_dpbusd_epi32(acc, a, b) }
    }
    #[inline(always)]
    fn sums(self, acc: __m512i) -> [i32; COLUMNS] {
        // SAFETY: both are 512 bits in which every pattern is valid.
        unsafe { std::mem::transmute(acc) }
    }

    #[inline(always)]
    unsafe fn columns(self, taps: [*const u8; GROUP]) -> __m512i {
        // SAFETY: each tap is valid for 16 reads by contract; `self` proves that the instructions
        // exist.
        unsafe {
            let rows = _mm512_castsi128_si512(_mm_loadu_si128(taps[0].cast()));
            let rows = _mm512_inserti32x4::<1>(rows, _mm_loadu_si128(taps[1].cast()));
            let rows = _mm512_inserti32x4::<2>(rows, _mm_loadu_si128(taps[2].cast()));
            let rows = _mm512_inserti32x4::<3>(rows, _mm_loadu_si128(taps[3].cast()));
            // Transposes 4 x 4 words across, then 4 x 4 bytes within the 128-bit lanes.
            let across = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
            let within = _mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
            let words = _mm512_permutexvar_epi32(across, rows);
            _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(within))
        }
    }
    #[inline(always)]
    unsafe fn column(self, tap: *const u8) -> __m512i {
        // SAFETY: valid for 16 reads by contract; `self` proves that the instructions exist.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(tap.cast())) }
    }
    #[inline(always)]
    fn dot_columns(self, acc: __m512i, x: __m512i, b: __m512i) -> __m512i {
        self.dot(acc, x, b)
    }
    #[inline(always)]
    fn params(self, requant: &Requant, channel: usize) -> VnniParams {
        let bias: &[i32; COLUMNS] = lanes(&requant.bias, channel);
        let multiplier: &[f32; COLUMNS] = lanes(&requant.multiplier, channel);
        let range = requant.range;
        // SAFETY: the loads are of 16 elements each; `self` proves that the instructions exist.
        unsafe {
            VnniParams {
                bias: _mm512_loadu_si512(bias.as_ptr().cast()),
                multiplier: _mm512_loadu_ps(multiplier.as_ptr()),
                low: _mm512_set1_ps(range.low),
                high: _mm512_set1_ps(range.high),
                zero_point: _mm512_set1_epi32(range.zero_point),
            }
        }
    }
    #[inline(always)]
    fn requantise(self, acc: __m512i, p: VnniParams) -> [u8; COLUMNS] {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: the last value is 128 bits of bytes; `self` proves that the instructions exist.
        unsafe {
            let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(acc, p.bias));
            let v = _mm512_mul_ps(sum, p.multiplier);
            // Of max and min the second operand is the result where the first is NaN.
            let v = _mm512_min_ps(_mm512_max_ps(v, p.low), p.high);
            let rounded = _mm512_cvt_roundps_epi32::<NEAREST>(v);
            let bytes = _mm512_add_epi32(rounded, p.zero_point);
            std::mem::transmute(_mm512_cvtepi32_epi8(bytes))
        }
    }
}

/// Requantisation of sixteen channels.
#[derive(Clone, Copy)]
pub(in crate::quant) struct VnniParams {
    bias: __m512i,
    multiplier: __m512,
    low: __m512,
    high: __m512,
    zero_point: __m512i,
}

/// `vpmaddwd` on 256 bits. The even and the odd bytes of a lane become two 16-bit pairs each,
/// by shifts and masks alone; a pair of products is at most 2 * 255 * 128, far inside i32.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2.
    #[inline(always)]
    pub(in crate::quant) unsafe fn new() -> Avx2 {
        Avx2(())
    }

    /// Unsigned bytes as two vectors of 16-bit numbers.
    #[inline(always)]
    fn split_unsigned(self, bytes: __m256i) -> Split {
        // SAFETY: `self` proves that the instructions exist.
        unsafe {
            let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
            Split { even, odd: _mm256_srli_epi16::<8>(bytes) }
        }
    }

    /// Signed bytes as two vectors of 16-bit numbers.
    #[inline(always)]
    fn split(self, bytes: __m256i) -> Split {
        // SAFETY: `self` proves that the instructions exist.
        unsafe {
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes));
            Split { even, odd: _mm256_srai_epi16::<8>(bytes) }
        }
    }

    #[inline(always)]
    fn dot_half(self, acc: __m256i, a: Split, b: Split) -> __m256i {
        // SAFETY: `self` proves that the instructions exist.
        unsafe {
            let even = _mm256_madd_epi16(a.even, b.even);
            let odd = _mm256_madd_epi16(a.odd, b.odd);
            _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
        }
    }
}

/// Bytes 0, 2 and bytes 1, 3 of eight lanes as 16-bit numbers.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Split {
    even: __m256i,
    odd: __m256i,
}

impl Dot for Avx2 {
    type Acc = [__m256i; 2];
    type A = Split;
    type X = [Split; 2];
    type B = [Split; 2];
    type Params = Lanes;

    #[inline(always)]
    fn zero(self) -> Self::Acc {
        // SAFETY: `self` proves that the instructions exist.
        unsafe { [_mm256_setzero_si256(); 2] }
    }
    #[inline(always)]
    fn activations(self, word: u32) -> Split {
        // SAFETY: `self` proves that the instructions exist.
        self.split_unsigned(unsafe { _mm256_set1_epi32(word as i32) })
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::B {
        // SAFETY: valid for 64 reads by contract; `self` proves that the instructions exist.
        unsafe {
            let (a, b) = (_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast()));
            [self.split(a), self.split(b)]
        }
    }
    #[inline(always)]
    fn dot(self, acc: Self::Acc, a: Split, b: Self::B) -> Self::Acc {
        [self.dot_half(acc[0], a, b[0]), self.dot_half(acc[1], a, b[1])]
    }
    #[inline(always)]
    fn sums(self, acc: Self::Acc) -> [i32; COLUMNS] {
        // SAFETY: both are 512 bits in which every pattern is valid.
        unsafe { std::mem::transmute(acc) }
    }

    #[inline(always)]
    unsafe fn columns(self, taps: [*const u8; GROUP]) -> Self::X {
        // SAFETY: each tap is valid for 16 reads by contract; `self` proves that the instructions
        // exist.
        unsafe {
            let (a, b) = (_mm_loadu_si128(taps[0].cast()), _mm_loadu_si128(taps[1].cast()));
            let (c, d) = (_mm_loadu_si128(taps[2].cast()), _mm_loadu_si128(taps[3].cast()));
            let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
            let low = _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd));
            let (ab, cd) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
            let high = _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd));
            [self.split_unsigned(low), self.split_unsigned(high)]
        }
    }
    #[inline(always)]
    unsafe fn column(self, tap: *const u8) -> Self::X {
        // SAFETY: valid for 16 reads by contract; `self` proves that the instructions exist.
        unsafe {
            let (low, high) = (_mm_loadl_epi64(tap.cast()), _mm_loadl_epi64(tap.add(8).cast()));
            let zero = _mm256_setzero_si256();
            [
                Split { even: _mm256_cvtepu8_epi32(low), odd: zero },
                Split { even: _mm256_cvtepu8_epi32(high), odd: zero },
            ]
        }
    }
    #[inline(always)]
    fn dot_columns(self, acc: Self::Acc, x: Self::X, b: Self::B) -> Self::Acc {
        [self.dot_half(acc[0], x[0], b[0]), self.dot_half(acc[1], x[1], b[1])]
    }
    #[inline(always)]
    fn params(self, requant: &Requant, channel: usize) -> Lanes {
        Lanes::of(requant, channel)
    }
    #[inline(always)]
    fn requantise(self, acc: Self::Acc, params: Lanes) -> [u8; COLUMNS] {
        params.apply(self.sums(acc))
    }
}

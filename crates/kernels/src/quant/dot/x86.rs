//! The dot products of x86-64.

use super::{COLUMNS, Dot};
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
    type B = __m512i;

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
    unsafe fn halved(self, p: *const i8) -> __m512i {
        // SAFETY: valid for 32 reads by contract; `self` proves that the instructions exist.
        unsafe {
            let bytes = _mm512_broadcast_i64x4(_mm256_loadu_si256(p.cast()));
            let number = _mm512_mask_srli_epi16(bytes, !0 << 16, bytes, 4);
            let number = _mm512_and_si512(number, _mm512_set1_epi8(15));
            let eight = _mm512_set1_epi8(8);
            _mm512_sub_epi8(_mm512_xor_si512(number, eight), eight)
        }
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
    type B = [Split; 2];

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
    unsafe fn halved(self, p: *const i8) -> Self::B {
        // SAFETY: valid for 32 reads by contract; `self` proves that the instructions exist.
        unsafe {
            let bytes = _mm256_loadu_si256(p.cast());
            let low = Split {
                even: _mm256_srai_epi16::<12>(_mm256_slli_epi16::<12>(bytes)),
                odd: _mm256_srai_epi16::<12>(_mm256_slli_epi16::<4>(bytes)),
            };
            let high = Split {
                even: _mm256_srai_epi16::<12>(_mm256_slli_epi16::<8>(bytes)),
                odd: _mm256_srai_epi16::<12>(bytes),
            };
            [low, high]
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
}

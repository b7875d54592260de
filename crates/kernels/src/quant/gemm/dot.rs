//! Sixteen dot products of four u8 with four s8, added to sixteen i32: exactly, on any machine.

use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES};
use crate::quant::requant::Requant;

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Vnni};

/// The instructions of a product. A value is the proof that they exist.
pub(super) trait Dot: Copy {
    /// Sixteen i32.
    type Acc: Copy;
    /// Four activations for all lanes.
    type A: Copy;
    /// Four weights for each lane.
    type B: Copy;

    /// Sixteen zeros.
    fn zero(self) -> Self::Acc;
    /// The four bytes of `word`, in memory order, for all lanes.
    fn activations(self, word: u32) -> Self::A;
    /// A group of packed weights.
    ///
    /// # Safety
    /// `p` must be valid for 64 reads.
    unsafe fn weights(self, p: *const i8) -> Self::B;
    /// `acc + a . b` in each lane, modulo 2^32.
    fn dot(self, acc: Self::Acc, a: Self::A, b: Self::B) -> Self::Acc;
    /// The lanes.
    fn sums(self, acc: Self::Acc) -> [i32; COLUMNS];

    /// The bytes of channels `channel..channel + 16`.
    #[inline(always)]
    fn requantise(self, acc: Self::Acc, requant: &Requant, channel: usize) -> [u8; COLUMNS] {
        let (sums, range) = (self.sums(acc), requant.range);
        let bias: &[i32; COLUMNS] = lanes(&requant.bias, channel);
        let multiplier: &[f32; COLUMNS] = lanes(&requant.multiplier, channel);
        let mut bytes = [0; COLUMNS];
        for i in 0..COLUMNS {
            bytes[i] = range.round(sums[i].wrapping_add(bias[i]) as f32 * multiplier[i]);
        }
        bytes
    }
}

/// The parameters of 16 channels; the vectors are padded for the last ones.
#[inline(always)]
fn lanes<T>(values: &[T], first: usize) -> &[T; COLUMNS] {
    values[first..].first_chunk().expect("parameters are padded by 16")
}

/// The portable twin.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

impl Dot for Scalar {
    type Acc = [i32; COLUMNS];
    type A = [i32; GROUP];
    type B = [i8; GROUP_BYTES];

    #[inline(always)]
    fn zero(self) -> Self::Acc {
        [0; COLUMNS]
    }
    #[inline(always)]
    fn activations(self, word: u32) -> Self::A {
        word.to_ne_bytes().map(i32::from)
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::B {
        // SAFETY: valid for 64 reads by contract; bytes need no alignment.
        unsafe { *p.cast::<[i8; GROUP_BYTES]>() }
    }
    #[inline(always)]
    fn dot(self, mut acc: Self::Acc, a: Self::A, b: Self::B) -> Self::Acc {
        for (lane, acc) in acc.iter_mut().enumerate() {
            let product = |j: usize| a[j] * i32::from(b[lane * GROUP + j]);
            *acc = acc.wrapping_add(product(0) + product(1) + product(2) + product(3));
        }
        acc
    }
    #[inline(always)]
    fn sums(self, acc: Self::Acc) -> [i32; COLUMNS] {
        acc
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{COLUMNS, Dot, Requant, lanes};
    use std::arch::x86_64::*;

    /// `vpdpbusd` on 512 bits.
    #[derive(Clone, Copy)]
    pub(in crate::quant::gemm) struct Vnni(());

    impl Vnni {
        /// # Safety
        /// The CPU must have AVX-512 F, BW, DQ, VL and VNNI.
        #[inline(always)]
        pub(in crate::quant::gemm) unsafe fn new() -> Vnni {
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
        fn requantise(self, acc: __m512i, requant: &Requant, channel: usize) -> [u8; COLUMNS] {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            let bias: &[i32; COLUMNS] = lanes(&requant.bias, channel);
            let multiplier: &[f32; COLUMNS] = lanes(&requant.multiplier, channel);
            let range = requant.range;
            // SAFETY: the loads are of 16 elements each, the last value is 128 bits of bytes;
            // `self` proves that the instructions exist.
            unsafe {
                let sum = _mm512_add_epi32(acc, _mm512_loadu_si512(bias.as_ptr().cast()));
                let multiplier = _mm512_loadu_ps(multiplier.as_ptr());
                let v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier);
                // Of max and min the second operand is the result where the first is NaN.
                let v = _mm512_max_ps(v, _mm512_set1_ps(range.low));
                let v = _mm512_min_ps(v, _mm512_set1_ps(range.high));
                let rounded = _mm512_cvt_roundps_epi32::<NEAREST>(v);
                let bytes = _mm512_add_epi32(rounded, _mm512_set1_epi32(range.zero_point));
                std::mem::transmute(_mm512_cvtepi32_epi8(bytes))
            }
        }
    }

    /// `vpmaddwd` on 256 bits. The even and the odd bytes of a lane become two 16-bit pairs each,
    /// by shifts and masks alone; a pair of products is at most 2 * 255 * 128, far inside i32.
    #[derive(Clone, Copy)]
    pub(in crate::quant::gemm) struct Avx2(());

    impl Avx2 {
        /// # Safety
        /// The CPU must have AVX2.
        #[inline(always)]
        pub(in crate::quant::gemm) unsafe fn new() -> Avx2 {
            Avx2(())
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
    pub(in crate::quant::gemm) struct Split {
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
            unsafe {
                let bytes = _mm256_set1_epi32(word as i32);
                let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
                Split { even, odd: _mm256_srli_epi16::<8>(bytes) }
            }
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
    }
}

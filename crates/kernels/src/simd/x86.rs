//! [`Simd`] on x86-64: AVX2 as pairs of 256-bit registers, AVX-512 as single ones.

use super::{Part, Simd, transpose};
use crate::exp::ROUND;
use crate::gemm::{Ahead, Run, avx512};
use crate::{Isa, Level};
use std::arch::x86_64::*;

/// AVX2 and FMA exist on this CPU.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// AVX-512 F, BW, DQ and VL exist on this CPU.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Avx2(())
    }
}

impl Avx512 {
    /// # Safety
    /// The CPU must have AVX-512 F, BW, DQ and VL.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Avx512(())
    }
}

/// Calls intrinsics that touch no memory.
macro_rules! pure {
    ($($e:tt)*) => {{
        // SAFETY: the token proves that the instructions exist; registers only.
        unsafe { $($e)* }
    }};
}

impl Simd for Avx2 {
    type V = [__m256; 2];
    type Mask = [__m256i; 2];
    const TILE_ROWS: usize = 6;
    const WIDE: bool = false;
    const HEIGHT: usize = 6;
    const REGISTERS: usize = 6;

    #[inline(always)]
    fn isa(self) -> Isa {
        // SAFETY: this token proves that the CPU has the level.
        unsafe { Isa::assume(Level::Avx2) }
    }
    #[inline(always)]
    fn apart(self, part: impl Part) {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn call(s: Avx2, part: impl Part) {
            part.run(s);
        }
        // SAFETY: this token proves that the CPU has these.
        unsafe { call(self, part) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        pure!([_mm256_set1_ps(x); 2])
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: valid for 16 reads by contract, unaligned loads.
        unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        // SAFETY: valid for 16 writes by contract, unaligned stores.
        unsafe {
            _mm256_storeu_ps(p, v[0]);
            _mm256_storeu_ps(p.add(8), v[1]);
        }
    }
    #[inline(always)]
    fn first(self, n: usize) -> Self::Mask {
        let n = n.min(16) as i32;
        pure! {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let low = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
            let high = _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane);
            [low, high]
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, m: Self::Mask) -> Self::V {
        // SAFETY: lanes outside of the mask are not accessed, the others are valid by contract.
        // The address of the second half is formed without the promise that it is in bounds.
        unsafe { [_mm256_maskload_ps(p, m[0]), _mm256_maskload_ps(p.wrapping_add(8), m[1])] }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, m: Self::Mask) {
        // A masked store takes several times as long as a plain one, even with all lanes set.
        if pure!(_mm256_movemask_epi8(m[1])) == -1 {
            // SAFETY: all 16 lanes are valid by contract.
            unsafe { self.store(p, v) }
        } else {
            // SAFETY: as in `load_first`.
            unsafe {
                _mm256_maskstore_ps(p, m[0], v[0]);
                _mm256_maskstore_ps(p.wrapping_add(8), m[1], v[1]);
            }
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        pure!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        pure!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        pure!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        pure!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn negate(self, a: Self::V) -> Self::V {
        let sign = pure!(_mm256_set1_ps(-0.0));
        pure!([_mm256_xor_ps(a[0], sign), _mm256_xor_ps(a[1], sign)])
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        pure!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        pure!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        pure!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }
    #[inline(always)]
    fn if_between(self, x: Self::V, lo: Self::V, hi: Self::V, v: Self::V) -> Self::V {
        pure! {
            both!(|i| {
                let above = _mm256_cmp_ps::<_CMP_LT_OQ>(lo[i], x[i]);
                let below = _mm256_cmp_ps::<_CMP_LT_OQ>(x[i], hi[i]);
                _mm256_and_ps(_mm256_and_ps(above, below), v[i])
            })
        }
    }
    #[inline(always)]
    fn powers_of_two(self, shifted: Self::V) -> [Self::V; 2] {
        pure! {
            let round = _mm256_set1_epi32(ROUND.to_bits() as i32);
            let n = both!(|i| _mm256_sub_epi32(_mm256_castps_si256(shifted[i]), round));
            let half = both!(|i| _mm256_srai_epi32::<1>(n[i]));
            let parts = [half, both!(|i| _mm256_sub_epi32(n[i], half[i]))];
            let bias = _mm256_set1_epi32(127);
            both!(|part| both!(|i| {
                let biased = _mm256_add_epi32(parts[part][i], bias);
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            }))
        }
    }
    #[inline(always)]
    fn interleave(self, a: Self::V, b: Self::V) -> [Self::V; 2] {
        pure! {
            both!(|i| {
                let low = _mm256_unpacklo_ps(a[i], b[i]);
                let high = _mm256_unpackhi_ps(a[i], b[i]);
                [
                    _mm256_permute2f128_ps::<0x20>(low, high),
                    _mm256_permute2f128_ps::<0x31>(low, high),
                ]
            })
        }
    }
    #[inline(always)]
    fn halves(self, v: Self::V) -> [Self::V; 2] {
        pure! {
            let bits = both!(|i| _mm256_castps_si256(v[i]));
            let upper = _mm256_set1_epi32(0xffff_0000u32 as i32);
            [
                both!(|i| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits[i]))),
                both!(|i| _mm256_castsi256_ps(_mm256_and_si256(bits[i], upper))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: this token proves that the CPU has AVX2; the rest is the caller's promise.
        unsafe { transpose::avx2(from, stride, to, to_stride) }
    }
    #[inline(always)]
    fn doubled(self, m: Self::Mask) -> [Self::Mask; 2] {
        let bits = pure!(both!(|i| _mm256_movemask_ps(_mm256_castsi256_ps(m[i]))));
        let count = both!(|i| bits[i].count_ones() as usize);
        let lanes = 2 * (count[0] + count[1]);
        [self.first(lanes), self.first(lanes.saturating_sub(16))]
    }
}

impl Simd for Avx512 {
    type V = __m512;
    type Mask = __mmask16;
    const TILE_ROWS: usize = 8;
    const WIDE: bool = true;
    const HEIGHT: usize = 14;
    const REGISTERS: usize = 31;

    #[inline(always)]
    fn isa(self) -> Isa {
        // SAFETY: this token proves that the CPU has the level.
        unsafe { Isa::assume(Level::Avx512) }
    }
    #[inline(always)]
    fn apart(self, part: impl Part) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
        #[inline(never)]
        fn call(s: Avx512, part: impl Part) {
            part.run(s);
        }
        // SAFETY: this token proves that the CPU has these.
        unsafe { call(self, part) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        pure!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: valid for 16 reads by contract, unaligned load.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        // SAFETY: valid for 16 writes by contract, unaligned store.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    fn first(self, n: usize) -> Self::Mask {
        ((1u32 << n.min(16)) - 1) as __mmask16
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, m: Self::Mask) -> Self::V {
        // SAFETY: lanes outside of the mask are not accessed, the others are valid by contract.
        unsafe { _mm512_maskz_loadu_ps(m, p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, m: Self::Mask) {
        // A masked store takes several times as long as a plain one, even with all lanes set.
        if m == __mmask16::MAX {
            // SAFETY: all 16 lanes are valid by contract.
            unsafe { self.store(p, v) }
        } else {
            // SAFETY: as in `load_first`.
            unsafe { _mm512_mask_storeu_ps(p, m, v) }
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        pure!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        pure!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        pure!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        pure!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn negate(self, a: Self::V) -> Self::V {
        pure!(_mm512_xor_ps(a, _mm512_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        pure!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        pure!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        pure!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn if_between(self, x: Self::V, lo: Self::V, hi: Self::V, v: Self::V) -> Self::V {
        pure! {
            let above = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(lo, x);
            let both = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(above, x, hi);
            _mm512_maskz_mov_ps(both, v)
        }
    }
    #[inline(always)]
    fn powers_of_two(self, shifted: Self::V) -> [Self::V; 2] {
        pure! {
            let round = _mm512_set1_epi32(ROUND.to_bits() as i32);
            let n = _mm512_sub_epi32(_mm512_castps_si512(shifted), round);
            let half = _mm512_srai_epi32::<1>(n);
            let (parts, bias) = ([half, _mm512_sub_epi32(n, half)], _mm512_set1_epi32(127));
            both!(|part| {
                let biased = _mm512_add_epi32(parts[part], bias);
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
            })
        }
    }
    #[inline(always)]
    fn interleave(self, a: Self::V, b: Self::V) -> [Self::V; 2] {
        pure! {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            [_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)]
        }
    }
    #[inline(always)]
    fn halves(self, v: Self::V) -> [Self::V; 2] {
        pure! {
            let bits = _mm512_castps_si512(v);
            let upper = _mm512_set1_epi32(0xffff_0000u32 as i32);
            [
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)),
                _mm512_castsi512_ps(_mm512_and_si512(bits, upper)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: this token proves that the CPU has AVX-512; the rest is the caller's promise.
        unsafe { transpose::avx512(from, stride, to, to_stride) }
    }
    #[inline(always)]
    fn doubled(self, m: Self::Mask) -> [Self::Mask; 2] {
        let lanes = 2 * m.count_ones() as usize;
        [self.first(lanes), self.first(lanes.saturating_sub(16))]
    }
    #[inline(always)]
    unsafe fn accumulate<const R: usize, const NV: usize>(
        self,
        acc: &mut [[Self::V; NV]; R],
        runs: &[Run],
        offset: usize,
        lda: usize,
        (b, _): (*const f32, usize),
        ahead: Ahead,
    ) {
        // SAFETY: this token proves that the CPU has AVX-512; the rest is the caller's promise.
        unsafe { avx512::accumulate(acc, runs.as_ptr(), offset, lda, b, ahead) }
    }
}

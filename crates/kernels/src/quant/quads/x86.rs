//! [`Quads`] on x86-64.

use super::{Part, Quads};
use crate::quant::requant::Range;
use crate::simd::{self, both};
use std::arch::x86_64::*;

/// `vpdpbusd` on 512 bits.
#[derive(Clone, Copy)]
pub(super) struct Vnni(());

/// `vpmaddwd` on 256 bits.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Vnni {
    /// # Safety
    /// The CPU must have AVX2, FMA, AVX-512 F, BW, DQ, VL and VNNI.
    #[inline(always)]
    pub(super) unsafe fn new() -> Vnni {
        Vnni(())
    }
}

impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2 and FMA.
    #[inline(always)]
    pub(super) unsafe fn new() -> Avx2 {
        Avx2(())
    }
}

/// Calls intrinsics that touch no memory.
macro_rules! pure {
    ($($e:tt)*) => {{
        // SAFETY: the token proves that the instructions exist; registers only.
        unsafe { $($e)* }
    }};
}

impl Quads for Vnni {
    type S = simd::Avx512;
    type Bytes = __m512i;
    type Quarter = __m512i;
    type Weights = __m512i;
    type Ints = __m512i;
    const MANY: bool = true;

    #[inline(always)]
    fn simd(self) -> simd::Avx512 {
        // SAFETY: the token proves more than this.
        unsafe { simd::Avx512::new() }
    }
    #[inline(always)]
    fn apart(self, part: impl Part) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        #[inline(never)]
        fn call(q: Vnni, part: impl Part) {
            part.run(q);
        }
        // SAFETY: this token proves that the CPU has these.
        unsafe { call(self, part) }
    }
    #[inline(always)]
    unsafe fn load<const PIXELS: usize>(self, at: [*const u8; PIXELS], n: usize) -> __m512i {
        let mask = first(n);
        // SAFETY: masks select `n` bytes, which are valid by contract.
        unsafe {
            match PIXELS {
                1 => _mm512_maskz_loadu_epi8(mask, at[0].cast()),
                2 => {
                    let low = _mm256_maskz_loadu_epi8(mask as u32, at[0].cast());
                    let high = _mm256_maskz_loadu_epi8(mask as u32, at[1].cast());
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
                }
                _ => {
                    let mask = mask as u16;
                    let a = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(mask, at[0].cast()));
                    let b = _mm_maskz_loadu_epi8(mask, at[1].cast());
                    let c = _mm_maskz_loadu_epi8(mask, at[2].cast());
                    let d = _mm_maskz_loadu_epi8(mask, at[3].cast());
                    let ab = _mm512_inserti32x4::<1>(a, b);
                    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(ab, c), d)
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn store<const PIXELS: usize>(
        self,
        p: *mut u8,
        stride: usize,
        bytes: __m512i,
        n: usize,
        pixels: usize,
    ) {
        let whole = n == super::BYTES / PIXELS;
        // A masked store takes several times as long as a plain one, even with all lanes set.
        // SAFETY: masks select `n` bytes, which are valid by contract.
        unsafe {
            match PIXELS {
                1 if whole => _mm512_storeu_si512(p.cast(), bytes),
                1 => _mm512_mask_storeu_epi8(p.cast(), first(n), bytes),
                2 if whole && pixels == 2 => {
                    _mm256_storeu_si256(p.cast(), _mm512_castsi512_si256(bytes));
                    let high = _mm512_extracti64x4_epi64::<1>(bytes);
                    _mm256_storeu_si256(p.wrapping_add(stride).cast(), high);
                }
                2 => {
                    let mask = first(n) as u32;
                    _mm256_mask_storeu_epi8(p.cast(), mask, _mm512_castsi512_si256(bytes));
                    if pixels > 1 {
                        let high = _mm512_extracti64x4_epi64::<1>(bytes);
                        _mm256_mask_storeu_epi8(p.wrapping_add(stride).cast(), mask, high);
                    }
                }
                4 if whole && pixels == 4 => {
                    let at = |i: usize| p.wrapping_add(i * stride).cast();
                    _mm_storeu_si128(at(0), _mm512_castsi512_si128(bytes));
                    _mm_storeu_si128(at(1), _mm512_extracti32x4_epi32::<1>(bytes));
                    _mm_storeu_si128(at(2), _mm512_extracti32x4_epi32::<2>(bytes));
                    _mm_storeu_si128(at(3), _mm512_extracti32x4_epi32::<3>(bytes));
                }
                _ => {
                    let mask = first(n) as u16;
                    let at = |i: usize| p.wrapping_add(i * stride).cast();
                    _mm_mask_storeu_epi8(at(0), mask, _mm512_castsi512_si128(bytes));
                    if pixels > 1 {
                        _mm_mask_storeu_epi8(at(1), mask, _mm512_extracti32x4_epi32::<1>(bytes));
                    }
                    if pixels > 2 {
                        _mm_mask_storeu_epi8(at(2), mask, _mm512_extracti32x4_epi32::<2>(bytes));
                    }
                    if pixels > 3 {
                        _mm_mask_storeu_epi8(at(3), mask, _mm512_extracti32x4_epi32::<3>(bytes));
                    }
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, [a, b, c, d]: [__m512i; 4], to: [*mut u8; 4]) {
        // SAFETY: the pointers are valid by contract.
        unsafe {
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            _mm512_storeu_si512(to[0].cast(), _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to[1].cast(), _mm512_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            _mm512_storeu_si512(to[2].cast(), _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to[3].cast(), _mm512_unpackhi_epi16(ab, cd));
        }
    }
    #[inline(always)]
    unsafe fn quarter(self, p: *const u8) -> __m512i {
        // SAFETY: valid for 64 reads by contract.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn weights<const PIXELS: usize>(self, p: *const i8) -> __m512i {
        // SAFETY: valid for as many reads by contract.
        unsafe {
            match PIXELS {
                1 => _mm512_loadu_si512(p.cast()),
                2 => _mm512_broadcast_i64x4(_mm256_loadu_si256(p.cast())),
                _ => _mm512_broadcast_i32x4(_mm_loadu_si128(p.cast())),
            }
        }
    }
    #[inline(always)]
    fn dot(self, sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        pure!(_mm512_dpbusd_epi32(sums, x, w))
    }
    #[inline(always)]
    fn ints(self, from: &[i32; 16]) -> __m512i {
        // SAFETY: there are 64 bytes to read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn to_floats(self, sums: __m512i) -> __m512 {
        pure!(_mm512_cvtepi32_ps(sums))
    }
    #[inline(always)]
    fn widen(self, bytes: __m512i) -> [__m512; 4] {
        pure! {
            let zero = _mm512_setzero_si512();
            let (low, high) = (_mm512_unpacklo_epi8(bytes, zero), _mm512_unpackhi_epi8(bytes, zero));
            [
                _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(low, zero)),
                _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(low, zero)),
                _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(high, zero)),
                _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(high, zero)),
            ]
        }
    }
    #[inline(always)]
    fn round(self, values: [__m512; 4], range: Range) -> __m512i {
        // NaN stays NaN and becomes the least integer, as what is too low does; packing limits these.
        let high = pure!(_mm512_set1_ps(range.high));
        let [a, b, c, d] = values;
        let (a, b) = pure!((_mm512_min_ps(high, a), _mm512_min_ps(high, b)));
        let (c, d) = pure!((_mm512_min_ps(high, c), _mm512_min_ps(high, d)));
        self.round_bounded([a, b, c, d], range)
    }
    #[inline(always)]
    fn round_bounded(self, [a, b, c, d]: [__m512; 4], range: Range) -> __m512i {
        pure! {
            let (a, b) = (_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
            let (c, d) = (_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
            let zero_point = _mm512_set1_epi16(range.zero_point as i16);
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero_point);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero_point);
            let (low, high) = range.bytes();
            let bytes = _mm512_max_epu8(_mm512_packus_epi16(ab, cd), _mm512_set1_epi8(low as i8));
            _mm512_min_epu8(bytes, _mm512_set1_epi8(high as i8))
        }
    }
}

/// The first `n` of 64 bytes.
#[inline(always)]
fn first(n: usize) -> __mmask64 {
    u64::MAX >> (64 - n)
}

/// Bytes 0, 2 and bytes 1, 3 of eight lanes as 16-bit numbers: a pair of products is at most
/// `2 * 255 * 128`, far inside i32.
#[derive(Clone, Copy)]
pub(super) struct Split {
    even: __m256i,
    odd: __m256i,
}

impl Split {
    /// # Safety
    /// The CPU must have AVX2.
    #[inline(always)]
    unsafe fn weights(bytes: __m256i) -> Split {
        pure! {
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes));
            Split { even, odd: _mm256_srai_epi16::<8>(bytes) }
        }
    }
}

impl Quads for Avx2 {
    type S = simd::Avx2;
    type Bytes = [__m256i; 2];
    type Quarter = [Split; 2];
    type Weights = [Split; 2];
    type Ints = [__m256i; 2];
    const MANY: bool = false;

    #[inline(always)]
    fn simd(self) -> simd::Avx2 {
        // SAFETY: the token proves this.
        unsafe { simd::Avx2::new() }
    }
    #[inline(always)]
    fn apart(self, part: impl Part) {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn call(q: Avx2, part: impl Part) {
            part.run(q);
        }
        // SAFETY: this token proves that the CPU has these.
        unsafe { call(self, part) }
    }
    #[inline(always)]
    unsafe fn load<const PIXELS: usize>(self, at: [*const u8; PIXELS], n: usize) -> [__m256i; 2] {
        let width = super::BYTES / PIXELS;
        // SAFETY: the pointers are valid by contract.
        unsafe {
            if n == width {
                // Pixel and byte in it where block b begins.
                let block = |b: usize| at[b * 16 / width].wrapping_add(b * 16 % width).cast();
                both!(|i| {
                    let low = _mm_loadu_si128(block(2 * i));
                    _mm256_set_m128i(_mm_loadu_si128(block(2 * i + 1)), low)
                })
            } else {
                let bytes = super::gather(at, n);
                both!(|i| _mm256_loadu_si256(bytes[32 * i..].as_ptr().cast()))
            }
        }
    }
    #[inline(always)]
    unsafe fn store<const PIXELS: usize>(
        self,
        p: *mut u8,
        stride: usize,
        bytes: [__m256i; 2],
        n: usize,
        pixels: usize,
    ) {
        // SAFETY: the bytes are valid by contract.
        unsafe {
            if PIXELS == 1 && n == super::BYTES {
                _mm256_storeu_si256(p.cast(), bytes[0]);
                _mm256_storeu_si256(p.add(32).cast(), bytes[1]);
                return;
            }
            let mut lanes = [0u8; super::BYTES];
            _mm256_storeu_si256(lanes.as_mut_ptr().cast(), bytes[0]);
            _mm256_storeu_si256(lanes[32..].as_mut_ptr().cast(), bytes[1]);
            super::scatter::<PIXELS>(p, stride, &lanes, n, pixels);
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, [a, b, c, d]: [[__m256i; 2]; 4], to: [*mut u8; 4]) {
        for i in 0..2 {
            let (a, b, c, d) = (a[i], b[i], c[i], d[i]);
            let to = |j: usize| to[j].wrapping_add(32 * i).cast();
            // SAFETY: the pointers are valid by contract.
            unsafe {
                let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
                _mm256_storeu_si256(to(0), _mm256_unpacklo_epi16(ab, cd));
                _mm256_storeu_si256(to(1), _mm256_unpackhi_epi16(ab, cd));
                let (ab, cd) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
                _mm256_storeu_si256(to(2), _mm256_unpacklo_epi16(ab, cd));
                _mm256_storeu_si256(to(3), _mm256_unpackhi_epi16(ab, cd));
            }
        }
    }
    #[inline(always)]
    unsafe fn quarter(self, p: *const u8) -> [Split; 2] {
        // SAFETY: valid for 64 reads by contract.
        unsafe {
            both!(|i| {
                let bytes = _mm256_loadu_si256(p.add(32 * i).cast());
                let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
                Split { even, odd: _mm256_srli_epi16::<8>(bytes) }
            })
        }
    }
    #[inline(always)]
    unsafe fn weights<const PIXELS: usize>(self, p: *const i8) -> [Split; 2] {
        // SAFETY: valid for as many reads by contract.
        unsafe {
            match PIXELS {
                1 => both!(|i| Split::weights(_mm256_loadu_si256(p.add(32 * i).cast()))),
                2 => [Split::weights(_mm256_loadu_si256(p.cast())); 2],
                _ => {
                    let bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128(p.cast()));
                    [Split::weights(bytes); 2]
                }
            }
        }
    }
    #[inline(always)]
    fn dot(self, sums: [__m256i; 2], x: [Split; 2], w: [Split; 2]) -> [__m256i; 2] {
        pure! {
            both!(|i| {
                let even = _mm256_madd_epi16(x[i].even, w[i].even);
                let odd = _mm256_madd_epi16(x[i].odd, w[i].odd);
                _mm256_add_epi32(sums[i], _mm256_add_epi32(even, odd))
            })
        }
    }
    #[inline(always)]
    fn ints(self, from: &[i32; 16]) -> [__m256i; 2] {
        // SAFETY: there are 64 bytes to read.
        unsafe { both!(|i| _mm256_loadu_si256(from[8 * i..].as_ptr().cast())) }
    }
    #[inline(always)]
    fn to_floats(self, sums: [__m256i; 2]) -> [__m256; 2] {
        pure!([_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])])
    }
    #[inline(always)]
    fn widen(self, bytes: [__m256i; 2]) -> [[__m256; 2]; 4] {
        pure! {
            let zero = _mm256_setzero_si256();
            let low = both!(|i| _mm256_unpacklo_epi8(bytes[i], zero));
            let high = both!(|i| _mm256_unpackhi_epi8(bytes[i], zero));
            [
                both!(|i| _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(low[i], zero))),
                both!(|i| _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(low[i], zero))),
                both!(|i| _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(high[i], zero))),
                both!(|i| _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(high[i], zero))),
            ]
        }
    }
    #[inline(always)]
    fn round(self, values: [[__m256; 2]; 4], range: Range) -> [__m256i; 2] {
        // As on 512 bits.
        let [a, b, c, d] = values;
        let limited = pure! {
            let high = _mm256_set1_ps(range.high);
            [
                both!(|i| _mm256_min_ps(high, a[i])),
                both!(|i| _mm256_min_ps(high, b[i])),
                both!(|i| _mm256_min_ps(high, c[i])),
                both!(|i| _mm256_min_ps(high, d[i])),
            ]
        };
        self.round_bounded(limited, range)
    }
    #[inline(always)]
    fn round_bounded(self, [a, b, c, d]: [[__m256; 2]; 4], range: Range) -> [__m256i; 2] {
        let (low, high) = range.bytes();
        pure! {
            let zero_point = _mm256_set1_epi16(range.zero_point as i16);
            let (low, high) = (_mm256_set1_epi8(low as i8), _mm256_set1_epi8(high as i8));
            both!(|i| {
                let (a, b) = (_mm256_cvtps_epi32(a[i]), _mm256_cvtps_epi32(b[i]));
                let (c, d) = (_mm256_cvtps_epi32(c[i]), _mm256_cvtps_epi32(d[i]));
                let ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), zero_point);
                let cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), zero_point);
                _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(ab, cd), low), high)
            })
        }
    }
}

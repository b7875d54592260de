//! Transposition of 16 by 16 floats.

use super::LANES;

/// Writes column i of the rows at `from` as row i at `to`, their rows so many floats apart.
///
/// # Safety
/// All 16 rows of 16 floats must be valid for reads and writes, and must not overlap.
#[inline(always)]
pub(super) unsafe fn plain(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
    for row in 0..LANES {
        for column in 0..LANES {
            // SAFETY: by contract.
            unsafe { *to.add(column * to_stride + row) = *from.add(row * stride + column) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{avx2, avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    // Loops and no closures: those would be functions of their own, for a CPU without the instructions.

    /// As [`plain`](super::plain): pairs, fours of rows, then lanes of 128 bits, 64 shuffles in all.
    ///
    /// # Safety
    /// As there, and the CPU must have AVX-512 F.
    #[inline(always)]
    pub(in crate::simd) unsafe fn avx512(
        from: *const f32,
        stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: by contract.
        unsafe {
            // Lane l of `fours[q][j]`: column 4l + j of rows 4q to 4q + 3.
            let mut fours = [[_mm512_setzero_pd(); 4]; 4];
            for q in 0..4 {
                let from = from.add(4 * q * stride);
                let (a, b) = (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(stride)));
                let from = from.add(2 * stride);
                let (c, d) = (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(stride)));
                let ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                let cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
                fours[q][0] = _mm512_unpacklo_pd(ab, cd);
                fours[q][1] = _mm512_unpackhi_pd(ab, cd);
                let ab = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                let cd = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
                fours[q][2] = _mm512_unpacklo_pd(ab, cd);
                fours[q][3] = _mm512_unpackhi_pd(ab, cd);
            }
            for j in 0..4 {
                let [a, b, c, d] = [fours[0][j], fours[1][j], fours[2][j], fours[3][j]];
                let even = (_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0x88>(c, d));
                let odd = (_mm512_shuffle_f64x2::<0xdd>(a, b), _mm512_shuffle_f64x2::<0xdd>(c, d));
                let to = to.add(j * to_stride).cast();
                let next = 2 * to_stride; // of f64: four rows
                _mm512_storeu_pd(to, _mm512_shuffle_f64x2::<0x88>(even.0, even.1));
                _mm512_storeu_pd(to.add(next), _mm512_shuffle_f64x2::<0x88>(odd.0, odd.1));
                _mm512_storeu_pd(to.add(2 * next), _mm512_shuffle_f64x2::<0xdd>(even.0, even.1));
                _mm512_storeu_pd(to.add(3 * next), _mm512_shuffle_f64x2::<0xdd>(odd.0, odd.1));
            }
        }
    }

    /// As [`plain`](super::plain), in four parts of 8 by 8.
    ///
    /// # Safety
    /// As there, and the CPU must have AVX.
    #[inline(always)]
    pub(in crate::simd) unsafe fn avx2(
        from: *const f32,
        stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        for part in 0..4 {
            let (row, column) = (part / 2 * 8, part % 2 * 8);
            // SAFETY: by contract.
            unsafe {
                let (from, to) =
                    (from.add(row * stride + column), to.add(column * to_stride + row));
                // Lane l of `fours[q][j]`: column 4l + j of rows 4q to 4q + 3.
                let mut fours = [[_mm256_setzero_pd(); 4]; 2];
                for q in 0..2 {
                    let from = from.add(4 * q * stride);
                    let (a, b) = (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(stride)));
                    let from = from.add(2 * stride);
                    let (c, d) = (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(stride)));
                    let ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
                    let cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
                    fours[q][0] = _mm256_unpacklo_pd(ab, cd);
                    fours[q][1] = _mm256_unpackhi_pd(ab, cd);
                    let ab = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
                    let cd = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
                    fours[q][2] = _mm256_unpacklo_pd(ab, cd);
                    fours[q][3] = _mm256_unpackhi_pd(ab, cd);
                }
                for j in 0..4 {
                    let (a, b) = (fours[0][j], fours[1][j]);
                    let to = to.add(j * to_stride);
                    _mm256_storeu_pd(to.cast(), _mm256_permute2f128_pd::<0x20>(a, b));
                    let high = to.add(4 * to_stride).cast();
                    _mm256_storeu_pd(high, _mm256_permute2f128_pd::<0x31>(a, b));
                }
            }
        }
    }
}

/// As [`plain`], in parts of 4 by 4.
///
/// # Safety
/// As there, and the CPU must have Advanced SIMD.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) unsafe fn neon(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
    use std::arch::aarch64::*;
    for part in 0..16 {
        let (row, column) = (part / 4 * 4, part % 4 * 4);
        // SAFETY: by contract.
        unsafe {
            let (from, to) = (from.add(row * stride + column), to.add(column * to_stride + row));
            let (a, b) = (vld1q_f32(from), vld1q_f32(from.add(stride)));
            let from = from.add(2 * stride);
            let (c, d) = (vld1q_f32(from), vld1q_f32(from.add(stride)));
            let even =
                (vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn1q_f32(c, d)));
            let odd =
                (vreinterpretq_f64_f32(vtrn2q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(c, d)));
            for (i, (x, y)) in [even, odd].into_iter().enumerate() {
                let to = to.add(i * to_stride);
                vst1q_f32(to, vreinterpretq_f32_f64(vtrn1q_f64(x, y)));
                vst1q_f32(to.add(2 * to_stride), vreinterpretq_f32_f64(vtrn2q_f64(x, y)));
            }
        }
    }
}

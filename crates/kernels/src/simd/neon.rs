//! [`Simd`] on AArch64: four 128-bit registers.

use super::{LANES, Part, Simd, transpose};
use crate::exp::ROUND;
use crate::gemm::{Ahead, Run, neon};
use crate::{Isa, Level};
use std::arch::aarch64::*;
use std::array::from_fn;

/// Advanced SIMD exists on this CPU.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU must have Advanced SIMD.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Neon(())
    }
}

/// Lanes of a register.
const QUAD: usize = 4;

/// Calls intrinsics that touch no memory.
macro_rules! pure {
    ($($e:tt)*) => {{
        // SAFETY: the token proves that the instructions exist; registers only.
        unsafe { $($e)* }
    }};
}

type Vector = [float32x4_t; LANES / QUAD];

/// 2^n for n in -126..=127.
#[inline(always)]
fn power_of_two(n: int32x4_t) -> float32x4_t {
    pure!(vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))))
}

impl Simd for Neon {
    type V = Vector;
    type Mask = usize;
    // 6 x 4 registers of sums, and 8 for what they are made of.
    const TILE_ROWS: usize = neon::ROWS;
    const WIDE: bool = false;
    const HEIGHT: usize = neon::ROWS;
    const REGISTERS: usize = 7;

    #[inline(always)]
    fn isa(self) -> Isa {
        // SAFETY: this token proves that the CPU has the level.
        unsafe { Isa::assume(Level::Neon) }
    }
    #[inline(always)]
    fn apart(self, part: impl Part) {
        #[target_feature(enable = "neon")]
        #[inline(never)]
        fn call(s: Neon, part: impl Part) {
            part.run(s);
        }
        // SAFETY: this token proves that the CPU has it.
        unsafe { call(self, part) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Vector {
        pure!([vdupq_n_f32(x); 4])
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Vector {
        // SAFETY: valid for 16 reads by contract; floats are all the alignment that is needed.
        from_fn(|i| unsafe { vld1q_f32(p.add(i * QUAD)) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Vector) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: valid for 16 writes by contract.
            unsafe { vst1q_f32(p.add(i * QUAD), v) };
        }
    }
    #[inline(always)]
    fn first(self, n: usize) -> usize {
        n.min(LANES)
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, m: usize) -> Vector {
        if m == LANES {
            // SAFETY: all 16 lanes are valid by contract.
            return unsafe { self.load(p) };
        }
        // SAFETY: lane i is read only if it is among the first m.
        from_fn(|i| unsafe { load_quad(p.wrapping_add(i * QUAD), m.saturating_sub(i * QUAD)) })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Vector, m: usize) {
        if m == LANES {
            // SAFETY: all 16 lanes are valid by contract.
            return unsafe { self.store(p, v) };
        }
        for (i, v) in v.into_iter().enumerate() {
            let left = m.saturating_sub(i * QUAD);
            // SAFETY: lane i is written only if it is among the first m.
            unsafe { store_quad(p.wrapping_add(i * QUAD), v, left) };
        }
    }
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        from_fn(|i| pure!(vaddq_f32(a[i], b[i])))
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        from_fn(|i| pure!(vsubq_f32(a[i], b[i])))
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        from_fn(|i| pure!(vmulq_f32(a[i], b[i])))
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        from_fn(|i| pure!(vdivq_f32(a[i], b[i])))
    }
    #[inline(always)]
    fn negate(self, a: Vector) -> Vector {
        a.map(|a| pure!(vnegq_f32(a)))
    }
    #[inline(always)]
    fn fma(self, a: Vector, b: Vector, c: Vector) -> Vector {
        from_fn(|i| pure!(vfmaq_f32(c[i], a[i], b[i])))
    }
    // Not `fmax` and `fmin`: they return NaN for a NaN on either side, and order zeros by sign.
    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        from_fn(|i| pure!(vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i])))
    }
    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        from_fn(|i| pure!(vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i])))
    }
    #[inline(always)]
    fn if_between(self, x: Vector, lo: Vector, hi: Vector, v: Vector) -> Vector {
        from_fn(|i| {
            pure! {
                let inside = vandq_u32(vcltq_f32(lo[i], x[i]), vcltq_f32(x[i], hi[i]));
                vreinterpretq_f32_u32(vandq_u32(inside, vreinterpretq_u32_f32(v[i])))
            }
        })
    }
    #[inline(always)]
    fn powers_of_two(self, shifted: Vector) -> [Vector; 2] {
        let round = pure!(vdupq_n_s32(ROUND.to_bits() as i32));
        let n = shifted.map(|x| pure!(vsubq_s32(vreinterpretq_s32_f32(x), round)));
        let half = n.map(|n| pure!(vshrq_n_s32::<1>(n)));
        [half.map(power_of_two), from_fn(|i| power_of_two(pure!(vsubq_s32(n[i], half[i]))))]
    }
    #[inline(always)]
    fn interleave(self, a: Vector, b: Vector) -> [Vector; 2] {
        let quad = |i: usize| {
            let (a, b) = (a[i / 2], b[i / 2]);
            pure!(if i % 2 == 0 { vzip1q_f32(a, b) } else { vzip2q_f32(a, b) })
        };
        [from_fn(quad), from_fn(|i| quad(i + LANES / QUAD))]
    }
    #[inline(always)]
    fn halves(self, v: Vector) -> [Vector; 2] {
        let bits = v.map(|v| pure!(vreinterpretq_u32_f32(v)));
        let upper = pure!(vdupq_n_u32(0xffff_0000));
        [
            bits.map(|v| pure!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(v)))),
            bits.map(|v| pure!(vreinterpretq_f32_u32(vandq_u32(v, upper)))),
        ]
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: this token proves that the CPU has Advanced SIMD; the rest is the caller's promise.
        unsafe { transpose::neon(from, stride, to, to_stride) }
    }
    #[inline(always)]
    fn doubled(self, m: usize) -> [usize; 2] {
        [(2 * m).min(LANES), (2 * m).saturating_sub(LANES)]
    }
    #[inline(always)]
    unsafe fn accumulate<const R: usize, const NV: usize>(
        self,
        acc: &mut [[Vector; NV]; R],
        runs: &[Run],
        offset: usize,
        lda: usize,
        (b, ldb): (*const f32, usize),
        ahead: Ahead,
    ) {
        // SAFETY: this token proves that the CPU has Advanced SIMD; the rest is the caller's promise.
        unsafe { neon::accumulate(acc, runs.as_ptr(), offset, lda, (b, ldb), ahead) }
    }
}

/// The first `n` floats of four; the others are 0.
///
/// # Safety
/// These must be valid for reads.
#[inline(always)]
unsafe fn load_quad(p: *const f32, n: usize) -> float32x4_t {
    let zero = pure!(vdupq_n_f32(0.0));
    // SAFETY: only the first n are read.
    unsafe {
        match n {
            0 => zero,
            1 => vld1q_lane_f32::<0>(p, zero),
            2 => vcombine_f32(vld1_f32(p), vget_high_f32(zero)),
            3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vget_high_f32(zero))),
            _ => vld1q_f32(p),
        }
    }
}

/// Writes the first `n` of four floats.
///
/// # Safety
/// These must be valid for writes.
#[inline(always)]
unsafe fn store_quad(p: *mut f32, v: float32x4_t, n: usize) {
    // SAFETY: only the first n are written.
    unsafe {
        match n {
            0 => {}
            1 => vst1q_lane_f32::<0>(p, v),
            2 => vst1_f32(p, vget_low_f32(v)),
            3 => {
                vst1_f32(p, vget_low_f32(v));
                vst1q_lane_f32::<2>(p.add(2), v);
            }
            _ => vst1q_f32(p, v),
        }
    }
}

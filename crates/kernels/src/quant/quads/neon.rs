//! [`Quads`] on AArch64, with the multiply-adds that every such CPU has, of 16-bit numbers.
//!
//! These add single products, so a quarter in registers has its four rows apart: sixteen numbers of
//! each, in the order of the lanes.

use super::{BYTES, Part, Quads};
use crate::quant::requant::Range;
use crate::simd::{self, Simd};
use std::arch::aarch64::*;
use std::array::from_fn;

/// Advanced SIMD exists on this CPU.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU must have Advanced SIMD.
    #[inline(always)]
    pub(super) unsafe fn new() -> Neon {
        Neon(())
    }
}

/// Calls intrinsics that touch no memory.
macro_rules! pure {
    ($($e:tt)*) => {{
        // SAFETY: the token proves that the instructions exist; registers only.
        unsafe { $($e)* }
    }};
}

/// Sixteen bytes as 16-bit numbers.
type Wide = [int16x8_t; 2];

/// Lane `4 b + i` of vector `j` is word `j` of block `b`, and the other way round.
#[inline(always)]
fn transpose_words(v: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
    pure! {
        let [a, b, c, d] = v.map(|v| vreinterpretq_u32_u8(v));
        let [ab, cd] = [vtrn1q_u32(a, b), vtrn1q_u32(c, d)].map(|v| vreinterpretq_u64_u32(v));
        let [ef, gh] = [vtrn2q_u32(a, b), vtrn2q_u32(c, d)].map(|v| vreinterpretq_u64_u32(v));
        [vtrn1q_u64(ab, cd), vtrn1q_u64(ef, gh), vtrn2q_u64(ab, cd), vtrn2q_u64(ef, gh)]
            .map(|v| vreinterpretq_u8_u64(v))
    }
}

impl Quads for Neon {
    type S = simd::Neon;
    type Bytes = [uint8x16_t; 4];
    type Quarter = [Wide; 4];
    type Weights = [Wide; 4];
    type Ints = [int32x4_t; 4];
    const MANY: bool = false;

    #[inline(always)]
    fn simd(self) -> simd::Neon {
        // SAFETY: the token proves this.
        unsafe { simd::Neon::new() }
    }
    #[inline(always)]
    fn apart(self, part: impl Part) {
        #[target_feature(enable = "neon")]
        #[inline(never)]
        fn call(q: Neon, part: impl Part) {
            part.run(q);
        }
        // SAFETY: this token proves that the CPU has it.
        unsafe { call(self, part) }
    }
    #[inline(always)]
    unsafe fn load<const PIXELS: usize>(
        self,
        at: [*const u8; PIXELS],
        n: usize,
    ) -> [uint8x16_t; 4] {
        let width = BYTES / PIXELS;
        // SAFETY: the pointers are valid by contract.
        unsafe {
            if n == width {
                // Pixel and byte in it where block b begins.
                return from_fn(|b| vld1q_u8(at[b * 16 / width].wrapping_add(b * 16 % width)));
            }
            let bytes = super::gather(at, n);
            from_fn(|b| vld1q_u8(bytes[16 * b..].as_ptr()))
        }
    }
    #[inline(always)]
    unsafe fn store<const PIXELS: usize>(
        self,
        p: *mut u8,
        stride: usize,
        bytes: [uint8x16_t; 4],
        n: usize,
        pixels: usize,
    ) {
        let mut lanes = [0u8; BYTES];
        // SAFETY: the bytes are valid by contract.
        unsafe {
            if PIXELS == 1 && n == BYTES {
                (0..4).for_each(|b| vst1q_u8(p.wrapping_add(16 * b), bytes[b]));
                return;
            }
            (0..4).for_each(|b| vst1q_u8(lanes[16 * b..].as_mut_ptr(), bytes[b]));
            super::scatter::<PIXELS>(p, stride, &lanes, n, pixels);
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, rows: [[uint8x16_t; 4]; 4], to: [*mut u8; 4]) {
        let rows = rows.map(transpose_words);
        for (j, to) in to.into_iter().enumerate() {
            let quarter = uint8x16x4_t(rows[0][j], rows[1][j], rows[2][j], rows[3][j]);
            // SAFETY: the pointers are valid by contract.
            unsafe { vst4q_u8(to, quarter) };
        }
    }
    #[inline(always)]
    unsafe fn quarter(self, p: *const u8) -> [Wide; 4] {
        // SAFETY: valid for 64 reads by contract.
        let uint8x16x4_t(a, b, c, d) = unsafe { vld4q_u8(p) };
        [a, b, c, d].map(|row| {
            pure!(
                [vmovl_u8(vget_low_u8(row)), vmovl_high_u8(row)].map(|v| vreinterpretq_s16_u16(v))
            )
        })
    }
    #[inline(always)]
    unsafe fn weights<const PIXELS: usize>(self, p: *const i8) -> [Wide; 4] {
        let width = BYTES / PIXELS;
        // SAFETY: valid for as many reads by contract.
        let blocks: [int8x16_t; 4] = from_fn(|b| unsafe { vld1q_s8(p.add(16 * b % width)) });
        pure! {
            let [a, b, c, d] = blocks;
            // Bytes 0 and 2 of all lanes, then 1 and 3.
            let (even, odd) = ([vuzp1q_s8(a, b), vuzp1q_s8(c, d)], [vuzp2q_s8(a, b), vuzp2q_s8(c, d)]);
            [
                vuzp1q_s8(even[0], even[1]),
                vuzp1q_s8(odd[0], odd[1]),
                vuzp2q_s8(even[0], even[1]),
                vuzp2q_s8(odd[0], odd[1]),
            ]
            .map(|row| [vmovl_s8(vget_low_s8(row)), vmovl_high_s8(row)])
        }
    }
    #[inline(always)]
    fn dot(self, mut sums: [int32x4_t; 4], x: [Wide; 4], w: [Wide; 4]) -> [int32x4_t; 4] {
        for (x, w) in x.into_iter().zip(w) {
            pure! {
                for half in 0..2 {
                    let (low, high) = (2 * half, 2 * half + 1);
                    let (x, w) = (x[half], w[half]);
                    sums[low] = vmlal_s16(sums[low], vget_low_s16(x), vget_low_s16(w));
                    sums[high] = vmlal_high_s16(sums[high], x, w);
                }
            }
        }
        sums
    }
    #[inline(always)]
    fn ints(self, from: &[i32; 16]) -> [int32x4_t; 4] {
        // SAFETY: there are 16 numbers to read.
        from_fn(|i| unsafe { vld1q_s32(from[4 * i..].as_ptr()) })
    }
    #[inline(always)]
    fn to_floats(self, sums: [int32x4_t; 4]) -> [float32x4_t; 4] {
        sums.map(|sums| pure!(vcvtq_f32_s32(sums)))
    }
    #[inline(always)]
    fn widen(self, bytes: [uint8x16_t; 4]) -> [[float32x4_t; 4]; 4] {
        transpose_words(bytes).map(|quarter| {
            pure! {
                let (low, high) = (vmovl_u8(vget_low_u8(quarter)), vmovl_high_u8(quarter));
                [
                    vmovl_u16(vget_low_u16(low)),
                    vmovl_high_u16(low),
                    vmovl_u16(vget_low_u16(high)),
                    vmovl_high_u16(high),
                ]
                .map(|v| vcvtq_f32_u32(v))
            }
        })
    }
    #[inline(always)]
    fn round(self, values: [[float32x4_t; 4]; 4], range: Range) -> [uint8x16_t; 4] {
        let s = self.simd();
        let (low, high) = (s.splat(range.low), s.splat(range.high));
        transpose_words(values.map(|v| {
            // Of max the second operand is the result where the first is NaN.
            let v = s.min(s.max(v, low), high);
            pure! {
                let zero_point = vdupq_n_s32(range.zero_point);
                let [a, b, c, d] = v.map(|v| vaddq_s32(vcvtnq_s32_f32(v), zero_point));
                let ab = vmovn_high_s32(vmovn_s32(a), b);
                let cd = vmovn_high_s32(vmovn_s32(c), d);
                vreinterpretq_u8_s8(vmovn_high_s16(vmovn_s16(ab), cd))
            }
        }))
    }
}

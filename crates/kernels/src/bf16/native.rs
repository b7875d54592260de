//! `vdpbf16ps`: two products per lane added in float32, the odd one first.

use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::Range;

use super::conv::Row;
use super::dot::{Dot, strip};
use super::machine::{Machine, Run, Strip};
use super::weights::{LINE, STEP};
use crate::simd::{Avx512, LANES, Simd};

/// AVX-512 with AVX512_BF16 exists on this CPU.
#[derive(Clone, Copy)]
pub(super) struct Native(Avx512);

impl Native {
    /// # Safety
    /// The CPU must have AVX-512 F, BW, DQ, VL and AVX512_BF16.
    #[inline(always)]
    pub unsafe fn new() -> Native {
        // SAFETY: by contract.
        Native(unsafe { Avx512::new() })
    }

    /// The vectors that do the rest.
    #[inline(always)]
    pub fn simd(self) -> Avx512 {
        self.0
    }
}

/// [`Row::on`] compiled for this machine.
///
/// # Safety
/// As [`Row::on`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn row(
    row: &Row,
    pixels: Range<usize>,
    panels: Range<usize>,
    scratch: &mut [f32],
) {
    // SAFETY: this function runs only where the instructions exist; the rest by contract.
    unsafe { row.on(Native::new(), pixels, panels, scratch) }
}

impl Machine for Native {
    #[inline(always)]
    unsafe fn round(self, run: &Run, to: *mut u32) {
        let (s, whole, left) = (self.0, run.channels / STEP, run.channels % STEP);
        let pitch = run.channels.div_ceil(STEP) * LINE;
        let masks = [s.first(left), s.first(left.saturating_sub(LANES))];
        for pixel in 0..run.pixels {
            let x = run.x.wrapping_add(pixel * run.stride);
            let to = to.wrapping_add(pixel * pitch);
            // SAFETY: whole runs of 32 floats are inside the pixel, and the masks end with it.
            unsafe {
                for i in 0..whole {
                    let (low, high) = (s.load(x.add(i * STEP)), s.load(x.add(i * STEP + LANES)));
                    _mm512_store_si512(to.add(i * LINE).cast(), words(low, high));
                }
                if left > 0 {
                    let x = x.wrapping_add(whole * STEP);
                    let low = s.load_first(x, masks[0]);
                    let high = s.load_first(x.wrapping_add(LANES), masks[1]);
                    _mm512_store_si512(to.add(whole * LINE).cast(), words(low, high));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn strip(self, job: &Strip) {
        // SAFETY: by contract.
        unsafe { strip(self, job) }
    }
}

/// 32 floats, rounded.
#[inline(always)]
fn words(low: __m512, high: __m512) -> __m512i {
    // SAFETY: this is inlined into functions that run only where AVX512_BF16 exists; registers
    // only, and both types are 512 plain bits.
    unsafe { transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

impl Dot for Native {
    type S = Avx512;
    type P = __m512bh;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    unsafe fn load(self, p: *const u32) -> __m512bh {
        // SAFETY: valid for 16 words by contract; both types are 512 plain bits.
        unsafe { transmute(_mm512_loadu_si512(p.cast())) }
    }

    #[inline(always)]
    fn splat(self, pair: u32) -> __m512bh {
        // SAFETY: the token proves that the instructions exist; registers only.
        unsafe { transmute(_mm512_set1_epi32(pair as i32)) }
    }

    #[inline(always)]
    fn dot(self, a: __m512bh, b: __m512bh, sum: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_dpbf16_ps(sum, a, b) }
    }
}

//! Sixteen float lanes, whatever the machine has: one 512-bit register, two 256-bit registers, four
//! 128-bit registers, or an array that the compiler maps to what it finds.
//!
//! A kernel is written once, generic over [`Simd`], and [`simd_fn!`] compiles it per instruction
//! set and picks the version at run time. A value of a [`Simd`] type is the proof that the
//! instructions exist, which is why its operations are safe to call. Every operation here is
//! correctly rounded or exact, so all implementations give the same bits.

use crate::Isa;
use crate::gemm::{Ahead, Run};

/// `[value at 0, value at 1]` of vectors that are pairs of registers.
///
/// A closure is a function without the instructions of the one that it is in: where the compiler does
/// not make it part of that one, each intrinsic in it becomes a call.
#[cfg(target_arch = "x86_64")]
macro_rules! both {
    (|$half:ident| $value:expr) => {
        [
            {
                let $half = 0usize;
                $value
            },
            {
                let $half = 1usize;
                $value
            },
        ]
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use both;

#[cfg(target_arch = "aarch64")]
mod neon;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Lanes of every vector type here.
pub(crate) const LANES: usize = 16;

/// Part of a kernel that is a function of its own, see [`Simd::apart`].
pub(crate) trait Part {
    fn run<S: Simd>(self, s: S);
}

/// Operations on vectors of [`LANES`] floats.
pub(crate) trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// Selects the first lanes of a vector.
    type Mask: Copy;
    /// Rows of a register tile that is two vectors wide (one on machines with 16 registers).
    const TILE_ROWS: usize;
    /// True where a tile of `TILE_ROWS` rows may be two vectors wide.
    const WIDE: bool;
    /// Most rows of a register tile of [`Simd::accumulate`].
    const HEIGHT: usize;
    /// Vectors that fit into the registers, with one register to spare; 0 if there are no vector
    /// registers to plan with.
    const REGISTERS: usize;

    /// The instruction set, for a call of a function that is not part of the kernel's own body.
    fn isa(self) -> Isa;
    /// Runs `part` without making it part of the caller, whose many cases would otherwise get in each
    /// other's way: what is constant in one of them is computed ahead for all.
    fn apart(self, part: impl Part);
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Reads 16 floats.
    ///
    /// # Safety
    /// `p` must be valid for 16 reads.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes 16 floats.
    ///
    /// # Safety
    /// `p` must be valid for 16 writes.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// The first `n` lanes (all from 16 on).
    fn first(self, n: usize) -> Self::Mask;
    /// Reads the lanes of `m`; the others are 0.
    ///
    /// # Safety
    /// `p` must be valid for as many reads as `m` has lanes.
    unsafe fn load_first(self, p: *const f32, m: Self::Mask) -> Self::V;
    /// Writes the lanes of `m`.
    ///
    /// # Safety
    /// `p` must be valid for as many writes as `m` has lanes.
    unsafe fn store_first(self, p: *mut f32, v: Self::V, m: Self::Mask);
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `-a`
    fn negate(self, a: Self::V) -> Self::V;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if lo < x && x < hi { v } else { 0 }`
    fn if_between(self, x: Self::V, lo: Self::V, hi: Self::V, v: Self::V) -> Self::V;

    /// [`powers_of_two`](crate::exp::powers_of_two) of every lane.
    fn powers_of_two(self, shifted: Self::V) -> [Self::V; 2];
    /// `a[0], b[0], a[1], b[1], ...`
    fn interleave(self, a: Self::V, b: Self::V) -> [Self::V; 2];
    /// The low and the high 16 bits of every lane, each as the upper half of a float.
    fn halves(self, v: Self::V) -> [Self::V; 2];
    /// Selects the first 2n lanes of two vectors, where `m` selects the first n of one.
    fn doubled(self, m: Self::Mask) -> [Self::Mask; 2];

    /// Writes column i of 16 rows of 16 floats, `stride` apart, as row i at `to`.
    ///
    /// # Safety
    /// `from` must be valid for reads of these rows, `to` for writes of as many `to_stride` apart,
    /// and they must not overlap.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: by contract.
        unsafe { transpose::plain(from, stride, to, to_stride) }
    }

    /// Adds products to the sums of a register tile, in the order of the runs: row r reads each run
    /// `r * lda + offset` floats further on, and every element meets the next row of `b`, whose rows
    /// are `ldb` floats apart.
    ///
    /// # Safety
    /// All runs of all rows must be valid for reads, and so must `b` for `NV` vectors of as many rows
    /// as the runs have elements and skip; the last run is [`Run::END`], and only that is empty.
    #[inline(always)]
    unsafe fn accumulate<const R: usize, const NV: usize>(
        self,
        acc: &mut [[Self::V; NV]; R],
        runs: &[Run],
        offset: usize,
        lda: usize,
        (mut b, ldb): (*const f32, usize),
        mut ahead: Ahead,
    ) {
        for run in runs {
            b = b.wrapping_add(run.skip * ldb);
            let a = run.at.wrapping_add(offset);
            for p in 0..run.len {
                // SAFETY: by contract.
                unsafe {
                    let mut x = [self.splat(0.0); NV];
                    for v in 0..NV {
                        x[v] = self.load(b.add(v * LANES));
                    }
                    for r in 0..R {
                        let y = self.splat(*a.add(r * lda + p));
                        for v in 0..NV {
                            acc[r][v] = self.fma(y, x[v], acc[r][v]);
                        }
                    }
                }
                prefetch_at(ahead.at, 2 * LANES);
                ahead.at = ahead.at.wrapping_byte_add(ahead.step);
                b = b.wrapping_add(ldb);
            }
        }
    }

    /// `v` limited to `lo..=hi`; NaN stays NaN.
    #[inline(always)]
    fn clamp(self, v: Self::V, lo: Self::V, hi: Self::V) -> Self::V {
        self.min(hi, self.max(lo, v))
    }
}

/// The portable twin. Without FMA, as on the first x86-64, each `mul_add` is a call of the C library,
/// which is slow and gives the same bits.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

#[inline(always)]
fn map(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for (i, x) in out.iter_mut().enumerate() {
        *x = f(i);
    }
    out
}

impl Simd for Scalar {
    type V = [f32; LANES];
    type Mask = usize;
    const TILE_ROWS: usize = 6;
    const WIDE: bool = false;
    const HEIGHT: usize = 6;
    const REGISTERS: usize = 0;

    #[inline(always)]
    fn isa(self) -> Isa {
        Isa::SCALAR
    }
    #[inline(never)]
    fn apart(self, part: impl Part) {
        part.run(self);
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: valid for 16 reads by contract; the read needs no alignment.
        unsafe { p.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        // SAFETY: valid for 16 writes by contract; the write needs no alignment.
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn first(self, n: usize) -> usize {
        n.min(LANES)
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, m: usize) -> Self::V {
        // SAFETY: lane i is read only if it is among the first m.
        map(|i| if i < m { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, m: usize) {
        for (i, x) in v.into_iter().enumerate().take(m) {
            // SAFETY: lane i is among the first m.
            unsafe { *p.add(i) = x };
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        map(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        map(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        map(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        map(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn negate(self, a: Self::V) -> Self::V {
        map(|i| -a[i])
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        map(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        map(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        map(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn if_between(self, x: Self::V, lo: Self::V, hi: Self::V, v: Self::V) -> Self::V {
        map(|i| if lo[i] < x[i] && x[i] < hi[i] { v[i] } else { 0.0 })
    }
    #[inline(always)]
    fn powers_of_two(self, shifted: Self::V) -> [Self::V; 2] {
        [0, 1].map(|part| map(|i| crate::exp::powers_of_two(shifted[i])[part]))
    }
    #[inline(always)]
    fn interleave(self, a: Self::V, b: Self::V) -> [Self::V; 2] {
        let pick = |i: usize| if i.is_multiple_of(2) { a[i / 2] } else { b[i / 2] };
        [map(pick), map(|i| pick(i + LANES))]
    }
    #[inline(always)]
    fn halves(self, v: Self::V) -> [Self::V; 2] {
        let bits = |i: usize| v[i].to_bits();
        [map(|i| f32::from_bits(bits(i) << 16)), map(|i| f32::from_bits(bits(i) & 0xffff_0000))]
    }
    #[inline(always)]
    fn doubled(self, m: usize) -> [usize; 2] {
        [(2 * m).min(LANES), (2 * m).saturating_sub(LANES)]
    }
}

/// `x`, in a way that the optimiser cannot look through.
///
/// A loop over a dozen rows at one common offset needs a register for each row and one for the
/// offset. Left to itself, the optimiser keeps a running address for every row and unrolled step,
/// more than there are registers.
#[inline(always)]
pub(crate) fn opaque(x: usize) -> usize {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut x = x;
        // SAFETY: no instruction at all.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags))
        };
        x
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    x
}

/// Asks for `data` to be brought into the cache, to be read or written soon.
///
/// Tiles walk over their operands in steps of a row, a pattern that hardware prefetchers do not
/// follow; without this, large tensors stream at a fraction of the memory's bandwidth.
#[inline(always)]
pub(crate) fn prefetch(data: &[f32]) {
    prefetch_at(data.as_ptr(), data.len());
}

/// [`prefetch`] of `len` floats at `p`, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch_at(p: *const f32, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for i in (0..len).step_by(LANES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE belongs to x86-64, and prefetching has no effect but on speed: an address
        // that is not mapped is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(i).cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    for i in (0..len).step_by(LANES) {
        let line = p.wrapping_add(i);
        // SAFETY: prefetching has no effect but on speed: an address that is not mapped is ignored.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{line}]", line = in(reg) line,
                options(nomem, nostack, preserves_flags));
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = (p, len);
}

/// Part `i` of `parts` of a slice: what one of several steps prefetches.
#[inline(always)]
pub(crate) fn share(data: &[f32], i: usize, parts: usize) -> &[f32] {
    &data[data.len() * i / parts..data.len() * (i + 1) / parts]
}

/// Defines a function whose body is compiled for every instruction set.
///
/// `fn name(s: Simd, args...) { body }` becomes `fn name(isa: Isa, args...)`. The body may use the
/// operations of `s`, or plain loops over slices, which the compiler vectorises for the
/// instruction set at hand.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident(
        $s:ident: Simd $(, $arg:ident: $ty:ty)* $(,)?
    ) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::Isa $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            fn body<S: $crate::simd::Simd>($s: S $(, $arg: $ty)*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function runs only where AVX2 and FMA exist.
                body(unsafe { $crate::simd::Avx2::new() } $(, $arg)*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function runs only where AVX-512 F, BW, DQ and VL exist.
                body(unsafe { $crate::simd::Avx512::new() } $(, $arg)*)
            }

            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            fn neon($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function runs only where Advanced SIMD exists.
                body(unsafe { $crate::simd::Neon::new() } $(, $arg)*)
            }

            match isa.level() {
                // SAFETY: an Isa of this level proves that the CPU has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                $crate::Level::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: an Isa of these levels proves that the CPU has AVX-512 F, BW, DQ, VL.
                #[cfg(target_arch = "x86_64")]
                $crate::Level::Avx512 | $crate::Level::Avx512Vnni => unsafe { avx512($($arg),*) },
                // SAFETY: an Isa of this level proves that the CPU has Advanced SIMD.
                #[cfg(target_arch = "aarch64")]
                $crate::Level::Neon => unsafe { neon($($arg),*) },
                _ => body($crate::simd::Scalar $(, $arg)*),
            }
        }
    };
}
pub(crate) use simd_fn;

#[cfg(test)]
mod tests;

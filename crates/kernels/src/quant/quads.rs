//! Vectors of 64 bytes in sixteen lanes of four, for kernels whose vectors run over channels.
//!
//! A vector of bytes has four blocks of 16 neighbouring channels: of one pixel, of two or of four.
//! Four of them, from four rows, are transposed into four vectors, the quarters: lane `4 b + i` of
//! quarter `j` holds the bytes of channel `4 j + i` of block `b`, one of each row. That takes two
//! unpacking shuffles a quarter, because these work within blocks of 128 bits; and so do the packing
//! ones, which bring sixteen sums of each quarter back into the order of the bytes.

use super::requant::Range;
use crate::Isa;
use crate::simd::Simd;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes of a vector.
pub(super) const BYTES: usize = 64;

/// Part of a kernel that is a function of its own, compiled for the instructions of a [`Quads`].
pub(super) trait Part {
    fn run<Q: Quads>(self, q: Q);
}

/// The instructions. A value is the proof that they exist.
pub(super) trait Quads: Copy {
    /// The instructions of floats.
    type S: Simd;
    /// 64 bytes.
    type Bytes: Copy;
    /// A quarter: four unsigned bytes a lane.
    type Quarter: Copy;
    /// Four signed weights a lane.
    type Weights: Copy;
    /// Sixteen i32.
    type Ints: Copy;
    /// Whether registers hold the sums of sixteen quarters, and kernels may be large.
    const MANY: bool;

    /// Floats.
    fn simd(self) -> Self::S;
    /// Runs `part` without making it part of the caller.
    fn apart(self, part: impl Part);
    /// `n` bytes of each of `PIXELS` pixels; others are anything.
    ///
    /// # Safety
    /// Each pointer must be valid for `n` reads, at most `64 / PIXELS`.
    unsafe fn load<const PIXELS: usize>(self, at: [*const u8; PIXELS], n: usize) -> Self::Bytes;
    /// Writes the first `n` bytes of the first `pixels` pixels, `stride` bytes apart.
    ///
    /// # Safety
    /// They must be valid for writes.
    unsafe fn store<const PIXELS: usize>(
        self,
        p: *mut u8,
        stride: usize,
        bytes: Self::Bytes,
        n: usize,
        pixels: usize,
    );
    /// The quarters of four rows, each to be written to 64 bytes.
    ///
    /// # Safety
    /// The pointers must be valid for 64 writes each.
    unsafe fn transpose(self, rows: [Self::Bytes; 4], to: [*mut u8; 4]);
    /// A quarter that [`Quads::transpose`] wrote, or parts of two.
    ///
    /// # Safety
    /// `p` must be valid for 64 reads.
    unsafe fn quarter(self, p: *const u8) -> Self::Quarter;
    /// The weights of `64 / PIXELS` channels, the same for all pixels.
    ///
    /// # Safety
    /// `p` must be valid for `64 / PIXELS` reads.
    unsafe fn weights<const PIXELS: usize>(self, p: *const i8) -> Self::Weights;
    /// `sums + x . w` in each lane, modulo 2^32.
    fn dot(self, sums: Self::Ints, x: Self::Quarter, w: Self::Weights) -> Self::Ints;
    /// Sixteen numbers.
    fn ints(self, from: &[i32; 16]) -> Self::Ints;
    /// Exact below 2^24.
    fn to_floats(self, sums: Self::Ints) -> <Self::S as Simd>::V;
    /// The bytes of four quarters, as numbers.
    fn widen(self, bytes: Self::Bytes) -> [<Self::S as Simd>::V; 4];
    /// [`Range::round`] of four quarters.
    fn round(self, values: [<Self::S as Simd>::V; 4], range: Range) -> Self::Bytes;
    /// The same of numbers that fit into an i32.
    #[inline(always)]
    fn round_bounded(self, values: [<Self::S as Simd>::V; 4], range: Range) -> Self::Bytes {
        self.round(values, range)
    }
}

/// Runs `part` on the instructions of `isa`; false if it has none for it.
pub(super) fn run(isa: Isa, part: impl Part) -> bool {
    match isa.level() {
        // SAFETY: an Isa of this level proves that the CPU has these instructions.
        #[cfg(target_arch = "x86_64")]
        crate::Level::Avx512Vnni => unsafe { x86::Vnni::new() }.apart(part),
        // SAFETY: an Isa of these levels proves that the CPU has AVX2.
        #[cfg(target_arch = "x86_64")]
        crate::Level::Avx2 | crate::Level::Avx512 => unsafe { x86::Avx2::new() }.apart(part),
        // SAFETY: an Isa of this level proves that the CPU has Advanced SIMD.
        #[cfg(target_arch = "aarch64")]
        crate::Level::Neon => unsafe { neon::Neon::new() }.apart(part),
        _ => return false,
    }
    true
}

/// [`Quads::load`] into memory, where less than all bytes of a pixel are wanted.
///
/// # Safety
/// As for that.
#[inline(never)]
unsafe fn gather<const PIXELS: usize>(at: [*const u8; PIXELS], n: usize) -> [u8; BYTES] {
    let mut bytes = [0u8; BYTES];
    for (to, from) in bytes.chunks_exact_mut(BYTES / PIXELS).zip(at) {
        // SAFETY: by contract.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), n.min(to.len())) };
    }
    bytes
}

/// [`Quads::store`] from memory.
///
/// # Safety
/// As for that.
#[inline(never)]
unsafe fn scatter<const PIXELS: usize>(
    p: *mut u8,
    stride: usize,
    bytes: &[u8; BYTES],
    n: usize,
    pixels: usize,
) {
    for (i, pixel) in bytes.chunks_exact(BYTES / PIXELS).enumerate().take(pixels) {
        // SAFETY: by contract.
        unsafe { std::ptr::copy_nonoverlapping(pixel.as_ptr(), p.add(i * stride), n) };
    }
}

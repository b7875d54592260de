//! Multiply-adds of bytes as fast as the machine can, for [`crate::roofline`].

use std::hint::black_box;

use super::dot::{self, Dot};
use super::pack::GROUP_BYTES;
use crate::Isa;

/// `rounds` products of groups on each of several accumulators; returns the multiply-adds.
pub(crate) fn multiply_add(isa: Isa, rounds: u64) -> u64 {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an Isa of this level proves that the CPU has these instructions.
        crate::Level::Avx512Vnni => unsafe { vnni(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an Isa of these levels proves that the CPU has AVX2.
        crate::Level::Avx2 | crate::Level::Avx512 => unsafe { avx2(rounds) },
        _ => chains::<_, 4>(dot::Scalar, rounds),
    }
}

/// # Safety
/// The CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn vnni(rounds: u64) -> u64 {
    // SAFETY: this function runs only where these instructions exist.
    chains::<_, 12>(unsafe { dot::Vnni::new() }, rounds)
}

/// # Safety
/// The CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(rounds: u64) -> u64 {
    // SAFETY: this function runs only where AVX2 exists.
    chains::<_, 4>(unsafe { dot::Avx2::new() }, rounds)
}

#[inline(always)]
fn chains<D: Dot, const N: usize>(d: D, rounds: u64) -> u64 {
    let a = d.activations(black_box(0x0101_0101));
    let bytes = black_box([1i8; GROUP_BYTES]);
    // SAFETY: there are 64 bytes to read.
    let b = unsafe { d.weights(bytes.as_ptr()) };
    let mut sums = [d.zero(); N];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = d.dot(*sum, a, b);
        }
    }
    black_box(sums);
    rounds * (N * GROUP_BYTES) as u64
}

//! Sixteen dot products of four u8 with four s8, added to sixteen i32: exactly, on any machine.

use super::pack::{COLUMNS, GROUP, GROUP_BYTES, HALVED_BYTES, whole};

#[cfg(target_arch = "x86_64")]
mod x86;

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
    /// A group of packed weights of which two share a byte.
    ///
    /// # Safety
    /// `p` must be valid for 32 reads.
    unsafe fn halved(self, p: *const i8) -> Self::B;
    /// `acc + a . b` in each lane, modulo 2^32.
    fn dot(self, acc: Self::Acc, a: Self::A, b: Self::B) -> Self::Acc;
    /// The lanes.
    fn sums(self, acc: Self::Acc) -> [i32; COLUMNS];
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
    unsafe fn halved(self, p: *const i8) -> Self::B {
        // SAFETY: valid for 32 reads by contract; bytes need no alignment.
        whole(unsafe { &*p.cast::<[i8; HALVED_BYTES]>() })
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

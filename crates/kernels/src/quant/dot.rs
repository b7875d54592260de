//! Sixteen dot products of four u8 with four s8, added to sixteen i32: exactly, on any machine.

use super::pack::{COLUMNS, GROUP, GROUP_BYTES};
use super::requant::{Range, Requant};

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
    /// Four activations for each lane.
    type X: Copy;
    /// Four weights for each lane.
    type B: Copy;
    /// Requantisation of sixteen channels.
    type Params: Copy;

    /// Sixteen zeros.
    fn zero(self) -> Self::Acc;
    /// The four bytes of `word`, in memory order, for all lanes.
    fn activations(self, word: u32) -> Self::A;
    /// A group of packed weights.
    ///
    /// # Safety
    /// `p` must be valid for 64 reads.
    unsafe fn weights(self, p: *const i8) -> Self::B;
    /// Bytes `i` of the four rows at `taps`, for lane `i`.
    ///
    /// # Safety
    /// Each pointer must be valid for 16 reads.
    unsafe fn columns(self, taps: [*const u8; GROUP]) -> Self::X;
    /// As [`Dot::columns`] for a single row: three of the four bytes are 0.
    ///
    /// # Safety
    /// The pointer must be valid for 16 reads.
    unsafe fn column(self, tap: *const u8) -> Self::X;
    /// `acc + x . b` in each lane, modulo 2^32.
    fn dot_columns(self, acc: Self::Acc, x: Self::X, b: Self::B) -> Self::Acc;
    /// `acc + a . b` in each lane, modulo 2^32.
    fn dot(self, acc: Self::Acc, a: Self::A, b: Self::B) -> Self::Acc;
    /// The lanes.
    fn sums(self, acc: Self::Acc) -> [i32; COLUMNS];

    /// The parameters of channels `channel..channel + 16`.
    fn params(self, requant: &Requant, channel: usize) -> Self::Params;
    /// The bytes that the sums become.
    fn requantise(self, acc: Self::Acc, params: Self::Params) -> [u8; COLUMNS];
}

/// The parameters of 16 channels; the vectors are padded for the last ones.
#[inline(always)]
fn lanes<T>(values: &[T], first: usize) -> &[T; COLUMNS] {
    values[first..].first_chunk().expect("parameters are padded by 16")
}

/// The portable twin.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

impl Dot for Scalar {
    type Acc = [i32; COLUMNS];
    type A = [i32; GROUP];
    type X = [u8; GROUP_BYTES];
    type B = [i8; GROUP_BYTES];
    type Params = Lanes;

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

    #[inline(always)]
    unsafe fn columns(self, taps: [*const u8; GROUP]) -> Self::X {
        // SAFETY: each tap is valid for 16 reads by contract.
        std::array::from_fn(|i| unsafe { *taps[i % GROUP].add(i / GROUP) })
    }
    #[inline(always)]
    unsafe fn column(self, tap: *const u8) -> Self::X {
        let value = |i: usize| {
            // SAFETY: the tap is valid for 16 reads by contract.
            if i.is_multiple_of(GROUP) { unsafe { *tap.add(i / GROUP) } } else { 0 }
        };
        std::array::from_fn(value)
    }
    #[inline(always)]
    fn dot_columns(self, mut acc: Self::Acc, x: Self::X, b: Self::B) -> Self::Acc {
        for (lane, acc) in acc.iter_mut().enumerate() {
            let product =
                |j: usize| i32::from(x[lane * GROUP + j]) * i32::from(b[lane * GROUP + j]);
            *acc = acc.wrapping_add(product(0) + product(1) + product(2) + product(3));
        }
        acc
    }
    #[inline(always)]
    fn params(self, requant: &Requant, channel: usize) -> Lanes {
        Lanes::of(requant, channel)
    }
    #[inline(always)]
    fn requantise(self, acc: Self::Acc, params: Lanes) -> [u8; COLUMNS] {
        params.apply(acc)
    }
}

/// Requantisation of sixteen channels, lane by lane.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    bias: [i32; COLUMNS],
    multiplier: [f32; COLUMNS],
    range: Range,
}

impl Lanes {
    #[inline(always)]
    fn of(requant: &Requant, channel: usize) -> Lanes {
        Lanes {
            bias: *lanes(&requant.bias, channel),
            multiplier: *lanes(&requant.multiplier, channel),
            range: requant.range,
        }
    }

    #[inline(always)]
    fn apply(self, sums: [i32; COLUMNS]) -> [u8; COLUMNS] {
        let mut bytes = [0; COLUMNS];
        for i in 0..COLUMNS {
            let sum = sums[i].wrapping_add(self.bias[i]);
            bytes[i] = self.range.round(sum as f32 * self.multiplier[i]);
        }
        bytes
    }
}

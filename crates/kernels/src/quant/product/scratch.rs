//! Where weights that share bytes are made whole, for many rows to read.

use std::mem::MaybeUninit;

use super::{Machine, Tile};
use crate::quant::pack::{GROUP_BYTES, HALVED_BYTES, PackedWeights};

/// Bytes, on the stack: two panels of 3072 rows.
const LEN: usize = 96 * 1024;

/// The weights of a tile.
#[repr(C, align(64))]
pub(super) struct Scratch(MaybeUninit<[[i8; GROUP_BYTES]; LEN / GROUP_BYTES]>);

impl Scratch {
    /// Whether there is room for a panel.
    pub fn fits(weights: &PackedWeights) -> bool {
        weights.groups() * GROUP_BYTES <= LEN
    }

    /// Whether a tile may have two panels: there is room for both, or none is needed.
    pub fn fits_twice(weights: &PackedWeights) -> bool {
        !weights.halved() || 2 * weights.groups() * GROUP_BYTES <= LEN || !Scratch::fits(weights)
    }

    /// Makes the weights of a tile whole and lets it read them here. Inlined into a function for the
    /// instructions of a machine.
    ///
    /// # Safety
    /// `tile` must be one of those of `weights`, which share bytes, and two of its panels must fit if
    /// it has two.
    #[inline(always)]
    pub unsafe fn fill<M: Machine>(&mut self, m: M, tile: &mut Tile, weights: &PackedWeights) {
        let groups = weights.groups();
        let to = self.0.as_mut_ptr().cast::<[i8; GROUP_BYTES]>();
        for panel in 0..tile.panels {
            let from = tile.weights.wrapping_add(panel * tile.next).cast::<[i8; HALVED_BYTES]>();
            for group in 0..groups {
                // SAFETY: a group of the panel, and there is room for it, by contract.
                unsafe { *to.add(panel * groups + group) = m.whole(&*from.add(group)) };
            }
        }
        (tile.weights, tile.next, tile.halved) = (to.cast(), groups * GROUP_BYTES, false);
    }
}

/// Calls `f` with a scratch, apart from callers that need none.
#[inline(never)]
pub(super) fn with(f: impl FnOnce(&mut Scratch)) {
    f(&mut Scratch(MaybeUninit::uninit()));
}

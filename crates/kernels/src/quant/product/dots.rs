//! Tiles of any machine that has a [`Dot`].

use super::{MAX_ROWS, Machine, Sums, Tile};
use crate::quant::dot::Dot;
use crate::quant::pack::{GROUP, GROUP_BYTES, HALVED_BYTES};
use crate::simd::Simd;

/// Rows of a tile.
const ROWS: usize = 4;

const _: () = assert!(ROWS <= MAX_ROWS);

/// The dot products and the floats of a machine.
#[derive(Clone, Copy)]
pub(super) struct Dots<D, S>(pub D, pub S);

impl<D: Dot, S: Simd> Machine for Dots<D, S> {
    const ROWS: usize = ROWS;
    type Job = ();

    #[inline(always)]
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums) {
        for panel in 0..tile.panels {
            // SAFETY: by contract.
            unsafe {
                match (tile.rows.len(), tile.halved) {
                    (1, false) => rows::<D, 1, false>(self.0, tile, panel, sums),
                    (2, false) => rows::<D, 2, false>(self.0, tile, panel, sums),
                    (3, false) => rows::<D, 3, false>(self.0, tile, panel, sums),
                    (_, false) => rows::<D, 4, false>(self.0, tile, panel, sums),
                    (1, true) => rows::<D, 1, true>(self.0, tile, panel, sums),
                    (2, true) => rows::<D, 2, true>(self.0, tile, panel, sums),
                    (3, true) => rows::<D, 3, true>(self.0, tile, panel, sums),
                    (_, true) => rows::<D, 4, true>(self.0, tile, panel, sums),
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn job(self, _: &Tile) {}

    #[inline(always)]
    unsafe fn finish(self, tile: &Tile, (): &(), sums: &Sums) {
        // SAFETY: by contract.
        unsafe { tile.finish(self.1, sums) };
    }
}

/// The sums of `R` rows and one panel, whose weights share bytes if `HALVED`.
///
/// # Safety
/// As [`Machine::sums`].
#[inline(always)]
unsafe fn rows<D: Dot, const R: usize, const HALVED: bool>(
    d: D,
    tile: &Tile,
    panel: usize,
    sums: &mut Sums,
) {
    let size = if HALVED { HALVED_BYTES } else { GROUP_BYTES };
    let mut acc = [d.zero(); R];
    let (lda, offset) = (tile.left.lda, tile.at);
    let mut b = tile.weights.wrapping_add(panel * tile.next);
    for run in tile.left.runs {
        b = b.wrapping_add(run.skip * size);
        for group in 0..run.groups {
            let a = run.at.wrapping_add(offset + group * GROUP);
            // SAFETY: the group lies within each row and the panel.
            unsafe {
                let w = if HALVED { d.halved(b) } else { d.weights(b) };
                for r in 0..R {
                    let word = a.add(r * lda).cast::<u32>().read_unaligned();
                    acc[r] = d.dot(acc[r], d.activations(word), w);
                }
            }
            b = b.wrapping_add(size);
        }
    }
    let start = &tile.start.0[panel];
    for r in 0..R {
        let mut total = d.sums(acc[r]);
        for (total, start) in total.iter_mut().zip(start) {
            *total = total.wrapping_add(*start);
        }
        sums.set(r, panel, tile.panels, total);
    }
}

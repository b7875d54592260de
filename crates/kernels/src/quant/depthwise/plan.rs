//! Where transposed columns lie.

use super::rows::Lines;
use super::weights::{GROUP, QUARTERS};
use crate::quant::quads::BYTES;
use std::mem::MaybeUninit;

/// Widest kernel; a wider one is computed tap by tap.
const MAX_KW: usize = 16;
/// Most groups of input rows.
pub(super) const MAX_GROUPS: usize = 4;
/// Bytes of the columns of a quarter, for one group of rows, two, and so on; all together less than
/// half of a first-level cache. Multiples of 4 KiB must not lie between any two of the quarters, or
/// reads wait for writes of the other one.
const QUARTER_LEN: [usize; MAX_GROUPS] = [5 * 1024, 5 * 512, 5 * 256, 5 * 256];
const MEMORY: usize = 20 * 1024;
/// Most vectors of outputs that are computed at a time.
pub(super) const MOST: usize = 4;
/// Vectors of columns by which the transposition runs ahead.
const AHEAD: usize = 8;

/// The transposed columns of a tile: `[group][quarter][plane][column]`, the bytes of a block each.
#[repr(C, align(64))]
pub(super) struct Memory(pub MaybeUninit<[u8; MEMORY]>);

/// What the blocks of one width have in common.
pub(super) struct Plan {
    pub groups: usize,
    /// The input rows at channel 0, null in the padding; those beyond the last meet weights of 0.
    pub rows: [*const u8; MAX_GROUPS * GROUP],
    /// Places within the horizontal stride; the columns at each of them are a plane.
    pub phases: [usize; MAX_KW],
    pub plane_count: usize,
    /// Columns that the memory has for each plane.
    pub columns: usize,
    /// Columns that are transposed before the first output of a tile.
    pub lead: usize,
    /// How many columns the last tap lies to the right of the first.
    pub reach: usize,
    /// Where the taps of output 0 of a tile lie in the memory, those of all groups one by one.
    pub taps: [usize; MAX_KW * MAX_GROUPS],
    pub tap_count: usize,
    /// Outputs of a tile.
    pub tile: usize,
}

impl Plan {
    /// `None` if the window does not fit.
    pub(super) fn new(lines: &Lines, width: usize) -> Option<Plan> {
        let shape = lines.shape;
        let row_count = shape.kh + lines.count - 1;
        let groups = lines.weights.groups();
        if groups > MAX_GROUPS || shape.kw > MAX_KW {
            return None;
        }
        let mut plan = Plan {
            groups,
            rows: [std::ptr::null(); MAX_GROUPS * GROUP],
            phases: [0; MAX_KW],
            plane_count: 0,
            columns: 0,
            lead: 0,
            reach: 0,
            taps: [0; MAX_KW * MAX_GROUPS],
            tap_count: shape.kw * groups,
            tile: 0,
        };
        for (i, row) in plan.rows[..groups * GROUP].iter_mut().enumerate() {
            *row = lines.rows.at(i.min(row_count - 1));
        }
        let mut places = [(0, 0); MAX_KW];
        for (kx, place) in places[..shape.kw].iter_mut().enumerate() {
            let (phase, column) = (kx * shape.dw % shape.sw, kx * shape.dw / shape.sw);
            let known = plan.phases[..plan.plane_count].iter().position(|&known| known == phase);
            let plane = known.unwrap_or(plan.plane_count);
            plan.plane_count = plan.plane_count.max(plane + 1);
            plan.phases[plane] = phase;
            plan.reach = plan.reach.max(column);
            *place = (plane, column);
        }
        let pixels = BYTES / width;
        // A vector of several columns that begins between two of those that were written waits
        // until these have left the processor for the cache.
        let ahead = if pixels > 1 { AHEAD * pixels } else { 0 };
        plan.lead = plan.reach.next_multiple_of(pixels) + ahead;
        plan.columns = plan.quarter_len() / (plan.plane_count * width) / pixels * pixels;
        plan.tile = plan.columns.saturating_sub(plan.lead) / (MOST * pixels) * (MOST * pixels);
        let group_len = QUARTERS * plan.quarter_len();
        for (taps, (plane, column)) in plan.taps.chunks_exact_mut(groups).zip(places) {
            for (group, tap) in taps.iter_mut().enumerate() {
                *tap = group * group_len + (plane * plan.columns + column) * width;
            }
        }
        (plan.tile > 0).then_some(plan)
    }

    /// Bytes of memory from one quarter to the next.
    #[inline(always)]
    pub(super) fn quarter_len(&self) -> usize {
        QUARTER_LEN[self.groups - 1]
    }
}

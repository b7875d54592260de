//! 16 channels of one or two output rows: the sums slide over the columns of the input.
//!
//! Each input vector is loaded once and added to every sum that it belongs to. For 3x3 with stride
//! 1 and two output rows a column takes 4 loads and 18 multiply-adds; the 9 weights and the 6 sums
//! of the 3 output columns that are open stay in registers. Sums take their products column by
//! column, and in a column from top to bottom, so an output has the same bits whether its row is
//! computed alone or with the next one.
//!
//! The columns are counted with the padding on their left: column `u` is column `u - pl` of the
//! input, and output column `ox` is open from `u = ox * stride` to `u = ox * stride + kernel - 1`.
//! Sum `ox % slots` belongs to output `ox`, so the code repeats after `stride * slots` columns, a
//! period; unrolled over a period, sums never move from register to register.

use super::rows::Lines;
use crate::simd::{LANES, Simd};

/// All channels of `R` output rows with a `K` x `K` kernel, whose `N` input rows are
/// `K + (R - 1) * STRIDE` and whose `SLOTS` are `K / STRIDE`, rounded up.
///
/// # Safety
/// The contract of [`Lines`] holds, and it has `R` output rows of such a kernel.
#[inline(always)]
pub(super) unsafe fn rows<
    S: Simd,
    const K: usize,
    const STRIDE: usize,
    const R: usize,
    const N: usize,
    const SLOTS: usize,
>(
    s: S,
    lines: &Lines,
) {
    const { assert!(N == K + (R - 1) * STRIDE && SLOTS == K.div_ceil(STRIDE)) };
    let x: [*const f32; N] = std::array::from_fn(|r| lines.rows.at(r));
    for channel in lines.channels.clone().step_by(LANES) {
        // SAFETY: by contract.
        unsafe {
            if lines.channels.end - channel >= LANES {
                block::<S, K, STRIDE, R, N, SLOTS, true>(s, lines, &x, channel);
            } else {
                block::<S, K, STRIDE, R, N, SLOTS, false>(s, lines, &x, channel);
            }
        }
    }
}

/// The channels from `channel` on: 16 if `FULL`.
///
/// # Safety
/// As for [`rows`].
#[inline(always)]
unsafe fn block<
    S: Simd,
    const K: usize,
    const STRIDE: usize,
    const R: usize,
    const N: usize,
    const SLOTS: usize,
    const FULL: bool,
>(
    s: S,
    lines: &Lines,
    rows: &[*const f32; N],
    channel: usize,
) {
    let shape = lines.shape;
    let mask = if FULL { s.first(LANES) } else { s.first(lines.channels.end - channel) };
    let load = |p: *const f32| {
        // SAFETY: the callers pass places with the lanes of the mask.
        unsafe { if FULL { s.load(p) } else { s.load_first(p, mask) } }
    };
    let mut w = [[s.splat(0.0); K]; K];
    for ky in 0..K {
        for kx in 0..K {
            w[ky][kx] = load(lines.weights.at(ky * K + kx, channel));
        }
    }
    let mut start = [s.splat(0.0); R];
    for o in 0..R {
        // SAFETY: the mask ends with the channels.
        start[o] = unsafe { lines.epilogues[o].start(s, channel, mask) };
    }
    let mut sums = [start; SLOTS];
    let mut x = *rows;
    let mut all = true;
    for r in 0..N {
        all &= !rows[r].is_null();
        x[r] = rows[r].wrapping_add(channel);
    }
    let (left, right) = (shape.pl, shape.pl + shape.w);
    let end = (shape.ow - 1) * STRIDE + K;
    // Periods in here meet neither padding nor outputs that do not exist.
    let inside = if all && FULL { left.max(K - 1)..right.min(end) } else { 0..0 };
    let period = STRIDE * SLOTS;
    // The first column of the period, and the output that opens there.
    let (mut first, mut opens) = (0, 0);
    while first < end {
        // Column `$j` of the period. `$EDGE` says that it may meet padding or a row that does, or
        // close an output that does not exist.
        macro_rules! column {
            ($EDGE:literal, $($j:literal)*) => {$(
                if $j < STRIDE * SLOTS {
                    let u = first + $j;
                    if !$EDGE || (left <= u && u < right) {
                        let at = u.wrapping_sub(left).wrapping_mul(lines.x_stride);
                        for r in 0..N {
                            if $EDGE && rows[r].is_null() {
                                continue;
                            }
                            let v = load(x[r].wrapping_add(at));
                            add::<S, K, STRIDE, R, SLOTS>(s, $j, r, v, &w, &mut sums);
                        }
                    }
                    let closes = $j + STRIDE * SLOTS + 1 - K;
                    if closes.is_multiple_of(STRIDE) {
                        let slot = closes / STRIDE % SLOTS;
                        // Huge where the sum belongs to an output before the first.
                        let ox = (opens + closes / STRIDE).wrapping_sub(SLOTS);
                        if !$EDGE || ox < shape.ow {
                            for o in 0..R {
                                let out = lines.outs[o].wrapping_add(ox * lines.out_stride);
                                let sum = sums[slot][o];
                                // SAFETY: pixel `ox` exists, and the mask ends with the channels.
                                unsafe {
                                    lines.epilogues[o].finish(s, sum, ox, channel, out, mask);
                                }
                            }
                        }
                        sums[slot] = start;
                    }
                }
            )*};
        }
        if inside.start <= first && first + period <= inside.end {
            column!(false, 0 1 2 3 4 5);
        } else {
            column!(true, 0 1 2 3 4 5);
        }
        (first, opens) = (first + period, opens + SLOTS);
    }
}

/// Adds the products of `x`, from row `r` and column `j` of a period, to the sums.
#[inline(always)]
fn add<S: Simd, const K: usize, const STRIDE: usize, const R: usize, const SLOTS: usize>(
    s: S,
    j: usize,
    r: usize,
    x: S::V,
    w: &[[S::V; K]; K],
    sums: &mut [[S::V; R]; SLOTS],
) {
    for o in 0..R {
        let ky = r.wrapping_sub(o * STRIDE);
        if ky < K {
            for kx in 0..K {
                let open = j + STRIDE * SLOTS - kx;
                if open.is_multiple_of(STRIDE) {
                    let slot = open / STRIDE % SLOTS;
                    sums[slot][o] = s.fma(x, w[ky][kx], sums[slot][o]);
                }
            }
        }
    }
}

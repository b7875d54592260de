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
//! The code repeats after `stride * slots` columns, a period; unrolled over a period, sums never
//! move from register to register.

use super::rows::Lines;
use crate::simd::{LANES, Simd, opaque, simd_fn};
use crate::{Activation, Epilogue};

/// `$body` for `$j` from 0 up to `$count`, at most 6, each with `$j` as a constant.
macro_rules! unroll {
    ($j:ident, $count:expr, $body:block) => {
        unroll!(@ $j, $count, $body, 0 1 2 3 4 5)
    };
    (@ $j:ident, $count:expr, $body:block, $($n:literal)*) => {$(
        if $n < $count {
            let $j: usize = $n;
            $body
        }
    )*};
}

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
    const { assert!(N == K + (R - 1) * STRIDE && SLOTS == K.div_ceil(STRIDE) && K % 2 == 1) };
    let rows: [*const f32; N] = std::array::from_fn(|r| lines.rows.at(r));
    let then = Then::of(&lines.epilogues[..R]);
    for channel in lines.channels.clone().step_by(LANES) {
        let block = Block { lines, rows: &rows, then, channel };
        // SAFETY: by contract.
        unsafe {
            if lines.channels.end - channel >= LANES {
                block.slide::<S, K, STRIDE, R, SLOTS, true>(s);
            } else {
                block.slide::<S, K, STRIDE, R, SLOTS, false>(s);
            }
        }
    }
}

/// What happens to finished sums. Usually little, and the code of a period is one piece without
/// further questions in it.
#[derive(Clone, Copy)]
enum Then {
    /// Nothing.
    Store,
    /// Limits.
    Clamp(f32, f32),
    /// Hard-swish.
    HardSwish,
    /// All that an epilogue can ask for.
    Finish,
}

impl Then {
    /// What the epilogues of all rows ask for.
    fn of(epilogues: &[Epilogue]) -> Then {
        let activation = epilogues[0].activation;
        let plain = |e: &Epilogue| {
            let matrices = e.accumulate || e.residual.is_some() || e.interleave.is_some();
            !matrices && e.activation == activation
        };
        match activation {
            _ if !epilogues.iter().all(plain) => Then::Finish,
            Activation::None => Then::Store,
            Activation::Clamp(lo, hi) => Then::Clamp(lo, hi),
            Activation::HardSwish => Then::HardSwish,
            _ => Then::Finish,
        }
    }

    /// The activation, of all but `Finish`.
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, sum: S::V) -> S::V {
        match self {
            Then::Clamp(lo, hi) => Activation::Clamp(lo, hi).apply(s, sum),
            Then::HardSwish => Activation::HardSwish.apply(s, sum),
            _ => sum,
        }
    }
}

simd_fn! {
    /// [`Epilogue::finish`] for the rare cases, of which one copy is enough.
    ///
    /// # Safety
    /// As for that, with the first `lanes` lanes.
    #[inline(never)]
    fn finish(
        s: Simd,
        epilogue: &Epilogue<'_>,
        sum: &[f32; LANES],
        row: usize,
        column: usize,
        out: *mut f32,
        lanes: usize,
    ) {
        // SAFETY: a vector has 16 floats; the rest by contract.
        unsafe { epilogue.finish(s, s.load(sum.as_ptr()), row, column, out, s.first(lanes)) };
    }
}

/// 16 channels of the output rows, or the last ones.
struct Block<'a, const N: usize> {
    lines: &'a Lines<'a>,
    /// The input rows at channel 0, null in the padding.
    rows: &'a [*const f32; N],
    then: Then,
    channel: usize,
}

/// Where a block has got to. Numbers that lie in the padding on the left wrap below zero.
#[derive(Clone, Copy)]
struct Position {
    /// The next column.
    u: usize,
    /// Its place in the rows of the input.
    at: usize,
    /// The output that closes next.
    ox: usize,
    /// Its place in the rows of the output.
    to: usize,
}

impl<const N: usize> Block<'_, N> {
    /// # Safety
    /// As for [`rows`]; with all 16 channels if `FULL`.
    #[inline(always)]
    unsafe fn slide<
        S: Simd,
        const K: usize,
        const STRIDE: usize,
        const R: usize,
        const SLOTS: usize,
        const FULL: bool,
    >(
        &self,
        s: S,
    ) {
        let Block { lines, channel, .. } = *self;
        let shape = lines.shape;
        let w = Weights::<S, K>::new(s, lines.weights.block(channel), SLOTS * R + N + 2 * R);
        let mut start = [s.splat(0.0); R];
        for o in 0..R {
            let mask = s.first(lines.channels.end - channel);
            // SAFETY: the mask ends with the channels.
            start[o] = unsafe { lines.epilogues[o].start(s, channel, mask) };
        }
        let mut sums = [start; SLOTS];
        let (left, right) = (shape.pl, shape.pl + shape.w);
        let end = (shape.ow - 1) * STRIDE + K;
        // Periods in here meet neither padding nor outputs that do not exist.
        let all = FULL && self.rows.iter().all(|row| !row.is_null());
        let inside = if all { left.max(K - 1)..right.min(end) } else { 0..0 };
        // Before the first column of the input, if the first output has not closed by then.
        let u = left.min(K - 1) / STRIDE * STRIDE;
        let ox = (u / STRIDE + 1).wrapping_sub(SLOTS);
        let at = u.wrapping_sub(left).wrapping_mul(lines.x_stride);
        let mut p = Position { u, at, ox, to: ox.wrapping_mul(lines.out_stride) };
        while p.u < end {
            // SAFETY: by contract; such a period is inside.
            unsafe {
                let inside = inside.start <= p.u && p.u + STRIDE * SLOTS <= inside.end;
                p = match self.then {
                    Then::Store if inside => self.inner::<S, K, STRIDE, R, SLOTS>(
                        s,
                        Then::Store,
                        &w,
                        start,
                        &mut sums,
                        p,
                    ),
                    Then::Clamp(lo, hi) if inside => {
                        let then = Then::Clamp(lo, hi);
                        self.inner::<S, K, STRIDE, R, SLOTS>(s, then, &w, start, &mut sums, p)
                    }
                    Then::HardSwish if inside => {
                        let then = Then::HardSwish;
                        self.inner::<S, K, STRIDE, R, SLOTS>(s, then, &w, start, &mut sums, p)
                    }
                    _ => self.outer::<S, K, STRIDE, R, SLOTS, FULL>(s, &w, start, &mut sums, p),
                };
            }
        }
    }

    /// A period without padding.
    ///
    /// # Safety
    /// All its columns and outputs exist, with 16 channels.
    #[inline(always)]
    unsafe fn inner<
        S: Simd,
        const K: usize,
        const STRIDE: usize,
        const R: usize,
        const SLOTS: usize,
    >(
        &self,
        s: S,
        then: Then,
        w: &Weights<S, K>,
        start: [S::V; R],
        sums: &mut [[S::V; R]; SLOTS],
        mut p: Position,
    ) -> Position {
        let Block { lines, channel, .. } = *self;
        let x: [*const f32; N] = std::array::from_fn(|r| self.rows[r].wrapping_add(channel));
        let outs: [*mut f32; R] = std::array::from_fn(|o| lines.outs[o].wrapping_add(channel));
        unroll!(j, STRIDE * SLOTS, {
            let mut v = [s.splat(0.0); N];
            for r in 0..N {
                // SAFETY: by contract.
                v[r] = unsafe { s.load(x[r].wrapping_add(p.at)) };
            }
            for ky in 0..K {
                for kx in 0..K {
                    let Some(slot) = slot::<STRIDE, SLOTS>(j, kx) else { continue };
                    let w = w.at(s, ky, kx);
                    for o in 0..R {
                        sums[slot][o] = s.fma(v[ky + o * STRIDE], w, sums[slot][o]);
                    }
                }
            }
            p.at = opaque(p.at.wrapping_add(lines.x_stride));
            if j.is_multiple_of(STRIDE) {
                let closed = &mut sums[(1 + j / STRIDE) % SLOTS];
                for o in 0..R {
                    // SAFETY: by contract.
                    unsafe { s.store(outs[o].wrapping_add(p.to), then.apply(s, closed[o])) };
                }
                *closed = start;
                (p.to, p.ox) = (opaque(p.to.wrapping_add(lines.out_stride)), p.ox + 1);
            }
        });
        Position { u: p.u + STRIDE * SLOTS, ..p }
    }

    /// A period that may meet padding, or outputs that do not exist.
    ///
    /// # Safety
    /// As for [`Block::slide`].
    #[inline(always)]
    unsafe fn outer<
        S: Simd,
        const K: usize,
        const STRIDE: usize,
        const R: usize,
        const SLOTS: usize,
        const FULL: bool,
    >(
        &self,
        s: S,
        w: &Weights<S, K>,
        start: [S::V; R],
        sums: &mut [[S::V; R]; SLOTS],
        mut p: Position,
    ) -> Position {
        let Block { lines, rows, then, channel } = *self;
        let shape = lines.shape;
        let lanes = if FULL { LANES } else { lines.channels.end - channel };
        let mask = s.first(lanes);
        unroll!(j, STRIDE * SLOTS, {
            if (shape.pl..shape.pl + shape.w).contains(&(p.u + j)) {
                for r in 0..N {
                    if rows[r].is_null() {
                        continue;
                    }
                    let x = rows[r].wrapping_add(channel).wrapping_add(p.at);
                    // SAFETY: the column exists. A masked load costs twice as much as a plain one.
                    let v = unsafe { if FULL { s.load(x) } else { s.load_first(x, mask) } };
                    for o in 0..R {
                        let ky = r.wrapping_sub(o * STRIDE);
                        for kx in 0..if ky < K { K } else { 0 } {
                            let Some(slot) = slot::<STRIDE, SLOTS>(j, kx) else { continue };
                            sums[slot][o] = s.fma(v, w.at(s, ky, kx), sums[slot][o]);
                        }
                    }
                }
            }
            p.at = opaque(p.at.wrapping_add(lines.x_stride));
            if j.is_multiple_of(STRIDE) {
                let closed = &mut sums[(1 + j / STRIDE) % SLOTS];
                for o in 0..if p.ox < shape.ow { R } else { 0 } {
                    let (out, sum) = (lines.outs[o].wrapping_add(p.to), closed[o]);
                    // SAFETY: the pixel exists, and the lanes end with its channels.
                    unsafe {
                        if let Then::Finish = then {
                            let mut sum_lanes = [0.0; LANES];
                            s.store(sum_lanes.as_mut_ptr(), sum);
                            let epilogue = &lines.epilogues[o];
                            finish(s.isa(), epilogue, &sum_lanes, p.ox, channel, out, lanes);
                        } else {
                            s.store_first(out.wrapping_add(channel), then.apply(s, sum), mask);
                        }
                    }
                }
                *closed = start;
                (p.to, p.ox) = (opaque(p.to.wrapping_add(lines.out_stride)), p.ox.wrapping_add(1));
            }
        });
        Position { u: p.u + STRIDE * SLOTS, ..p }
    }
}

/// The open sum to which column `j` of a period adds its product with kernel column `kx`.
#[inline(always)]
const fn slot<const STRIDE: usize, const SLOTS: usize>(j: usize, kx: usize) -> Option<usize> {
    let opened = j + STRIDE * SLOTS - kx;
    if opened.is_multiple_of(STRIDE) { Some(opened / STRIDE % SLOTS) } else { None }
}

/// The weights of a block: as many as fit in registers, the others in memory.
struct Weights<S: Simd, const K: usize> {
    held: [[S::V; K]; K],
    /// Taps that are held.
    count: usize,
    taps: *const f32,
}

impl<S: Simd, const K: usize> Weights<S, K> {
    /// Weights `[K * K][16]` beside `others` vectors.
    #[inline(always)]
    fn new(s: S, taps: &[f32], others: usize) -> Self {
        assert!(taps.len() >= K * K * LANES);
        let count = S::REGISTERS.saturating_sub(others);
        // An address that the optimiser knows nothing of: it would keep weights in registers that
        // it has to save for it.
        let taps = opaque(taps.as_ptr() as usize) as *const f32;
        let mut weights = Weights { held: [[s.splat(0.0); K]; K], count, taps };
        for ky in 0..K {
            for kx in 0..K {
                if ky * K + kx < count {
                    weights.held[ky][kx] = weights.load(s, ky, kx);
                }
            }
        }
        weights
    }

    #[inline(always)]
    fn load(&self, s: S, ky: usize, kx: usize) -> S::V {
        // SAFETY: `new` has checked that there are `K * K` taps.
        unsafe { s.load(self.taps.wrapping_add((ky * K + kx) * LANES)) }
    }

    #[inline(always)]
    fn at(&self, s: S, ky: usize, kx: usize) -> S::V {
        if ky * K + kx < self.count { self.held[ky][kx] } else { self.load(s, ky, kx) }
    }
}

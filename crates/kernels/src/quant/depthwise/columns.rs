//! A block of channels of one or two output rows, by dot products over transposed columns.
//!
//! Each column of the input is transposed once, shortly before the first output that needs it: four
//! rows of 64 bytes become four quarters (see [`quads`](crate::quant::quads)), which wait in the
//! first-level cache for the `kw` outputs that they belong to. A tap of a group of four rows is then
//! one product a quarter. Its result comes five cycles later and two can start in each, so at least
//! ten sums must be open: four quarters of two vectors of outputs in each of two rows, or of four
//! vectors in one row; a weight serves all vectors, and a quarter both rows.
//!
//! A vector of the 3x3 kernel, 64 outputs of one row, takes
//!
//! ```text
//!                      loads  shuffles  products  multiply-adds
//! stride 1, two rows     14       4        12          576
//! stride 2               23      16        12          576
//! ```
//!
//! and then 4 times convert, multiply, limit and convert, and 3 shuffles that pack. The 5x5 kernel
//! has two groups of rows: 40 products.
//!
//! Where less than 64 channels are left, a vector holds two or four neighbouring outputs of 32 or
//! 16. Columns are kept apart by their place within the stride, so that such neighbours read
//! neighbours.

use super::finish::Rest;
use super::rows::Lines;
use super::weights::{Block, CHANNELS, GROUP, QUARTERS};
use crate::Activation;
use crate::quant::quads::{BYTES, Part, Quads};
use crate::quant::requant::Range;
use crate::simd::{LANES, Simd};
use std::mem::MaybeUninit;

/// Widest kernel; a wider one is computed tap by tap.
const MAX_KW: usize = 16;
/// Most groups of input rows.
const MAX_GROUPS: usize = 4;
/// Bytes of the columns of a quarter, for one group of rows, two, and so on; all together less than
/// half of a first-level cache. Multiples of 4 KiB must not lie between any two of the quarters, or
/// reads wait for writes of the other one.
const QUARTER_LEN: [usize; MAX_GROUPS] = [5 * 1024, 5 * 512, 5 * 256, 5 * 256];
const MEMORY: usize = 20 * 1024;
/// Most vectors of outputs that are computed at a time.
const MOST: usize = 4;
/// Vectors of columns by which the transposition runs ahead.
const AHEAD: usize = 8;

/// The transposed columns of a tile: `[group][quarter][plane][column]`, the bytes of a block each.
#[repr(C, align(64))]
struct Memory(MaybeUninit<[u8; MEMORY]>);

/// What the blocks of one width have in common.
pub(super) struct Plan {
    groups: usize,
    /// The input rows at channel 0, null in the padding; those beyond the last meet weights of 0.
    rows: [*const u8; MAX_GROUPS * GROUP],
    /// Places within the horizontal stride; the columns at each of them are a plane.
    phases: [usize; MAX_KW],
    plane_count: usize,
    /// Columns that the memory has for each plane.
    columns: usize,
    /// Columns that are transposed before the first output of a tile.
    lead: usize,
    /// How many columns the last tap lies to the right of the first.
    reach: usize,
    /// Where the taps of output 0 of a tile lie in the memory, those of all groups one by one.
    taps: [usize; MAX_KW * MAX_GROUPS],
    tap_count: usize,
    /// Outputs of a tile.
    tile: usize,
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
    fn quarter_len(&self) -> usize {
        QUARTER_LEN[self.groups - 1]
    }
}

/// The computation of a block of channels.
pub(super) struct Kernel<'a> {
    pub lines: &'a Lines<'a>,
    /// Of the width of the block.
    pub plan: &'a Plan,
    pub block: Block,
}

impl Kernel<'_> {
    /// Channels that exist.
    #[inline(always)]
    pub fn channels(&self) -> usize {
        self.block.width.min(self.lines.shape.cin - self.block.first)
    }

    /// Runs the kernel with vectors of `PIXELS` outputs.
    #[inline(always)]
    fn run_vectors<Q: Quads, const PIXELS: usize, const FULL: bool>(&self, q: Q) {
        let plain = self.lines.finishes.iter().all(|finish| {
            finish.residual.is_none() && finish.requant.activation == Activation::None
        });
        // Three taps are worth code of their own.
        match (self.plan.tap_count, self.lines.count, plain) {
            (3, 1, true) => q.apart(Tiles::<3, 1, PIXELS, FULL, true>(self)),
            (3, _, true) => q.apart(Tiles::<3, 2, PIXELS, FULL, true>(self)),
            (_, 1, true) => q.apart(Tiles::<0, 1, PIXELS, FULL, true>(self)),
            (_, _, true) => q.apart(Tiles::<0, 2, PIXELS, FULL, true>(self)),
            (_, 1, false) => q.apart(Tiles::<0, 1, PIXELS, FULL, false>(self)),
            (_, _, false) => q.apart(Tiles::<0, 2, PIXELS, FULL, false>(self)),
        }
    }
}

impl Part for Kernel<'_> {
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        match (self.block.width, self.channels()) {
            (16, _) => self.run_vectors::<Q, 4, false>(q),
            (32, _) => self.run_vectors::<Q, 2, false>(q),
            (_, BYTES) => self.run_vectors::<Q, 1, true>(q),
            _ => self.run_vectors::<Q, 1, false>(q),
        }
    }
}

/// All outputs of a block: `T` taps, any number if it is 0; `R` output rows; vectors of `PIXELS`
/// outputs, with all of their channels if `FULL`; neither residual nor activation if `PLAIN`.
struct Tiles<
    'a,
    const T: usize,
    const R: usize,
    const PIXELS: usize,
    const FULL: bool,
    const PLAIN: bool,
>(&'a Kernel<'a>);

impl<const T: usize, const R: usize, const PIXELS: usize, const FULL: bool, const PLAIN: bool> Part
    for Tiles<'_, T, R, PIXELS, FULL, PLAIN>
{
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        let kernel = self.0;
        let padding = [kernel.lines.weights.zero_point(); BYTES];
        let mut memory = Memory(MaybeUninit::uninit());
        let memory = memory.0.as_mut_ptr().cast::<u8>();
        let input = Input::<PIXELS, FULL>::new(kernel, &padding);
        let output = Output::<T, R, PIXELS, FULL, PLAIN>::new(kernel);
        let ow = kernel.lines.shape.ow;
        let Plan { tile, lead, reach, .. } = *kernel.plan;
        let mut first = 0;
        while first < ow {
            let count = tile.min(ow - first);
            // Columns that are needed at all.
            let end = count.next_multiple_of(PIXELS) + reach;
            // SAFETY: the tile fits in the memory, and these outputs exist, the last vector maybe
            // in part.
            unsafe {
                let mut next = 0;
                while next < lead.min(end) {
                    input.transpose(q, first, next, memory);
                    next += PIXELS;
                }
                let mut t = 0;
                while t < count {
                    let vectors = match (count - t).div_ceil(PIXELS) {
                        n if n >= MOST && R == 1 => MOST,
                        n => n.min(2),
                    };
                    for _ in 0..vectors {
                        if next < end {
                            input.transpose(q, first, next, memory);
                            next += PIXELS;
                        }
                    }
                    match vectors {
                        1 => output.compute::<Q, 1>(q, memory, first, t),
                        2 => output.compute::<Q, 2>(q, memory, first, t),
                        _ if R == 1 => output.compute::<Q, MOST>(q, memory, first, t),
                        _ => unreachable!("two rows take two vectors at most"),
                    }
                    t += vectors * PIXELS;
                }
            }
            first += count;
        }
    }
}

/// Where the transposed columns come from.
#[derive(Clone, Copy)]
struct Input<'a, const PIXELS: usize, const FULL: bool> {
    plan: &'a Plan,
    /// The rows at the first channel of the block, and the bytes between their pixels: 0 in the
    /// padding.
    rows: [(*const u8, usize); MAX_GROUPS * GROUP],
    padding: *const u8,
    width: usize,
    /// Column of the image under tap 0 of output 0, and columns from output to output.
    left: usize,
    stride: usize,
    channels: usize,
    quarter_len: usize,
}

impl<'a, const PIXELS: usize, const FULL: bool> Input<'a, PIXELS, FULL> {
    #[inline(always)]
    fn new(kernel: &Kernel<'a>, padding: &'a [u8; BYTES]) -> Self {
        let (lines, padding) = (kernel.lines, padding.as_ptr());
        let mut rows = [(padding, 0); MAX_GROUPS * GROUP];
        for (to, &row) in rows.iter_mut().zip(&kernel.plan.rows[..kernel.plan.groups * GROUP]) {
            if !row.is_null() {
                *to = (row.wrapping_add(kernel.block.first), lines.x_stride);
            }
        }
        Input {
            plan: kernel.plan,
            rows,
            padding,
            width: lines.shape.w,
            left: 0usize.wrapping_sub(lines.shape.pl),
            stride: lines.shape.sw,
            channels: kernel.channels(),
            quarter_len: kernel.plan.quarter_len(),
        }
    }

    /// Transposes `PIXELS` columns of each plane, from `index` on.
    ///
    /// # Safety
    /// The rows must be valid for reads, and the memory must have these columns.
    #[inline(always)]
    unsafe fn transpose<Q: Quads>(&self, q: Q, first: usize, index: usize, memory: *mut u8) {
        let mut to = memory.wrapping_add(index * (BYTES / PIXELS));
        let at = self.left.wrapping_add((first + index) * self.stride);
        for &phase in &self.plan.phases[..self.plan.plane_count] {
            // Left of the image wraps far beyond its width.
            // SAFETY: by contract.
            unsafe { self.columns(q, at.wrapping_add(phase), to) };
            to = to.wrapping_add(self.plan.columns * (BYTES / PIXELS));
        }
    }

    /// `PIXELS` columns from `column` on, a stride apart.
    ///
    /// # Safety
    /// As for [`Input::transpose`].
    #[inline(always)]
    unsafe fn columns<Q: Quads>(&self, q: Q, column: usize, to: *mut u8) {
        let last = column.wrapping_add((PIXELS - 1) * self.stride);
        let inside = column < self.width && last < self.width;
        for group in 0..self.plan.groups {
            let first = group * GROUP;
            let to = to.wrapping_add(group * QUARTERS * self.quarter_len);
            // SAFETY: by contract; the memory has `PIXELS` columns of `64 / PIXELS` bytes there.
            unsafe {
                let rows = [
                    self.row(q, first, column, inside),
                    self.row(q, first + 1, column, inside),
                    self.row(q, first + 2, column, inside),
                    self.row(q, first + 3, column, inside),
                ];
                q.transpose(rows, std::array::from_fn(|j| to.wrapping_add(j * self.quarter_len)));
            }
        }
    }

    /// Row `row` of `PIXELS` columns, all of them `inside` the image or not.
    ///
    /// # Safety
    /// As for [`Input::transpose`].
    #[inline(always)]
    unsafe fn row<Q: Quads>(&self, q: Q, row: usize, column: usize, inside: bool) -> Q::Bytes {
        let (row, pixel) = self.rows[row];
        let mut at = [row.wrapping_add(column.wrapping_mul(pixel)); PIXELS];
        for i in 1..PIXELS {
            at[i] = at[i - 1].wrapping_add(self.stride * pixel);
        }
        if !inside {
            for i in 0..PIXELS {
                if column.wrapping_add(i * self.stride) >= self.width {
                    at[i] = self.padding;
                }
            }
        }
        // SAFETY: the column exists in all rows, or it is padding.
        unsafe { q.load(at, if FULL { BYTES } else { self.channels }) }
    }
}

/// What outputs are computed from, besides columns.
struct Output<
    'a,
    const T: usize,
    const R: usize,
    const PIXELS: usize,
    const FULL: bool,
    const PLAIN: bool,
> {
    kernel: &'a Kernel<'a>,
    /// Bias and multipliers in the order of the quarters.
    bias: [[i32; LANES]; QUARTERS],
    multiplier: [[f32; LANES]; QUARTERS],
    range: Range,
    weights: *const i8,
    /// Bytes of weights from quarter to quarter.
    step: usize,
    taps: &'a [usize],
    quarter_len: usize,
    outs: [*mut u8; 2],
    out_stride: usize,
}

/// Values of the channels of a block in the order of the quarters.
#[inline(always)]
fn quarters<T: Copy + Default, const PIXELS: usize, const FULL: bool>(
    values: &[T],
    kernel: &Kernel,
) -> [[T; LANES]; QUARTERS] {
    let (values, n) = (&values[kernel.block.first..], kernel.channels());
    let values = if FULL { &values[..BYTES] } else { values };
    let mut quarters = [[T::default(); LANES]; QUARTERS];
    for (j, quarter) in quarters.iter_mut().enumerate() {
        for (b, lanes) in quarter.chunks_exact_mut(GROUP).enumerate() {
            // Parameters are padded by 16 values.
            let channel = b * CHANNELS % (BYTES / PIXELS) + GROUP * j;
            if FULL || channel < n {
                lanes.copy_from_slice(&values[channel..][..GROUP]);
            }
        }
    }
    quarters
}

impl<'a, const T: usize, const R: usize, const PIXELS: usize, const FULL: bool, const PLAIN: bool>
    Output<'a, T, R, PIXELS, FULL, PLAIN>
{
    #[inline(always)]
    fn new(kernel: &'a Kernel<'a>) -> Self {
        let (lines, plan, first) = (kernel.lines, kernel.plan, kernel.block.first);
        let requant = lines.finishes[0].requant;
        Output {
            kernel,
            bias: quarters::<_, PIXELS, FULL>(&requant.bias, kernel),
            multiplier: quarters::<_, PIXELS, FULL>(&requant.multiplier, kernel),
            range: requant.range,
            weights: lines.weights.block(first),
            step: lines.weights.rows() * (BYTES / PIXELS),
            taps: if T > 0 { &plan.taps[..T] } else { &plan.taps[..plan.tap_count] },
            quarter_len: plan.quarter_len(),
            outs: lines.outs.map(|out| out.wrapping_add(first)),
            out_stride: lines.out_stride,
        }
    }

    /// `N` vectors of outputs from output `t` of the tile on that begins with output `first`.
    ///
    /// # Safety
    /// The columns must have been transposed, and the outputs exist, those of the last vector maybe
    /// in part.
    #[inline(always)]
    unsafe fn compute<Q: Quads, const N: usize>(
        &self,
        q: Q,
        memory: *const u8,
        first: usize,
        t: usize,
    ) {
        let (s, width) = (q.simd(), BYTES / PIXELS);
        let memory = memory.wrapping_add(t * width);
        let mut values = [[[s.splat(0.0); QUARTERS]; N]; R];
        // Few taps: quarter by quarter, which keeps few sums open; many: all at once.
        let at_once = if T > 0 { 1 } else { QUARTERS };
        for first in (0..QUARTERS).step_by(at_once) {
            let mut sums = [[[q.ints(&self.bias[first]); QUARTERS]; N]; R];
            for j in 1..at_once {
                for r in 0..R {
                    (0..N).for_each(|n| sums[r][n][j] = q.ints(&self.bias[j]));
                }
            }
            let mut w = self.weights.wrapping_add(first * self.step);
            for i in 0..if T > 0 { T } else { self.taps.len() } {
                let x = memory.wrapping_add(self.taps[i] + first * self.quarter_len);
                for j in 0..at_once {
                    // SAFETY: these columns are in the memory, and weights of this tap exist.
                    unsafe {
                        let x = x.wrapping_add(j * self.quarter_len);
                        let x: [Q::Quarter; N] =
                            std::array::from_fn(|n| q.quarter(x.wrapping_add(n * BYTES)));
                        for r in 0..R {
                            let w = w.wrapping_add(j * self.step + r * width);
                            let w = q.weights::<PIXELS>(w);
                            for n in 0..N {
                                sums[r][n][j] = q.dot(sums[r][n][j], x[n], w);
                            }
                        }
                    }
                }
                w = w.wrapping_add(QUARTERS * self.step);
            }
            for j in 0..at_once {
                // SAFETY: there are 16 floats.
                let multiplier = unsafe { s.load(self.multiplier[first + j].as_ptr()) };
                for r in 0..R {
                    for n in 0..N {
                        let sum = q.to_floats(sums[r][n][j]);
                        values[r][n][first + j] = s.mul(sum, multiplier);
                    }
                }
            }
        }
        for n in 0..N {
            let ox = first + t + n * PIXELS;
            for r in 0..R {
                // SAFETY: the outputs exist.
                unsafe { self.finish(q, r, ox, &values[r][n]) };
            }
        }
    }

    /// Finishes and stores a vector of outputs of row `r` from `ox` on.
    ///
    /// # Safety
    /// The first output must exist.
    #[inline(always)]
    unsafe fn finish<Q: Quads>(
        &self,
        q: Q,
        r: usize,
        ox: usize,
        values: &[<Q::S as Simd>::V; QUARTERS],
    ) {
        if !PLAIN {
            let mut floats = [[0.0; LANES]; QUARTERS];
            for (to, &value) in floats.iter_mut().zip(values) {
                // SAFETY: there are 16 floats.
                unsafe { q.simd().store(to.as_mut_ptr(), value) };
            }
            // One copy of the rest is enough, and the values pass through memory.
            return q.apart(Rest::<PIXELS> { kernel: self.kernel, row: r, ox, floats: &floats });
        }
        let bytes = q.round(*values, self.range);
        let out = self.outs[r].wrapping_add(ox * self.out_stride);
        let n = if FULL { BYTES } else { self.kernel.channels() };
        let pixels = PIXELS.min(self.kernel.lines.shape.ow - ox);
        // SAFETY: these pixels exist, and so do these channels of theirs.
        unsafe { q.store::<PIXELS>(out, self.out_stride, bytes, n, pixels) };
    }
}

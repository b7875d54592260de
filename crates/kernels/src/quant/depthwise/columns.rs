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
use super::plan::{MAX_GROUPS, MOST, Memory, Plan};
use super::rows::Lines;
use super::weights::{Block, CHANNELS, GROUP, QUARTERS};
use crate::quant::Finish;
use crate::quant::quads::{BYTES, Part, Quads};
use crate::quant::requant::Range;
use crate::simd::{LANES, Simd};
use std::mem::MaybeUninit;

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
    fn run_vectors<Q: Quads, const PIXELS: usize>(&self, q: Q) {
        let plain = self.lines.finishes[..self.lines.count].iter().all(Finish::is_plain);
        match (self.plan.tap_count, self.lines.count, plain) {
            // Three taps are worth code of their own, and so is that nothing else happens.
            (3, 1, true) if Q::MANY => q.apart(Tiles::<3, 1, PIXELS, true>(self)),
            (3, _, true) if Q::MANY => q.apart(Tiles::<3, 2, PIXELS, true>(self)),
            (_, 1, true) if Q::MANY => q.apart(Tiles::<0, 1, PIXELS, true>(self)),
            (_, _, true) if Q::MANY => q.apart(Tiles::<0, 2, PIXELS, true>(self)),
            (_, 1, _) => q.apart(Tiles::<0, 1, PIXELS, false>(self)),
            _ => q.apart(Tiles::<0, 2, PIXELS, false>(self)),
        }
    }
}

impl Part for Kernel<'_> {
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        match self.block.width {
            16 => self.run_vectors::<Q, 4>(q),
            32 => self.run_vectors::<Q, 2>(q),
            _ => self.run_vectors::<Q, 1>(q),
        }
    }
}

/// All outputs of a block: `T` taps, any number if it is 0; `R` output rows; vectors of `PIXELS`
/// outputs; if `PLAIN`, known to be plain.
struct Tiles<'a, const T: usize, const R: usize, const PIXELS: usize, const PLAIN: bool>(
    &'a Kernel<'a>,
);

impl<const T: usize, const R: usize, const PIXELS: usize, const PLAIN: bool> Part
    for Tiles<'_, T, R, PIXELS, PLAIN>
{
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        let kernel = self.0;
        let padding = [kernel.lines.weights.zero_point(); BYTES];
        let mut memory = Memory(MaybeUninit::uninit());
        let memory = memory.0.as_mut_ptr().cast::<u8>();
        let input = Input::<PIXELS>::new(kernel, &padding);
        let output = Output::<T, R, PIXELS, PLAIN>::new(kernel);
        let ow = kernel.lines.shape.ow;
        let Plan { tile, lead, reach, .. } = *kernel.plan;
        let most = if Q::MANY { MOST / R } else { 1 };
        let mut first = 0;
        while first < ow {
            let count = tile.min(ow - first);
            // Columns that are needed at all.
            let end = count.next_multiple_of(PIXELS) + reach;
            let (mut next, mut t) = (0, 0);
            while t < count {
                let vectors = match (count - t).div_ceil(PIXELS) {
                    n if n >= most => most,
                    n => n.min(2),
                };
                // SAFETY: the tile fits in the memory, and these outputs exist, the last vector
                // maybe in part.
                unsafe {
                    while next < (lead + t + vectors * PIXELS).min(end) {
                        input.transpose(q, first, next, memory);
                        next += PIXELS;
                    }
                    match vectors {
                        MOST if Q::MANY && R == 1 => {
                            output.compute::<Q, MOST>(q, memory, first, t);
                        }
                        2 if Q::MANY => output.compute::<Q, 2>(q, memory, first, t),
                        _ => output.compute::<Q, 1>(q, memory, first, t),
                    }
                }
                t += vectors * PIXELS;
            }
            first += count;
        }
    }
}

/// Where the transposed columns come from.
#[derive(Clone, Copy)]
struct Input<'a, const PIXELS: usize> {
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

impl<'a, const PIXELS: usize> Input<'a, PIXELS> {
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
            // A load of a part takes an instruction more.
            let whole = BYTES / PIXELS;
            // SAFETY: by contract; the memory has `PIXELS` columns of `64 / PIXELS` bytes there.
            unsafe {
                let rows = if self.channels == whole {
                    self.rows(q, first, column, inside, whole)
                } else {
                    self.rows(q, first, column, inside, self.channels)
                };
                q.transpose(rows, std::array::from_fn(|j| to.wrapping_add(j * self.quarter_len)));
            }
        }
    }

    /// Four rows as [`Input::row`].
    ///
    /// # Safety
    /// As for [`Input::transpose`].
    #[inline(always)]
    unsafe fn rows<Q: Quads>(
        &self,
        q: Q,
        row: usize,
        column: usize,
        inside: bool,
        n: usize,
    ) -> [Q::Bytes; GROUP] {
        // SAFETY: by contract.
        unsafe {
            [
                self.row(q, row, column, inside, n),
                self.row(q, row + 1, column, inside, n),
                self.row(q, row + 2, column, inside, n),
                self.row(q, row + 3, column, inside, n),
            ]
        }
    }

    /// The first `n` channels of row `row` of `PIXELS` columns, all of them `inside` the image or not.
    ///
    /// # Safety
    /// As for [`Input::transpose`].
    #[inline(always)]
    unsafe fn row<Q: Quads>(
        &self,
        q: Q,
        row: usize,
        column: usize,
        inside: bool,
        n: usize,
    ) -> Q::Bytes {
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
        unsafe { q.load(at, n) }
    }
}

/// What outputs are computed from, besides columns.
struct Output<'a, const T: usize, const R: usize, const PIXELS: usize, const PLAIN: bool> {
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
    channels: usize,
    /// Whether nothing happens to the sums but requantisation.
    plain: bool,
}

/// Values of the channels of a block in the order of the quarters.
#[inline(always)]
fn quarters<T: Copy + Default, const PIXELS: usize>(
    values: &[T],
    kernel: &Kernel,
) -> [[T; LANES]; QUARTERS] {
    let (values, n) = (&values[kernel.block.first..], kernel.channels());
    let mut quarters = [[T::default(); LANES]; QUARTERS];
    for (j, quarter) in quarters.iter_mut().enumerate() {
        for (b, lanes) in quarter.chunks_exact_mut(GROUP).enumerate() {
            // Parameters are padded by 16 values.
            let channel = b * CHANNELS % (BYTES / PIXELS) + GROUP * j;
            if channel < n {
                lanes.copy_from_slice(&values[channel..][..GROUP]);
            }
        }
    }
    quarters
}

impl<'a, const T: usize, const R: usize, const PIXELS: usize, const PLAIN: bool>
    Output<'a, T, R, PIXELS, PLAIN>
{
    #[inline(always)]
    fn new(kernel: &'a Kernel<'a>) -> Self {
        let (lines, plan, first) = (kernel.lines, kernel.plan, kernel.block.first);
        let requant = lines.finishes[0].requant;
        Output {
            kernel,
            bias: quarters::<_, PIXELS>(&requant.bias, kernel),
            multiplier: quarters::<_, PIXELS>(&requant.multiplier, kernel),
            range: requant.range,
            weights: lines.weights.block(first),
            step: lines.weights.rows() * (BYTES / PIXELS),
            taps: if T > 0 { &plan.taps[..T] } else { &plan.taps[..plan.tap_count] },
            quarter_len: plan.quarter_len(),
            outs: lines.outs.map(|out| out.wrapping_add(first)),
            out_stride: lines.out_stride,
            channels: kernel.channels(),
            plain: PLAIN || lines.finishes[..R].iter().all(Finish::is_plain),
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
        // Few taps: quarter by quarter, which keeps few sums open; many: all at once, if registers
        // hold so many.
        let at_once = if T > 0 || !Q::MANY { 1 } else { QUARTERS };
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
                        let column = x.wrapping_add(j * self.quarter_len);
                        let mut x = [q.quarter(column); N];
                        for n in 1..N {
                            x[n] = q.quarter(column.wrapping_add(n * BYTES));
                        }
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
        if !PLAIN && !self.plain {
            let mut floats = [[0.0; LANES]; QUARTERS];
            for (to, &value) in floats.iter_mut().zip(values) {
                // SAFETY: there are 16 floats.
                unsafe { q.simd().store(to.as_mut_ptr(), value) };
            }
            // One copy of the rest is enough, and the values pass through memory.
            return q.apart(Rest::<PIXELS> { kernel: self.kernel, row: r, ox, floats: &floats });
        }
        let bytes = q.round_bounded(*values, self.range);
        let out = self.outs[r].wrapping_add(ox * self.out_stride);
        let pixels = PIXELS.min(self.kernel.lines.shape.ow - ox);
        // SAFETY: these pixels exist, and so do these channels of theirs.
        unsafe { q.store::<PIXELS>(out, self.out_stride, bytes, self.channels, pixels) };
    }
}

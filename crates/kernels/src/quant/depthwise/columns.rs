//! A block of channels of one or two output rows, by dot products over transposed columns.
//!
//! Each column of the input is transposed once, shortly before the first output that needs it: four
//! rows of 64 bytes become four quarters (see [`quads`](crate::quant::quads)), which wait in a few
//! KiB of memory, in the first-level cache, for the `kw` outputs that they belong to. Two vectors of
//! outputs are computed at a time, so that a weight serves two products where there is one row of
//! output and a quarter serves two where there are two.
//!
//! A vector of the 3x3 kernel, 64 outputs of one row, takes
//!
//! ```text
//!                      loads  shuffles  products  multiply-adds
//! stride 1, two rows     16       4        12          576
//! stride 1 (one row)     22       8        12          576
//! stride 2               26      16        12          576
//! ```
//!
//! (weights in 6 or 12 of the loads), and then 4 times convert, multiply, limit, convert and 3
//! shuffles that pack. The 5x5 kernel has two groups of rows: 40 products.
//!
//! Where less than 64 channels are left, a vector holds two or four neighbouring outputs of 32 or
//! 16. Columns are kept apart by their place within the stride, so that such neighbours read
//! neighbours.

use super::rows::Lines;
use super::weights::{Block, CHANNELS, GROUP, QUARTERS};
use crate::Activation;
use crate::quant::Finish;
use crate::quant::quads::{BYTES, Part, Quads};
use crate::quant::requant::Range;
use crate::simd::{LANES, Simd};
use std::mem::MaybeUninit;

/// Widest kernel; a wider one is computed tap by tap.
const MAX_KW: usize = 16;
/// Most groups of input rows.
const MAX_GROUPS: usize = 4;
/// Bytes of transposed columns: half of the smallest first-level cache of the machines that we
/// care for.
const MEMORY: usize = 16 * 1024;

/// The transposed columns of a tile: `[group][quarter][plane][column]`, `block.width` bytes each.
#[repr(C, align(64))]
struct Memory(MaybeUninit<[u8; MEMORY]>);

/// Columns at one place within the horizontal stride.
#[derive(Clone, Copy, Default)]
struct Plane {
    /// That place.
    phase: usize,
    /// How many columns the last tap in this plane lies to the right of the first, in whole vectors.
    lead: usize,
}

/// The computation of a block of channels.
pub(super) struct Kernel<'a> {
    lines: &'a Lines<'a>,
    block: Block,
    /// Channels that exist.
    channels: usize,
    groups: usize,
    planes: [Plane; MAX_KW],
    plane_count: usize,
    /// Columns that the memory has for each plane.
    columns: usize,
    /// Columns that are transposed before the first output of a tile, whole vectors.
    lead: usize,
    /// Where the taps of output 0 of a tile lie in the memory.
    taps: [usize; MAX_KW],
    /// Outputs of a tile.
    tile: usize,
}

impl<'a> Kernel<'a> {
    /// `None` if the window does not fit.
    pub(super) fn new(lines: &'a Lines<'a>, block: Block) -> Option<Kernel<'a>> {
        let shape = lines.shape;
        let groups = (shape.kh + lines.count - 1).div_ceil(GROUP);
        if groups > MAX_GROUPS || shape.kw > MAX_KW {
            return None;
        }
        let (mut planes, mut plane_count) = ([Plane::default(); MAX_KW], 0);
        let mut place = [(0, 0); MAX_KW];
        for (kx, place) in place[..shape.kw].iter_mut().enumerate() {
            let (phase, column) = (kx * shape.dw % shape.sw, kx * shape.dw / shape.sw);
            let known = planes[..plane_count].iter().position(|plane| plane.phase == phase);
            let plane = known.unwrap_or(plane_count);
            plane_count = plane_count.max(plane + 1);
            planes[plane] = Plane { phase, lead: column.next_multiple_of(BYTES / block.width) };
            *place = (plane, column);
        }
        let pixels = BYTES / block.width;
        let columns = MEMORY / (groups * QUARTERS * block.width * plane_count) / pixels * pixels;
        let lead = planes[..plane_count].iter().map(|plane| plane.lead).max()?;
        let tile = columns.saturating_sub(lead) / (2 * pixels) * (2 * pixels);
        (tile > 0).then(|| Kernel {
            lines,
            block,
            channels: block.width.min(shape.cin - block.first),
            groups,
            planes,
            plane_count,
            columns,
            lead,
            taps: place.map(|(plane, column)| (plane * columns + column) * block.width),
            tile,
        })
    }

    /// Bytes of memory from one quarter to the next.
    #[inline(always)]
    fn quarter_len(&self) -> usize {
        self.plane_count * self.columns * self.block.width
    }

    /// Runs the kernel with vectors of `PIXELS` outputs.
    #[inline(always)]
    fn run_vectors<Q: Quads, const PIXELS: usize, const FULL: bool>(&self, q: Q) {
        let shape = self.lines.shape;
        let weights = self.lines.weights;
        match (shape.kw, weights.groups(), weights.rows(), self.lines.count) {
            (3, 1, 1, 1) => q.apart(Tiles::<3, 1, 1, PIXELS, FULL>(self)),
            (3, 1, 2, 2) => q.apart(Tiles::<3, 1, 2, PIXELS, FULL>(self)),
            (5, 2, 1, 1) => q.apart(Tiles::<5, 2, 1, PIXELS, FULL>(self)),
            (5, 2, 2, 2) => q.apart(Tiles::<5, 2, 2, PIXELS, FULL>(self)),
            (.., 1) => q.apart(Tiles::<0, 0, 1, PIXELS, FULL>(self)),
            _ => q.apart(Tiles::<0, 0, 2, PIXELS, FULL>(self)),
        }
    }
}

impl Part for Kernel<'_> {
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        match (self.block.width, self.channels) {
            (16, _) => self.run_vectors::<Q, 4, false>(q),
            (32, _) => self.run_vectors::<Q, 2, false>(q),
            (_, BYTES) => self.run_vectors::<Q, 1, true>(q),
            _ => self.run_vectors::<Q, 1, false>(q),
        }
    }
}

/// All outputs of a block: `K` taps a row and `G` groups of rows, or any numbers if `K` is 0; `R`
/// output rows, all that the weights are packed for unless `K` is 0; vectors of `PIXELS` outputs,
/// with all of their channels if `FULL`.
struct Tiles<
    'a,
    const K: usize,
    const G: usize,
    const R: usize,
    const PIXELS: usize,
    const FULL: bool,
>(&'a Kernel<'a>);

impl<const K: usize, const G: usize, const R: usize, const PIXELS: usize, const FULL: bool> Part
    for Tiles<'_, K, G, R, PIXELS, FULL>
{
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        let kernel = self.0;
        let padding = [kernel.lines.weights.zero_point(); BYTES];
        let mut memory = Memory(MaybeUninit::uninit());
        let memory = memory.0.as_mut_ptr().cast::<u8>();
        let groups = if K > 0 { G } else { kernel.groups };
        let input = Input::<PIXELS, FULL>::new(kernel, groups, &padding);
        let output = Output::<K, G, R, PIXELS, FULL>::new(kernel, groups);
        let ow = kernel.lines.shape.ow;
        for first in (0..ow).step_by(kernel.tile) {
            let count = kernel.tile.min(ow - first);
            // SAFETY: the tile fits in the memory, and these outputs exist, the last vector maybe
            // in part.
            unsafe {
                for column in (0..kernel.lead).step_by(PIXELS) {
                    input.transpose(q, first, column, memory);
                }
                let mut t = 0;
                while t < count {
                    input.transpose(q, first, t + kernel.lead, memory);
                    if count - t > PIXELS {
                        input.transpose(q, first, t + kernel.lead + PIXELS, memory);
                        output.compute::<Q, 2>(q, memory, first, t);
                        t += 2 * PIXELS;
                    } else {
                        output.compute::<Q, 1>(q, memory, first, t);
                        t += PIXELS;
                    }
                }
            }
        }
    }
}

/// Where the transposed columns come from.
#[derive(Clone, Copy)]
struct Input<'a, const PIXELS: usize, const FULL: bool> {
    kernel: &'a Kernel<'a>,
    groups: usize,
    /// The rows at the first channel of the block, and the bytes between their pixels: 0 in the
    /// padding.
    rows: [(*const u8, usize); MAX_GROUPS * GROUP],
    padding: *const u8,
    width: usize,
    /// Column of the image under tap 0 of output 0.
    left: usize,
    channels: usize,
    quarter_len: usize,
}

impl<'a, const PIXELS: usize, const FULL: bool> Input<'a, PIXELS, FULL> {
    #[inline(always)]
    fn new(kernel: &'a Kernel<'a>, groups: usize, padding: &'a [u8; BYTES]) -> Self {
        let lines = kernel.lines;
        let padding = padding.as_ptr();
        let mut rows = [(padding, 0); MAX_GROUPS * GROUP];
        let count = lines.shape.kh + lines.count - 1;
        for (i, to) in rows[..groups * GROUP].iter_mut().enumerate() {
            // Rows beyond the last meet weights of 0.
            let row = lines.rows.at(i.min(count - 1));
            if !row.is_null() {
                *to = (row.wrapping_add(kernel.block.first), lines.x_stride);
            }
        }
        Input {
            kernel,
            groups,
            rows,
            padding,
            width: lines.shape.w,
            left: 0usize.wrapping_sub(lines.shape.pl),
            channels: kernel.channels,
            quarter_len: kernel.quarter_len(),
        }
    }

    /// Transposes `PIXELS` columns of each plane, from `index` on; those that only outputs further on
    /// need maybe once more.
    ///
    /// # Safety
    /// The rows must be valid for reads, and the memory must have these columns.
    #[inline(always)]
    unsafe fn transpose<Q: Quads>(&self, q: Q, first: usize, index: usize, memory: *mut u8) {
        let stride = self.kernel.lines.shape.sw;
        let planes = &self.kernel.planes[..self.kernel.plane_count];
        let mut to = memory.wrapping_add(index * (BYTES / PIXELS));
        for plane in planes {
            // Left of the image wraps far beyond its width.
            let column = self.left.wrapping_add((first + index) * stride + plane.phase);
            // SAFETY: by contract.
            unsafe { self.columns(q, column, stride, to) };
            to = to.wrapping_add(self.kernel.columns * (BYTES / PIXELS));
        }
    }

    /// `PIXELS` columns from `column` on, `stride` apart.
    ///
    /// # Safety
    /// As for [`Input::transpose`].
    #[inline(always)]
    unsafe fn columns<Q: Quads>(&self, q: Q, column: usize, stride: usize, to: *mut u8) {
        let n = if FULL { BYTES } else { self.channels };
        let last = column.wrapping_add((PIXELS - 1) * stride);
        let inside = column < self.width && last < self.width;
        for group in 0..self.groups {
            let row = |i: usize| {
                let (row, pixel) = self.rows[group * GROUP + i];
                let first = row.wrapping_add(column.wrapping_mul(pixel));
                let mut at: [*const u8; PIXELS] =
                    std::array::from_fn(|i| first.wrapping_add(i * stride * pixel));
                if !inside {
                    for (i, at) in at.iter_mut().enumerate() {
                        if column.wrapping_add(i * stride) >= self.width {
                            *at = self.padding;
                        }
                    }
                }
                // SAFETY: the column exists in all rows, or it is padding.
                unsafe { q.load(at, n) }
            };
            let rows = [row(0), row(1), row(2), row(3)];
            let to = to.wrapping_add(group * QUARTERS * self.quarter_len);
            let to = std::array::from_fn(|j| to.wrapping_add(j * self.quarter_len));
            // SAFETY: the memory has `PIXELS` columns of `64 / PIXELS` bytes there.
            unsafe { q.transpose(rows, to) };
        }
    }
}

/// What outputs are computed from, besides columns.
struct Output<
    'a,
    const K: usize,
    const G: usize,
    const R: usize,
    const PIXELS: usize,
    const FULL: bool,
> {
    kernel: &'a Kernel<'a>,
    /// Bias and multipliers in the order of the quarters.
    bias: [[i32; LANES]; QUARTERS],
    multiplier: [[f32; LANES]; QUARTERS],
    range: Range,
    /// Neither residual nor activation in any row.
    plain: bool,
    weights: *const i8,
    kw: usize,
    groups: usize,
    /// Bytes of weights from group to group, from tap to tap, and from quarter to quarter.
    steps: [usize; 3],
    quarter_len: usize,
    outs: [*mut u8; 2],
    out_stride: usize,
}

/// Values of the channels of a block in the order of the quarters.
#[inline(always)]
fn quarters<T: Copy + Default>(values: &[T], kernel: &Kernel) -> [[T; LANES]; QUARTERS] {
    let mut quarters = [[T::default(); LANES]; QUARTERS];
    for (j, quarter) in quarters.iter_mut().enumerate() {
        for (b, lanes) in quarter.chunks_exact_mut(GROUP).enumerate() {
            // Parameters are padded by 16 values.
            let channel = b * CHANNELS % kernel.block.width + GROUP * j;
            if channel < kernel.channels {
                lanes.copy_from_slice(&values[kernel.block.first + channel..][..GROUP]);
            }
        }
    }
    quarters
}

impl<'a, const K: usize, const G: usize, const R: usize, const PIXELS: usize, const FULL: bool>
    Output<'a, K, G, R, PIXELS, FULL>
{
    #[inline(always)]
    fn new(kernel: &'a Kernel<'a>, groups: usize) -> Self {
        let (lines, first) = (kernel.lines, kernel.block.first);
        let requant = lines.finishes[0].requant;
        let is_plain = |finish: &Finish| {
            finish.residual.is_none() && finish.requant.activation == Activation::None
        };
        let kw = if K > 0 { K } else { lines.shape.kw };
        let (packed_groups, packed_rows) =
            if K > 0 { (G, R) } else { (lines.weights.groups(), lines.weights.rows()) };
        let group = packed_rows * (BYTES / PIXELS);
        let tap = packed_groups * group;
        Output {
            kernel,
            bias: quarters(&requant.bias, kernel),
            multiplier: quarters(&requant.multiplier, kernel),
            range: requant.range,
            plain: lines.finishes.iter().all(is_plain),
            weights: lines.weights.block(first),
            kw,
            groups,
            steps: [group, tap, kw * tap],
            quarter_len: kernel.quarter_len(),
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
        let s = q.simd();
        let width = BYTES / PIXELS;
        let group_len = QUARTERS * self.quarter_len;
        let memory = memory.wrapping_add(t * width);
        let mut values = [[[s.splat(0.0); QUARTERS]; N]; R];
        for j in 0..QUARTERS {
            let mut sums = [[q.ints(&self.bias[j]); N]; R];
            let x = memory.wrapping_add(j * self.quarter_len);
            let w = self.weights.wrapping_add(j * self.steps[2]);
            for kx in 0..self.kw {
                // SAFETY: a kernel has at most as many columns.
                let tap = unsafe { *self.kernel.taps.get_unchecked(kx) };
                for group in 0..self.groups {
                    let x = x.wrapping_add(tap + group * group_len);
                    let w = w.wrapping_add(kx * self.steps[1] + group * self.steps[0]);
                    // SAFETY: these columns are in the memory, and weights of this tap exist.
                    unsafe {
                        let x: [Q::Quarter; N] =
                            std::array::from_fn(|n| q.quarter(x.wrapping_add(n * BYTES)));
                        for r in 0..R {
                            let w = q.weights::<PIXELS>(w.wrapping_add(r * width));
                            for n in 0..N {
                                sums[r][n] = q.dot(sums[r][n], x[n], w);
                            }
                        }
                    }
                }
            }
            // SAFETY: there are 16 floats.
            let multiplier = unsafe { s.load(self.multiplier[j].as_ptr()) };
            for r in 0..R {
                for n in 0..N {
                    values[r][n][j] = s.mul(q.to_floats(sums[r][n]), multiplier);
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
        if !self.plain {
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
        let n = if FULL { BYTES } else { self.kernel.channels };
        let pixels = PIXELS.min(self.kernel.lines.shape.ow - ox);
        // SAFETY: these pixels exist, and so do these channels of theirs.
        unsafe { q.store::<PIXELS>(out, self.out_stride, bytes, n, pixels) };
    }
}

/// Residual and activation of a vector of outputs, the first of which must exist.
struct Rest<'a, const PIXELS: usize> {
    kernel: &'a Kernel<'a>,
    /// Output row, and column of the first.
    row: usize,
    ox: usize,
    floats: &'a [[f32; LANES]; QUARTERS],
}

impl<const PIXELS: usize> Part for Rest<'_, PIXELS> {
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        let s = q.simd();
        let Kernel { lines, block, channels, .. } = *self.kernel;
        let (ox, pixels) = (self.ox, PIXELS.min(lines.shape.ow - self.ox));
        let finish = &lines.finishes[self.row];
        // SAFETY: there are 16 floats.
        let mut values = self.floats.each_ref().map(|floats| unsafe { s.load(floats.as_ptr()) });
        if let Some(residual) = finish.residual {
            // Pixels that do not exist are as good as the last that does.
            let at: [*const u8; PIXELS] = std::array::from_fn(|i| {
                let pixel = ox + i.min(pixels - 1);
                residual.data[pixel * residual.stride + block.first..][..channels].as_ptr()
            });
            // SAFETY: the pixels have these channels.
            let numbers = q.widen(unsafe { q.load::<PIXELS>(at, channels) });
            let zero_point = s.splat(f32::from(residual.affine.zero_point));
            let ratio = s.splat(residual.affine.scale / finish.requant.scale);
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = s.add(*value, s.mul(s.sub(number, zero_point), ratio));
            }
        }
        let activation = finish.requant.activation;
        if activation != Activation::None {
            let (scale, inverse) = (s.splat(finish.requant.scale), s.splat(finish.requant.inverse));
            values = values.map(|u| s.mul(activation.apply(s, s.mul(u, scale)), inverse));
        }
        let bytes = q.round(values, finish.requant.range);
        let out = lines.outs[self.row].wrapping_add(ox * lines.out_stride + block.first);
        // SAFETY: these pixels exist, and so do these channels of theirs.
        unsafe { q.store::<PIXELS>(out, lines.out_stride, bytes, channels, pixels) };
    }
}

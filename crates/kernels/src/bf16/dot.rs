//! The register tile of units that multiply vectors of pairs, and the portable unit.

use std::ops::Range;

use super::conv::Row;
use super::machine::{Machine, Run, Strip};
use super::round::{pair, unpair};
use super::weights::{LINE, STEP, TILE};
use crate::simd::{LANES, Simd, simd_fn};

/// Products of pairs, added to a vector of sums: the odd one first.
pub(super) trait Dot: Copy {
    /// What does the rest.
    type S: Simd;
    /// 16 pairs.
    type P: Copy;

    fn simd(self) -> Self::S;
    /// Reads 16 pairs.
    ///
    /// # Safety
    /// `p` must be valid for 16 words.
    unsafe fn load(self, p: *const u32) -> Self::P;
    /// The same pair in all lanes.
    fn splat(self, pair: u32) -> Self::P;
    /// `fma(even a, even b, fma(odd a, odd b, sum))`
    fn dot(self, a: Self::P, b: Self::P, sum: <Self::S as Simd>::V) -> <Self::S as Simd>::V;
}

simd_fn! {
    /// [`Row::on`] of the portable unit.
    fn portable(
        s: Simd,
        row: &Row<'_>,
        pixels: Range<usize>,
        panels: Range<usize>,
        scratch: &mut [f32],
    ) {
        // SAFETY: by the contract of `row`, which alone calls this.
        unsafe { row.on(Portable(s), pixels, panels, scratch) }
    }
}

/// [`Row::on`] of the portable unit.
///
/// # Safety
/// As [`Row::on`].
pub(super) unsafe fn row(
    isa: crate::Isa,
    row: &Row,
    pixels: Range<usize>,
    panels: Range<usize>,
    scratch: &mut [f32],
) {
    portable(isa, row, pixels, panels, scratch);
}

/// Float multiply-adds.
#[derive(Clone, Copy)]
struct Portable<S>(S);

impl<S: Simd> Machine for Portable<S> {
    #[inline(always)]
    unsafe fn round(self, run: &Run, to: *mut u32) {
        let pitch = run.channels.div_ceil(STEP) * LINE;
        for pixel in 0..run.pixels {
            let x = run.x.wrapping_add(pixel * run.stride);
            // SAFETY: the pixel is there, and `to` valid for its cache lines.
            let (x, to) = unsafe {
                (
                    std::slice::from_raw_parts(x, run.channels),
                    std::slice::from_raw_parts_mut(to.add(pixel * pitch), pitch),
                )
            };
            let pairs = x.chunks_exact(2);
            let last = pairs.remainder().first().map(|&x| pair(x, 0.0));
            let (to, rest) = to.split_at_mut(run.channels / 2);
            to.iter_mut().zip(pairs).for_each(|(word, x)| *word = pair(x[0], x[1]));
            rest.fill(0);
            rest.iter_mut().zip(last).for_each(|(word, last)| *word = last);
        }
    }

    #[inline(always)]
    unsafe fn strip(self, job: &Strip) {
        // SAFETY: by contract.
        unsafe { strip(self, job) }
    }
}

impl<S: Simd> Dot for Portable<S> {
    type S = S;
    type P = [S::V; 2];

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    unsafe fn load(self, p: *const u32) -> [S::V; 2] {
        // SAFETY: valid for 16 words by contract.
        self.0.halves(unsafe { self.0.load(p.cast()) })
    }

    #[inline(always)]
    fn splat(self, pair: u32) -> [S::V; 2] {
        let [even, odd] = unpair(pair);
        [self.0.splat(even), self.0.splat(odd)]
    }

    #[inline(always)]
    fn dot(self, a: [S::V; 2], b: [S::V; 2], sum: S::V) -> S::V {
        self.0.fma(a[0], b[0], self.0.fma(a[1], b[1], sum))
    }
}

/// A strip in register tiles.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
pub(super) unsafe fn strip<D: Dot>(d: D, job: &Strip) {
    let tiles = job.columns.len().div_ceil(LANES);
    let mut pixel = 0;
    while pixel < job.pixels.len() {
        let rows = (job.pixels.len() - pixel).min(D::S::TILE_ROWS);
        // SAFETY: by contract.
        unsafe {
            if D::S::WIDE && tiles == 2 {
                tile_of_rows::<D, 2>(d, job, pixel, rows, 0);
            } else {
                for tile in 0..tiles {
                    tile_of_rows::<D, 1>(d, job, pixel, rows, tile);
                }
            }
        }
        pixel += rows;
    }
}

/// Most pixels of a tile.
const MOST: usize = 8;

/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn tile_of_rows<D: Dot, const NV: usize>(
    d: D,
    job: &Strip,
    pixel: usize,
    rows: usize,
    first: usize,
) {
    let s = d.simd();
    let column = |v: usize| job.columns.start + (first + v) * LANES;
    let (mut masks, mut start) = ([s.first(0); NV], [s.splat(0.0); NV]);
    for v in 0..NV {
        masks[v] = s.first(job.columns.end - column(v));
        // SAFETY: the mask of vector v ends with the columns of the panel.
        start[v] = unsafe { job.epilogue.start(s, column(v), masks[v]) };
    }
    let mut sums = [[[0.0; LANES]; NV]; MOST];
    // SAFETY: by contract.
    unsafe {
        match rows {
            1 => tile::<D, 1, NV>(d, job, pixel, first, start, &mut sums),
            2 => tile::<D, 2, NV>(d, job, pixel, first, start, &mut sums),
            3 => tile::<D, 3, NV>(d, job, pixel, first, start, &mut sums),
            4 => tile::<D, 4, NV>(d, job, pixel, first, start, &mut sums),
            5 => tile::<D, 5, NV>(d, job, pixel, first, start, &mut sums),
            6 => tile::<D, 6, NV>(d, job, pixel, first, start, &mut sums),
            7 => tile::<D, 7, NV>(d, job, pixel, first, start, &mut sums),
            8 => tile::<D, 8, NV>(d, job, pixel, first, start, &mut sums),
            _ => unreachable!("tiles have at most 8 rows"),
        }
    }
    // Through memory, or there would be a copy of all that an epilogue can do for each vector.
    for (r, sums) in sums[..rows].iter().enumerate() {
        let row = job.pixels.start + pixel + r;
        let out = job.out.wrapping_add(row * job.out_stride);
        for v in 0..NV {
            // SAFETY: a vector of sums; the mask ends with the columns of the panel, and the epilogue
            // was checked.
            unsafe {
                let sum = s.load(sums[v].as_ptr());
                job.epilogue.finish(s, sum, row, column(v), out, masks[v]);
            }
        }
    }
}

/// The sums of `R` pixels and `NV` vectors of output channels, from tile `first` of the panel on.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn tile<D: Dot, const R: usize, const NV: usize>(
    d: D,
    job: &Strip,
    pixel: usize,
    first: usize,
    start: [<D::S as Simd>::V; NV],
    sums: &mut [[[f32; LANES]; NV]; MOST],
) {
    let tiles = job.columns.len().div_ceil(LANES);
    let mut acc = [start; R];
    let a = job.a.wrapping_add(pixel * job.advance);
    let mut b = job.b.as_ptr().wrapping_add(first * TILE);
    for ky in 0..job.taps[0] {
        for kx in 0..job.taps[1] {
            let a = a.wrapping_add(ky * job.row + kx * job.tap);
            for block in (0..job.channels).step_by(STEP) {
                let a = a.wrapping_add(block / 2);
                for p in 0..(job.channels - block).div_ceil(2).min(LINE) {
                    // SAFETY: pair p of this block of R pixels and of NV tiles.
                    unsafe {
                        let mut w = [d.load(b.add(p * LANES)); NV];
                        for v in 1..NV {
                            w[v] = d.load(b.add(v * TILE + p * LANES));
                        }
                        for r in 0..R {
                            let x = d.splat(*a.add(r * job.advance + p));
                            for v in 0..NV {
                                acc[r][v] = d.dot(x, w[v], acc[r][v]);
                            }
                        }
                    }
                }
                b = b.wrapping_add(tiles * TILE);
            }
        }
    }
    for r in 0..R {
        for v in 0..NV {
            // SAFETY: a vector has 16 lanes.
            unsafe { d.simd().store(sums[r][v].as_mut_ptr(), acc[r][v]) };
        }
    }
}

//! Products of pixels and sparse weights.

use super::Weights;
use super::weights::{BLOCK, SHARED};
use crate::epilogue::Usual;
use crate::gemm::{heights, part};
use crate::pool::SharedMut;
use crate::simd::{LANES, Simd, simd_fn};
use crate::{Ctx, Epilogue, Isa};
use std::ops::Range;

/// Most vectors of pixels in a block, on the instruction set with most registers.
const MOST_VECTORS: usize = 8;

/// Vectors of pixels for each thread below which threads share out outputs instead.
const FEW_VECTORS: usize = 4;

/// Multiply-adds that are worth handing out a task.
const TASK: usize = 50_000;

/// Floats of scratch memory of [`rows`].
pub fn scratch_len(m: usize, weights: &Weights) -> usize {
    let pitch = m.div_ceil(LANES).clamp(1, MOST_VECTORS) * LANES;
    // A cache line to align it.
    LANES + (BLOCK + sum_rows(weights)) * pitch
}

/// Rows of sums that are kept: those of all outputs until the last block of input channels.
fn sum_rows(weights: &Weights) -> usize {
    if weights.blocks() == 1 { LANES } else { weights.panels() * LANES }
}

/// Floats of scratch memory of [`product`] on `threads` threads.
pub fn product_scratch_len(m: usize, weights: &Weights, threads: usize) -> usize {
    threads.max(1) * scratch_len(m, weights).next_multiple_of(LANES)
}

/// `out[m, n] = epilogue(x[m, k] weights)` on all threads, with the rows of x and of the result `lda`
/// and `ldc` floats apart, and at least [`product_scratch_len`] floats of scratch memory.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub fn product(
    ctx: Ctx,
    m: usize,
    x: &[f32],
    lda: usize,
    weights: &Weights,
    out: &mut [f32],
    ldc: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    let Some(job) = Job::new(m, x, lda, weights, out, ldc, epilogue) else { return };
    let threads = ctx.pool.threads();
    let (vectors, panels) = (m.div_ceil(LANES), weights.panels());
    let by_panels = vectors < FEW_VECTORS * threads;
    let most = if by_panels { panels } else { vectors };
    let tasks = threads.min(most).min((m * weights.macs() / TASK).max(1));
    let len = scratch_len(m, weights).next_multiple_of(LANES);
    let scratch = SharedMut::new(&mut scratch[..len * threads]);
    ctx.pool.for_each_worker(tasks, &|worker, task| {
        let (pixels, panels) = if by_panels {
            (0..m, part(panels, task, tasks))
        } else {
            let vectors = part(vectors, task, tasks);
            (vectors.start * LANES..(vectors.end * LANES).min(m), 0..panels)
        };
        // SAFETY: nobody else has this worker's memory, or these pixels and panels of the result.
        unsafe { compute(ctx.isa, &job, pixels, panels, scratch.range(worker * len, len)) };
    });
}

/// [`product`] on the calling thread, with at least [`scratch_len`] floats of scratch memory.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub fn rows(
    isa: Isa,
    m: usize,
    x: &[f32],
    lda: usize,
    weights: &Weights,
    out: &mut [f32],
    ldc: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    if let Some(job) = Job::new(m, x, lda, weights, out, ldc, epilogue) {
        // SAFETY: the result is borrowed for this call.
        unsafe { compute(isa, &job, 0..m, 0..weights.panels(), scratch) };
    }
}

/// The operands of a product, checked against each other.
struct Job<'a> {
    x: &'a [f32],
    lda: usize,
    weights: &'a Weights,
    out: SharedMut<'a, f32>,
    ldc: usize,
    epilogue: &'a Epilogue<'a>,
}

impl<'a> Job<'a> {
    /// `None` where there is nothing to compute.
    fn new(
        m: usize,
        x: &'a [f32],
        lda: usize,
        weights: &'a Weights,
        out: &'a mut [f32],
        ldc: usize,
        epilogue: &'a Epilogue,
    ) -> Option<Job<'a>> {
        if m == 0 || weights.n() == 0 {
            return None;
        }
        let (k, width) = (weights.k(), epilogue.width(weights.n()));
        assert!(lda >= k && ldc >= width, "rows overlap: {lda} < {k} or {ldc} < {width}");
        assert!(x.len() >= (m - 1) * lda + k, "x has {} floats, {m} rows of {lda}", x.len());
        assert!(out.len() >= (m - 1) * ldc + width, "{} floats, {m} rows of {ldc}", out.len());
        epilogue.check(m, weights.n());
        Some(Job { x, lda, weights, out: SharedMut::new(out), ldc, epilogue })
    }
}

/// Some pixels and some panels of 16 outputs.
///
/// # Safety
/// Nobody else may use this part of the result at the same time.
unsafe fn compute(
    isa: Isa,
    job: &Job,
    pixels: Range<usize>,
    panels: Range<usize>,
    scratch: &mut [f32],
) {
    let most = scratch_len(pixels.len(), job.weights);
    assert!(scratch.len() >= most, "{} floats of scratch memory, {most} needed", scratch.len());
    let start = scratch.as_ptr().align_offset(LANES * size_of::<f32>());
    let tile = scratch[start..].as_mut_ptr();
    let most = most_vectors(isa, job.weights.group());
    for vectors in heights(pixels.len().div_ceil(LANES), most) {
        let first = pixels.start + vectors.start * LANES;
        let pitch = vectors.len() * LANES;
        let block = Block {
            job,
            pixels: first..pixels.end.min(pixels.start + vectors.end * LANES),
            panels: panels.clone(),
            tile,
            sums: tile.wrapping_add(BLOCK * pitch),
            pitch,
        };
        block.compute(isa);
    }
}

/// Some pixels, at most as many vectors as the sums of a group have registers for.
struct Block<'a> {
    job: &'a Job<'a>,
    pixels: Range<usize>,
    panels: Range<usize>,
    /// `[BLOCK, vectors]`: a block of input channels.
    tile: *mut f32,
    /// `[outputs, vectors]`: sums.
    sums: *mut f32,
    /// Floats of a row of both.
    pitch: usize,
}

impl Block<'_> {
    fn compute(&self, isa: Isa) {
        let last = self.job.weights.blocks() - 1;
        for block in 0..=last {
            transpose(isa, self, self.job.weights.rows(block));
            if last == 0 {
                // Sums of one panel at a time stay in the first-level cache.
                for panel in self.panels.clone() {
                    add(isa, self, block, panel..panel + 1, self.sums);
                    finish(isa, self, panel, self.sums);
                }
            } else {
                add(isa, self, block, self.panels.clone(), self.sums);
            }
        }
        if last > 0 {
            for (i, panel) in self.panels.clone().enumerate() {
                finish(isa, self, panel, self.sums.wrapping_add(i * LANES * self.pitch));
            }
        }
    }

    /// Groups of up to 16 pixels: the first of each, counted in the block and in all, and how many.
    fn vectors(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let Range { start, end } = self.pixels;
        (0..end - start)
            .step_by(LANES)
            .map(move |first| (first, start + first, (end - start - first).min(LANES)))
    }
}

simd_fn! {
    /// Most vectors of pixels in a block: sums leave registers for the operands.
    fn most_vectors(s: Simd, group: usize) -> usize {
        let _ = s;
        let most = if group == 1 { S::REGISTERS * 2 / 3 } else { S::REGISTERS / (group + 1) };
        most.clamp(1, MOST_VECTORS)
    }
}

simd_fn! {
    /// Writes input channels as rows of the tile. Pixels that are missing in a vector are the last one
    /// again, whose results nobody stores.
    #[inline(never)]
    fn transpose(s: Simd, block: &Block<'_>, channels: Range<usize>) {
        let Job { x, lda, .. } = *block.job;
        for (first, pixel, count) in block.vectors() {
            for channel in channels.clone().step_by(LANES) {
                let from = x[pixel * lda + channel..].as_ptr();
                let to = block.tile.wrapping_add((channel - channels.start) * block.pitch + first);
                let width = channels.end - channel;
                // SAFETY: the tile has whole vectors of rows and of pixels; the operands have been
                // checked to hold these channels of `count` pixels.
                unsafe {
                    if count == LANES && width >= LANES {
                        s.transpose(from, lda, to, block.pitch);
                    } else {
                        let (mut copy, mask) = ([0.0f32; LANES * LANES], s.first(width));
                        for (i, copy) in copy.chunks_exact_mut(LANES).enumerate() {
                            let pixel = from.add(i.min(count - 1) * lda);
                            s.store(copy.as_mut_ptr(), s.load_first(pixel, mask));
                        }
                        s.transpose(copy.as_ptr(), LANES, to, block.pitch);
                    }
                }
            }
        }
    }
}

simd_fn! {
    /// Adds the products of a block of input channels to the sums of some panels, the first of them at
    /// `sums`; those of the first block begin with the bias.
    #[inline(never)]
    fn add(s: Simd, block: &Block<'_>, channels: usize, panels: Range<usize>, sums: *mut f32) {
        macro_rules! counts {
            ($group:expr; $($nv:literal)*) => {
                match block.pitch / LANES {
                    $($nv => add_groups::<_, $nv, { $group }>(s, block, channels, panels, sums),)*
                    _ => unreachable!("a block has at most {MOST_VECTORS} vectors"),
                }
            };
        }
        if block.job.weights.group() == SHARED {
            counts!(SHARED; 1 2 3 4 5 6);
        } else {
            counts!(1; 1 2 3 4 5 6 7 8);
        }
    }
}

/// As [`add`], with `NV` vectors of pixels and groups of `G` outputs.
#[inline(always)]
fn add_groups<S: Simd, const NV: usize, const G: usize>(
    s: S,
    block: &Block,
    channels: usize,
    panels: Range<usize>,
    sums: *mut f32,
) {
    let weights = block.job.weights;
    for (i, panel) in panels.enumerate() {
        let (places, values) = weights.panel(channels, panel);
        let mut at = (places.as_ptr(), values.as_ptr());
        let sums = sums.wrapping_add(i * LANES * NV * LANES);
        for (g, &count) in weights.counts(channels, panel).iter().enumerate() {
            let (count, sums) = (usize::from(count), sums.wrapping_add(g * G * NV * LANES));
            // SAFETY: there are as many places and weights as the counts of the panel say, and a row
            // of sums for each output.
            unsafe {
                let start = if channels == 0 {
                    biases(s, block.job.epilogue.bias, panel * LANES + g * G)
                } else {
                    load(s, sums)
                };
                store(s, sums, accumulate::<S, NV, G>(s, block.tile, at, count, start));
            }
            at = (at.0.wrapping_add(count), at.1.wrapping_add(count * G));
        }
    }
}

/// The biases of a group from `output` on.
#[inline(always)]
fn biases<S: Simd, const NV: usize, const G: usize>(
    s: S,
    bias: Option<&[f32]>,
    output: usize,
) -> [[S::V; NV]; G] {
    let mut sums = [[s.splat(0.0); NV]; G];
    for g in 0..G {
        let bias = bias.and_then(|bias| bias.get(output + g));
        sums[g] = [s.splat(bias.copied().unwrap_or(0.0)); NV];
    }
    sums
}

simd_fn! {
    /// Stores the outputs of a panel, whose sums are rows of pixels.
    #[inline(never)]
    fn finish(s: Simd, block: &Block<'_>, panel: usize, sums: *const f32) {
        let Job { ldc, epilogue, .. } = *block.job;
        let column = panel * LANES;
        let mask = s.first(block.job.weights.n() - column);
        let usual = epilogue.usual();
        for (first, pixel, count) in block.vectors() {
            let mut rows = [0.0f32; LANES * LANES];
            // SAFETY: there are sums of 16 outputs and whole vectors of pixels.
            unsafe {
                s.transpose(sums.wrapping_add(first), block.pitch, rows.as_mut_ptr(), LANES);
            }
            let out = block.job.out.at(pixel * ldc);
            macro_rules! each {
                (|$i:ident, $y:ident| $body:expr) => {
                    for ($i, row) in rows.chunks_exact(LANES).take(count).enumerate() {
                        // SAFETY: the pixels are those of this block, the mask ends with the outputs,
                        // and all operands have been checked to hold these.
                        unsafe {
                            let $y = s.load(row.as_ptr());
                            $body
                        }
                    }
                };
            }
            match usual {
                Some(Usual::Clamp((lo, hi))) => {
                    let (lo, hi, out) = (s.splat(lo), s.splat(hi), out.wrapping_add(column));
                    each!(|i, y| s.store_first(out.wrapping_add(i * ldc), s.clamp(y, lo, hi), mask));
                }
                Some(Usual::Residual((x, stride), (lo, hi))) => {
                    let (lo, hi, out) = (s.splat(lo), s.splat(hi), out.wrapping_add(column));
                    let x = x.as_ptr().wrapping_add(pixel * stride + column);
                    each!(|i, y| {
                        let y = s.add(y, s.load_first(x.wrapping_add(i * stride), mask));
                        s.store_first(out.wrapping_add(i * ldc), s.clamp(y, lo, hi), mask);
                    });
                }
                _ => each!(|i, y| {
                    epilogue.finish(s, y, pixel + i, column, out.wrapping_add(i * ldc), mask);
                }),
            }
        }
    }
}

/// Adds the products of `count` rows of the tile, by their distances, and the weights of a group, both
/// from `at` on.
///
/// # Safety
/// There must be as many distances and weights, and a whole tile.
#[inline(always)]
unsafe fn accumulate<S: Simd, const NV: usize, const G: usize>(
    s: S,
    tile: *const f32,
    at: (*const u8, *const f32),
    count: usize,
    mut acc: [[S::V; NV]; G],
) -> [[S::V; NV]; G] {
    let mut place = 0;
    for i in 0..count {
        // SAFETY: by contract; however far the next place is, the remainder is inside of the tile.
        unsafe {
            place = (place + usize::from(*at.0.add(i))) % BLOCK;
            let row = tile.add(place * NV * LANES);
            let mut weights = [s.splat(0.0); G];
            for g in 0..G {
                weights[g] = s.splat(*at.1.add(i * G + g));
            }
            for v in 0..NV {
                let x = s.load(row.add(v * LANES));
                for g in 0..G {
                    acc[g][v] = s.fma(weights[g], x, acc[g][v]);
                }
            }
        }
    }
    acc
}

/// Rows of sums.
///
/// # Safety
/// `sums` must be valid for reads of all.
#[inline(always)]
unsafe fn load<S: Simd, const NV: usize, const G: usize>(
    s: S,
    sums: *const f32,
) -> [[S::V; NV]; G] {
    let mut acc = [[s.splat(0.0); NV]; G];
    for g in 0..G {
        for v in 0..NV {
            // SAFETY: by contract.
            acc[g][v] = unsafe { s.load(sums.add((g * NV + v) * LANES)) };
        }
    }
    acc
}

/// Writes rows of sums.
///
/// # Safety
/// `sums` must be valid for writes of all.
#[inline(always)]
unsafe fn store<S: Simd, const NV: usize, const G: usize>(
    s: S,
    sums: *mut f32,
    acc: [[S::V; NV]; G],
) {
    for g in 0..G {
        for v in 0..NV {
            // SAFETY: by contract.
            unsafe { s.store(sums.add((g * NV + v) * LANES), acc[g][v]) };
        }
    }
}

//! Whole convolutions.

use super::rows::conv_row;
use super::runs::{ChannelRuns, Runs};
use super::{ConvShape, ConvWeights};
use crate::gemm::{Left, Out, PackedB, RESIDENT, gemm, multiply, part};
use crate::pool::SharedMut;
use crate::{Ctx, Epilogue, Isa};
use std::ops::Range;

/// Floats of a block of the padded input: a quarter of a second-level cache.
const BLOCK: usize = 64 * 1024;

/// Kernel rows whose slices need no memory but the stack.
const FEW: usize = 32;

/// Multiply-adds that are worth handing out a task.
const TASK: usize = 100_000;

/// Floats of scratch memory that [`conv`] needs on `threads` threads.
pub fn conv_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    let plan = Plan::new(shape, threads);
    if plan.by_blocks && plan.copies() { plan.tasks * plan.copy_len() } else { 0 }
}

/// `out[n, oh, ow, cout] = epilogue(convolution of x[n, h, w, cin])`, with weights from
/// [`ConvWeights::pack`] or [`ConvWeights::pack_shuffled`] and at least [`conv_scratch_len`] floats
/// of scratch memory.
///
/// # Panics
/// If a slice has another size than the shape says, or `scratch` is too small.
pub fn conv(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &ConvWeights,
    out: &mut [f32],
    scratch: &mut [f32],
    epilogue: &Epilogue,
) {
    shape.check();
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(out.len(), epilogue.width(shape.out_len()), "output of {shape:?}");
    assert!(weights.fit(shape), "weights were packed for another use than {shape:?}");
    epilogue.check(shape.out_pixels(), shape.cout);
    if out.is_empty() {
        return;
    }
    if shape.is_pointwise() && weights.shuffle() == 1 {
        return pointwise(ctx, shape, x, weights, out, epilogue);
    }
    let plan = Plan::new(shape, ctx.pool.threads());
    if plan.by_blocks {
        plan.run(ctx, x, weights, out, scratch, epilogue);
    } else {
        row_by_row(ctx, &plan, x, weights, out, epilogue);
    }
}

/// Products as they stand, one per group.
fn pointwise(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &ConvWeights,
    out: &mut [f32],
    epilogue: &Epilogue,
) {
    for group in 0..shape.groups {
        let column = group * shape.cout_per_group();
        let (b, x) = (weights.group(group), &x[group * shape.cin_per_group()..]);
        let out = &mut out[epilogue.width(column)..];
        let ldc = epilogue.width(shape.cout);
        gemm(ctx, shape.out_pixels(), x, shape.cin, b, out, ldc, &epilogue.columns_from(column));
    }
}

/// [`conv_row`] for every row, an even share of them on each thread.
fn row_by_row(
    ctx: Ctx,
    plan: &Plan,
    x: &[f32],
    weights: &ConvWeights,
    out: &mut [f32],
    epilogue: &Epilogue,
) {
    let shape = plan.shape;
    let (all, stride) = (shape.n * shape.oh, epilogue.width(shape.cout));
    let (image_len, row_len) = (shape.h * shape.w * shape.cin, shape.w * shape.cin);
    let out = SharedMut::new(out);
    ctx.pool.for_each(plan.tasks, &|task| {
        let (mut few, mut many) = ([&x[..0]; FEW], vec![]);
        let rows = if shape.kh <= FEW {
            &mut few[..shape.kh]
        } else {
            many.resize(shape.kh, &x[..0]);
            &mut many[..]
        };
        for row in part(all, task, plan.tasks) {
            let image = &x[row / shape.oh * image_len..][..image_len];
            for (ky, slice) in rows.iter_mut().enumerate() {
                let y = plan.input_row(row % shape.oh, ky);
                *slice = y.map_or(&x[..0], |y| &image[y * row_len..][..row_len]);
            }
            // SAFETY: this row belongs to this task alone.
            let out = unsafe { out.range(row * shape.ow * stride, shape.ow * stride) };
            let epilogue = &epilogue.rows_from(row * shape.ow);
            conv_row(ctx.isa, shape, rows, shape.cin, weights, out, stride, epilogue);
        }
    });
}

/// How a convolution is cut into tasks and blocks, from its shape.
struct Plan<'a> {
    shape: &'a ConvShape,
    /// Blocks of rows pass the weights, which are too large to be read for every row.
    by_blocks: bool,
    /// Tasks share out the columns of the result instead of its rows.
    by_columns: bool,
    tasks: usize,
    /// Output rows of a block.
    rows: usize,
}

impl Plan<'_> {
    fn new(shape: &ConvShape, threads: usize) -> Plan<'_> {
        let (rows, panels) = (shape.n * shape.oh, PackedB::panels_of(shape.cout_per_group()));
        let mut plan = Plan { shape, by_blocks: true, by_columns: false, tasks: 1, rows: 1 };
        plan.by_blocks = shape.k() * shape.cout_per_group() > RESIDENT && shape.kh > 1;
        plan.by_columns = plan.by_blocks && shape.cout_per_group() > shape.out_pixels();
        let most = if plan.by_columns { panels } else { rows };
        plan.tasks = threads.min(most).min(shape.macs() / TASK).max(1);
        // One row more of the output takes `sh` rows more of the input.
        let row = (plan.columns() * shape.cin * shape.sh).max(1);
        let reach = (shape.kh - 1) * shape.dh + 1;
        plan.rows = (BLOCK / row).saturating_sub(reach / shape.sh).clamp(1, shape.oh.max(1));
        plan
    }

    /// The input row that kernel row `ky` meets for output row `oy`.
    fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        let y = (oy * self.shape.sh + ky * self.shape.dh).checked_sub(self.shape.pt)?;
        (y < self.shape.h).then_some(y)
    }

    /// Whether some pixel's kernel hangs over the end of a row.
    fn copies(&self) -> bool {
        self.shape.interior() != (0..self.shape.ow)
    }

    /// Columns of the input with its padding that a row of the output reads.
    fn columns(&self) -> usize {
        let shape = self.shape;
        shape.ow.saturating_sub(1) * shape.sw + (shape.kw - 1) * shape.dw + 1
    }

    /// Floats of the copy of what a block reads.
    fn copy_len(&self) -> usize {
        let shape = self.shape;
        let rows = (self.rows - 1) * shape.sh + (shape.kh - 1) * shape.dh + 1;
        rows.min(shape.h) * self.columns() * shape.cin
    }

    fn run(
        &self,
        ctx: Ctx,
        x: &[f32],
        weights: &ConvWeights,
        out: &mut [f32],
        scratch: &mut [f32],
        epilogue: &Epilogue,
    ) {
        let shape = self.shape;
        let len = if self.copies() { self.copy_len() } else { 0 };
        let (scratch, out) =
            (SharedMut::new(&mut scratch[..len * self.tasks]), SharedMut::new(out));
        ctx.pool.for_each(self.tasks, &|task| {
            // SAFETY: this part of the scratch memory belongs to this task alone.
            let copy = unsafe { scratch.range(task * len, len) };
            let all = 0..PackedB::panels_of(shape.cout_per_group());
            let (rows, panels) = if self.by_columns {
                (0..shape.n * shape.oh, part(all.end, task, self.tasks))
            } else {
                (part(shape.n * shape.oh, task, self.tasks), all)
            };
            let mut first = rows.start;
            while first < rows.end {
                let (image, oy) = (first / shape.oh, first % shape.oh);
                let count = self.rows.min(shape.oh - oy).min(rows.end - first);
                let image_len = shape.h * shape.w * shape.cin;
                let block = Block {
                    plan: self,
                    x: &x[image * image_len..][..image_len],
                    rows: oy..oy + count,
                    pixel: first * shape.ow,
                    out: out.at(first * shape.ow * epilogue.width(shape.cout)),
                    epilogue,
                };
                block.multiply(ctx.isa, weights, panels.clone(), copy);
                first += count;
            }
        });
    }
}

/// Output rows of an image that pass the weights together.
struct Block<'a> {
    plan: &'a Plan<'a>,
    /// The image.
    x: &'a [f32],
    rows: Range<usize>,
    /// The first pixel of the block, counted over all images.
    pixel: usize,
    /// Where that pixel goes.
    out: *mut f32,
    epilogue: &'a Epilogue<'a>,
}

impl Block<'_> {
    fn multiply(&self, isa: Isa, weights: &ConvWeights, panels: Range<usize>, copy: &mut [f32]) {
        let shape = self.plan.shape;
        let inputs = self.inputs();
        let (source, first, width) = if self.plan.copies() {
            self.copy(&inputs, copy);
            (&*copy, inputs.start, self.plan.columns())
        } else {
            (self.x, 0, shape.w)
        };
        let ldc = self.epilogue.width(shape.cout);
        for group in 0..shape.groups {
            let channels = ChannelRuns::new(shape, group, weights.shuffle());
            let column = group * shape.cout_per_group();
            let epilogue = self.epilogue.columns_from(column).rows_from(self.pixel);
            for panel in panels.clone() {
                for (i, oy) in self.rows.clone().enumerate() {
                    let mut runs = Runs::new();
                    for ky in 0..shape.kh {
                        if let Some(y) = self.plan.input_row(oy, ky) {
                            let at = source[(y - first) * width * shape.cin..].as_ptr();
                            let row = ky * shape.kw * shape.cin_per_group();
                            runs.push_taps(shape, &channels, at, shape.cin, 0..shape.kw, row);
                        }
                    }
                    let left = Left {
                        runs: runs.list(),
                        lda: shape.sw * shape.cin,
                        rows: shape.ow,
                        turn: (i, self.rows.len()),
                    };
                    let first = i * shape.ow;
                    let at = self.out.wrapping_add(first * ldc + self.epilogue.width(column));
                    let epilogue = &epilogue.rows_from(first);
                    let out = Out { at, ldc, far: false, epilogue };
                    // SAFETY: `conv` has checked the slices, and all taps that are not left out lie in
                    // the source; these rows and panels of the output belong to this task alone.
                    unsafe { multiply(isa, left, panel..panel + 1, weights.group(group), out) };
                }
            }
        }
    }

    /// The input rows that the block reads.
    fn inputs(&self) -> Range<usize> {
        let shape = self.plan.shape;
        let start = (self.rows.start * shape.sh).saturating_sub(shape.pt).min(shape.h);
        let last = (self.rows.end - 1) * shape.sh + (shape.kh - 1) * shape.dh + 1;
        start..last.saturating_sub(shape.pt).clamp(start, shape.h)
    }

    /// Copies input rows with the columns of zeros at their ends.
    fn copy(&self, inputs: &Range<usize>, copy: &mut [f32]) {
        let (shape, columns) = (self.plan.shape, self.plan.columns());
        let before = shape.pl.min(columns);
        let end = (shape.w + shape.pl).clamp(before, columns);
        for (y, copy) in inputs.clone().zip(copy.chunks_exact_mut(columns * shape.cin)) {
            copy[..before * shape.cin].fill(0.0);
            copy[end * shape.cin..].fill(0.0);
            let row = &self.x[y * shape.w * shape.cin..][..(end - before) * shape.cin];
            copy[before * shape.cin..end * shape.cin].copy_from_slice(row);
        }
    }
}

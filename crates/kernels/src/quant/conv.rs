//! 8-bit convolutions, row by row on the register tile of products.

mod block;
mod row;
mod runs;

use std::mem::MaybeUninit;
use std::ops::Range;

use super::finish::Finish;
use super::product::{Out, Pads, RESIDENT, Sink};
use super::{ConvWeights, Output};
use crate::conv::ConvShape;
use crate::gemm::part;
use crate::input_rows::holds;
use crate::{Ctx, Isa};
use block::{Blocks, rows_of_block};
use row::Row;
pub(super) use runs::Runs;

/// Kernel rows whose slices need no memory but the stack.
const FEW: usize = 32;

/// Multiply-adds that are worth handing out a task.
const TASK: usize = 400_000;

/// Convolution of the image batch `x` `[n, h, w, cin]`, pixels `x_stride` bytes apart; the output is
/// `[n, oh, ow, cout]`, pixels `ldc` elements apart.
///
/// # Panics
/// If a slice does not have the size that `shape` says, or the weights are of another shape.
pub fn conv(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[u8],
    x_stride: usize,
    weights: &ConvWeights,
    output: Output,
    ldc: usize,
) {
    let s = shape;
    s.check();
    assert!(x_stride >= s.cin, "pixels of {} bytes overlap at stride {x_stride}", s.cin);
    assert!(holds(x.len(), s.in_pixels(), x_stride, s.cin), "the image is smaller than {s:?}");
    assert!(weights.fit(s), "weights were packed for another use than {s:?}");
    if let (true, Some(matrix)) = (s.is_pointwise(), weights.plain()) {
        return super::gemm(ctx, s.out_pixels(), x, x_stride, matrix, output, ldc);
    }
    output.check(s.out_pixels(), s.cout, ldc);
    if s.out_len() == 0 {
        return;
    }
    let (sink, threads) = (output.share(), ctx.pool.threads());
    let out = || Out { sink: sink.sink(), ldc, channel: 0, pads: None };
    let (all, block) = (s.n * s.oh, rows_of_block(s, weights));
    let panels = weights.group(0).panels();
    let by_columns = block > 0 && weights.bytes() > RESIDENT && s.cout_per_group() > s.out_pixels();
    let most = if by_columns { panels } else { all };
    let tasks = threads.min(most).min((s.macs() / TASK).max(1));
    ctx.pool.for_each(tasks, &|task| {
        let share = part(most, task, tasks);
        if block == 0 {
            // SAFETY: the output has been checked, and these rows belong to this task alone.
            return unsafe { row_by_row(ctx.isa, s, x, x_stride, weights, out(), share) };
        }
        let (rows, panels) = if by_columns { (0..all, share) } else { (share, 0..panels) };
        let blocks = Blocks { isa: ctx.isa, shape: s, x, x_stride, weights, out: out() };
        let mut first = rows.start;
        while first < rows.end {
            let (image, y) = (first / s.oh, first % s.oh);
            let count = block.min(s.oh - y).min(rows.end - first);
            // SAFETY: as above, and these panels.
            unsafe { blocks.compute(image, y..y + count, panels.clone()) };
            first += count;
        }
    });
}

/// Output rows `rows` of all images, where a block would be too large.
///
/// # Safety
/// As [`compute`].
unsafe fn row_by_row(
    isa: Isa,
    s: &ConvShape,
    x: &[u8],
    x_stride: usize,
    weights: &ConvWeights,
    out: Out,
    rows: Range<usize>,
) {
    let (mut few, mut many) = ([&x[..0]; FEW], vec![]);
    let slices = if s.kh <= FEW {
        &mut few[..s.kh]
    } else {
        many.resize(s.kh, &x[..0]);
        &mut many[..]
    };
    for row in rows {
        for (ky, slice) in slices.iter_mut().enumerate() {
            // In the padding it wraps far beyond the height.
            let y = (row % s.oh * s.sh + ky * s.dh).wrapping_sub(s.pt);
            *slice = &x[..0];
            if let (true, Some(last)) = (y < s.h, s.w.checked_sub(1)) {
                let first = (row / s.oh * s.h + y) * s.w * x_stride;
                *slice = &x[first..][..last * x_stride + s.cin];
            }
        }
        // SAFETY: by contract.
        unsafe { compute(isa, s, slices, x_stride, weights, out.rows_from(row * s.ow)) };
    }
}

/// One output row of an image, on the calling thread.
///
/// `rows[ky]` is the input row that kernel row `ky` meets, its pixels `x_stride` bytes apart, from
/// the first channel on; an empty slice where it lies in the padding. `out` is a row of `shape.ow`
/// pixels `out_stride` bytes apart; pixel i is row i of the matrices of `finish`. The bytes are those
/// of [`conv`] with the same weights.
///
/// # Panics
/// If the weights are of another shape, or a slice is shorter than all this says.
pub fn conv_row(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[u8]],
    x_stride: usize,
    weights: &ConvWeights,
    out: &mut [u8],
    out_stride: usize,
    finish: &Finish,
) {
    shape.check();
    assert!(weights.fit(shape), "weights were packed for another use than {shape:?}");
    assert_eq!(rows.len(), shape.kh, "input rows of {shape:?}");
    let width = finish.width(shape.cout);
    assert!(out_stride >= width, "output pixels overlap");
    if shape.ow == 0 || shape.cout == 0 {
        return;
    }
    let fits = |row: &&[u8]| row.is_empty() || holds(row.len(), shape.w, x_stride, shape.cin);
    assert!(rows.iter().all(fits), "an input row is shorter than {shape:?} says");
    assert!(holds(out.len(), shape.ow, out_stride, width), "the output row is too short");
    finish.check(shape.ow, shape.cout);
    let sink = Sink::U8(out.as_mut_ptr(), *finish);
    let out = Out { sink, ldc: out_stride, channel: 0, pads: None };
    // SAFETY: all has been checked, and the output is borrowed.
    unsafe { compute(isa, shape, rows, x_stride, weights, out) };
}

/// All groups of an output row.
///
/// # Safety
/// The slices must be long enough, the output too and nobody else's.
unsafe fn compute(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[u8]],
    x_stride: usize,
    weights: &ConvWeights,
    out: Out,
) {
    let padded = rows.iter().any(|row| row.is_empty());
    let pads = padded.then_some(Pads { sums: weights.pads(), rows });
    let mut copy = MaybeUninit::uninit();
    for group in 0..shape.groups {
        let out = Out { pads, ..out.columns_from(group * shape.cout_per_group()) };
        let row = Row {
            isa,
            shape,
            rows,
            x_stride,
            channels: weights.channels(shape, group),
            weights: weights.group(group),
            pad: weights.zero_point(),
            out: &out,
        };
        // SAFETY: by contract.
        unsafe { row.compute(0..weights.group(group).panels(), &mut copy) };
    }
}

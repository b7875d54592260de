//! 8-bit convolutions, row by row on the register tile of products.

mod row;
mod runs;

use std::mem::MaybeUninit;

use super::finish::Finish;
use super::product::{Out, Pads, Sink};
use super::{ConvWeights, Output};
use crate::conv::ConvShape;
use crate::gemm::part;
use crate::input_rows::holds;
use crate::{Ctx, Isa};
pub(super) use row::RESIDENT;
use row::Row;
pub(super) use runs::Runs;

/// Kernel rows whose slices need no memory but the stack.
const FEW: usize = 32;

/// Multiply-adds that are worth handing out a task.
const TASK: usize = 400_000;

/// Convolution of the image batch `x` `[n, h, w, cin]`; the output is `[n, oh, ow, cout]`.
///
/// # Panics
/// If a slice does not have the size that `shape` says, or the weights are of another shape.
pub fn conv(ctx: Ctx, shape: &ConvShape, x: &[u8], weights: &ConvWeights, output: Output) {
    let s = shape;
    s.check();
    assert_eq!(x.len(), s.in_len(), "the image has another size");
    assert!(weights.fit(s), "weights were packed for another use than {s:?}");
    if let (true, Some(matrix)) = (s.is_pointwise(), weights.plain()) {
        let ldc = output.width(s.cout);
        return super::gemm(ctx, s.out_pixels(), x, s.cin, matrix, output, ldc);
    }
    let stride = output.width(s.cout);
    output.check(s.out_pixels(), s.cout, stride);
    if s.out_len() == 0 {
        return;
    }
    let sink = output.share();
    let (all, row_len) = (s.n * s.oh, s.w * s.cin);
    let tasks = ctx.pool.threads().min(all).min((s.macs() / TASK).max(1));
    ctx.pool.for_each(tasks, &|task| {
        let (mut few, mut many) = ([&x[..0]; FEW], vec![]);
        let rows = if s.kh <= FEW {
            &mut few[..s.kh]
        } else {
            many.resize(s.kh, &x[..0]);
            &mut many[..]
        };
        for row in part(all, task, tasks) {
            let image = &x[row / s.oh * s.h * row_len..][..s.h * row_len];
            for (ky, slice) in rows.iter_mut().enumerate() {
                // In the padding it wraps far beyond the height.
                let y = (row % s.oh * s.sh + ky * s.dh).wrapping_sub(s.pt);
                *slice = if y < s.h { &image[y * row_len..][..row_len] } else { &x[..0] };
            }
            let out = Out { sink: sink.sink(), ldc: stride, channel: 0, pads: None };
            // SAFETY: the output has been checked, and this row belongs to this task alone.
            unsafe { compute(ctx.isa, s, rows, s.cin, weights, out.rows_from(row * s.ow)) };
        }
    });
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

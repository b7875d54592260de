//! Depthwise convolution of whole tensors.

use super::DepthwiseWeights;
use super::rows::Lines;
use crate::gemm::{outweighs, part};
use crate::input_rows::Rows;
use crate::pool::SharedMut;
use crate::simd::LANES;
use crate::{ConvShape, Ctx, Epilogue};
use std::ops::Range;

pub(super) fn check(shape: &ConvShape, x: &[f32], out: &[f32]) {
    shape.check();
    assert!(shape.is_depthwise(), "not depthwise: {shape:?}");
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(out.len(), shape.out_len(), "output of {shape:?}");
}

/// Most rows of a task: few enough to share out, enough to read most rows of the input once.
const TASK_ROWS: usize = 8;

/// `out[n, oh, ow, c] = epilogue(sum over taps of x[n, h, w, c] * weights[kh, kw, c])`, with
/// weights from [`DepthwiseWeights::pack`]. Threads take bands of rows, or of channels where there
/// are too few rows.
///
/// # Panics
/// If the shape is not depthwise or an operand has another size than it says.
pub fn depthwise(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &DepthwiseWeights,
    out: &mut [f32],
    epilogue: &Epilogue,
) {
    check(shape, x, out);
    weights.check(shape);
    epilogue.check(shape.out_pixels(), shape.cout);
    assert!(epilogue.interleave.is_none(), "a depthwise convolution does not interleave");
    if out.is_empty() {
        return;
    }
    let (rows, blocks, threads) =
        (shape.n * shape.oh, shape.cin.div_ceil(LANES), ctx.pool.threads());
    // As the expansion before it, from about a sixth of the channels, so that a thread finds its
    // own results in its cache.
    let as_columns = outweighs(shape.n * shape.h * shape.w, shape.cin / 6, shape.cin);
    let (bands, parts) = if rows < threads || as_columns {
        (1, threads.min(blocks))
    } else {
        (rows.div_ceil(TASK_ROWS).next_multiple_of(threads).min(rows), 1)
    };
    let out = SharedMut::new(out);
    ctx.pool.for_each(bands * parts, &|task| {
        let blocks = part(blocks, task % parts, parts);
        let band = Band {
            rows: part(rows, task / parts, bands),
            channels: blocks.start * LANES..(blocks.end * LANES).min(shape.cin),
        };
        band.compute(ctx, shape, x, weights, &out, epilogue);
    });
}

/// What a task computes.
struct Band {
    /// Rows of all images, counted through.
    rows: Range<usize>,
    channels: Range<usize>,
}

impl Band {
    fn compute(
        &self,
        ctx: Ctx,
        shape: &ConvShape,
        x: &[f32],
        weights: &DepthwiseWeights,
        out: &SharedMut<f32>,
        epilogue: &Epilogue,
    ) {
        if self.channels.is_empty() {
            return;
        }
        let image_len = shape.h * shape.w * shape.cin;
        let mut row = self.rows.start;
        while row < self.rows.end {
            let (image, oy) = (row / shape.oh, row % shape.oh);
            let pair =
                shape.sh == 1 && shape.dh == 1 && oy + 1 < shape.oh && row + 1 < self.rows.end;
            let pixel = row * shape.ow;
            let next = pixel + if pair { shape.ow } else { 0 };
            let lines = Lines {
                shape,
                rows: Rows::Image {
                    x: &x[image * image_len..(image + 1) * image_len],
                    row_len: shape.w * shape.cin,
                    first: (oy * shape.sh) as isize - shape.pt as isize,
                    step: shape.dh,
                },
                x_stride: shape.cin,
                weights,
                count: 1 + usize::from(pair),
                outs: [pixel, next].map(|pixel| out.at(pixel * shape.cout)),
                out_stride: shape.cout,
                epilogues: [pixel, next].map(|pixel| epilogue.rows_from(pixel)),
                channels: self.channels.clone(),
            };
            // SAFETY: the operands have been checked, and these channels of these rows belong to
            // this task alone.
            unsafe { lines.compute(ctx.isa) };
            row += lines.count;
        }
    }
}

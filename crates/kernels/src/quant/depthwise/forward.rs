//! Depthwise convolution of whole tensors.

use super::DepthwiseWeights;
use super::rows::Lines;
use crate::gemm::{outweighs, part};
use crate::input_rows::Rows;
use crate::pool::SharedMut;
use crate::quant::Finish;
use crate::{ConvShape, Ctx};
use std::ops::Range;

/// Most rows of a task: few enough to share out, enough to read most rows of the input once.
const TASK_ROWS: usize = 8;

/// Channels of a task are whole blocks of this many.
const BLOCK: usize = 64;

/// Depthwise convolution of the image batch `x` `[n, h, w, c]` into `y` `[n, oh, ow, c]`, with
/// weights from [`DepthwiseWeights::pack`]. Threads take bands of rows, or of channels where there
/// are too few rows. Pixel i of the batch is row i of `finish`.
///
/// # Panics
/// If the shape is not depthwise or an operand has another size than it says.
pub fn depthwise(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[u8],
    weights: &DepthwiseWeights,
    y: &mut [u8],
    finish: &Finish,
) {
    let c = shape.cout;
    shape.check();
    assert!(weights.fit(shape), "weights of another shape than {shape:?}");
    assert_eq!(x.len(), shape.in_len(), "the image has another size");
    assert_eq!(y.len(), shape.out_len(), "the output has another size");
    finish.check(shape.out_pixels(), c);
    assert!(finish.interleave.is_none(), "a depthwise convolution does not interleave");
    if y.is_empty() {
        return;
    }
    let (rows, blocks, threads) = (shape.n * shape.oh, c.div_ceil(BLOCK), ctx.pool.threads());
    // As the expansion before it, from about a sixth of the channels, so that a thread finds its
    // own results in its cache.
    let as_columns = outweighs(shape.n * shape.h * shape.w, c / 6, c);
    let (bands, parts) = if rows < threads || (as_columns && blocks >= threads) {
        (1, threads.min(blocks))
    } else {
        (rows.div_ceil(TASK_ROWS).next_multiple_of(threads).min(rows), 1)
    };
    // Two rows at once cost less than two rows.
    let units = if shape.n == 1 { rows.div_ceil(weights.rows()) } else { rows };
    let unit = rows.div_ceil(units);
    let bands = bands.min(units);
    let rows_of = |band: usize| {
        let units = part(units, band, bands);
        units.start * unit..(units.end * unit).min(rows)
    };
    let out = SharedMut::new(y);
    ctx.pool.for_each(bands * parts, &|task| {
        let blocks = part(blocks, task % parts, parts);
        let band = Band {
            rows: rows_of(task / parts),
            channels: blocks.start * BLOCK..(blocks.end * BLOCK).min(c),
        };
        band.compute(ctx, shape, x, weights, &out, finish);
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
        x: &[u8],
        weights: &DepthwiseWeights,
        out: &SharedMut<u8>,
        finish: &Finish,
    ) {
        let image_len = shape.h * shape.w * shape.cin;
        let mut row = self.rows.start;
        while row < self.rows.end {
            let (image, oy) = (row / shape.oh, row % shape.oh);
            let pair = weights.rows() == 2 && oy + 1 < shape.oh && row + 1 < self.rows.end;
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
                finishes: [pixel, next].map(|pixel| finish.rows_from(pixel)),
                channels: self.channels.clone(),
            };
            // SAFETY: the operands have been checked, and these channels of these rows belong to
            // this task alone.
            unsafe { lines.compute(ctx.isa) };
            row += lines.count;
        }
    }
}

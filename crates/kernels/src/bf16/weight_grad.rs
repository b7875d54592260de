//! The gradient of a convolution's weights: a product of inputs and output gradients that sums over
//! pixels.
//!
//! On tiles ([`Kind::Amx`]) pixels are the products of a tile instruction, 32 at a time: both operands
//! are rounded in pairs of pixels, and the one with fewer channels is turned round as well, because
//! the left tile wants its products side by side. Spans of pixels, whose number depends on the shape
//! only, sum into partial results of their own that are added in order, so threads change no bit.
//!
//! On other units rounded copies of the operands go through the float product ([`gemm_at_b`]).

use super::{Kind, Unit, round, trains};
use crate::conv::im2col;
use crate::gemm::{gemm_at_b, gemm_at_b_scratch_len, sum_partials};
use crate::pool::SharedMut;
use crate::simd::LANES;
use crate::{ConvShape, Ctx};
use std::ops::Range;

/// Pixels of a step: the products of a tile instruction.
pub(super) const STEP: usize = 32;

/// Words of a tile.
pub(super) const TILE: usize = 256;

/// Words of a cache line, to align by.
const LINE: usize = 16;

/// Tiles of both operands that are rounded at a time: an eighth of a second-level cache.
const BLOCK: usize = 256;

/// Pixels below which another span is not worth its partial result.
const SPAN: usize = 512;

/// Largest size of all partial results in floats.
const PARTIALS: usize = 1 << 20;

/// Floats of a block of rounded copies.
const COPIES: usize = 256 * 1024;

/// How the result is cut into tiles and the sum into spans.
#[derive(Clone, Copy)]
struct Layout {
    /// Tiles of each tap's input channels.
    per_tap: usize,
    /// Whether the output gradients are the left operand, so that the result is transposed.
    turned: bool,
    /// Tiles of the left and of the right operand.
    left: usize,
    right: usize,
    spans: usize,
    span: usize,
}

impl Layout {
    fn new(shape: &ConvShape) -> Layout {
        let per_tap = shape.cin.div_ceil(LANES);
        let (inputs, outputs) = (shape.kh * shape.kw * per_tap, shape.cout.div_ceil(LANES));
        let turned = outputs <= inputs;
        let (left, right) = if turned { (outputs, inputs) } else { (inputs, outputs) };
        let pixels = shape.out_pixels();
        let most = (PARTIALS / (left * right * TILE)).clamp(1, 16);
        let spans = pixels.div_ceil(SPAN).clamp(1, most);
        let span = pixels.div_ceil(spans).next_multiple_of(STEP);
        Layout { per_tap, turned, left, right, spans, span }
    }

    /// Floats from one row of a partial result to the next.
    fn width(&self) -> usize {
        self.right * LANES
    }

    /// Floats of a partial result.
    fn size(&self) -> usize {
        self.left * LANES * self.width()
    }

    /// Right tiles of a task, and how many tasks share out those of a span.
    fn groups(&self, threads: usize) -> (usize, usize) {
        let wanted = (4 * threads).div_ceil(self.spans);
        // Pairs of tiles, of which half a block has room.
        let most = (BLOCK / 2).min(self.right.div_ceil(wanted).next_multiple_of(2));
        (most, self.right.div_ceil(most))
    }

    /// Steps whose tiles are rounded at a time.
    fn steps(&self, group: usize) -> usize {
        (BLOCK / (self.left + group)).clamp(1, 16)
    }

    fn worker_len(&self, group: usize) -> usize {
        LINE + (self.left + group) * self.steps(group) * TILE
    }
}

fn copies(shape: &ConvShape) -> usize {
    (COPIES / (shape.k() + shape.cout).max(1)).max(256).min(shape.out_pixels())
}

/// Words of scratch memory that [`conv_backward_weight`] needs on `threads` threads.
pub fn conv_backward_weight_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    let layout = Layout::new(shape);
    let (group, _) = layout.groups(threads);
    let tiles = LINE + layout.spans * layout.size() + threads.max(1) * layout.worker_len(group);
    let (rows, k, n) = (copies(shape), shape.k(), shape.cout);
    tiles.max(rows * (k + n) + gemm_at_b_scratch_len(rows, k, n))
}

/// `dw[kh, kw, cin, cout]` from the input and the output gradient, both rounded.
///
/// # Panics
/// If the shape does not satisfy [`trains`], a slice has another size than it says, or `scratch` is
/// shorter than [`conv_backward_weight_scratch_len`].
pub fn conv_backward_weight(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut [f32],
) {
    assert!(trains(shape), "{shape:?} is not for bfloat16");
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(dy.len(), shape.out_len(), "output gradient of {shape:?}");
    assert_eq!(dw.len(), shape.weight_len(), "weights of {shape:?}");
    match Unit::of(ctx.isa).kind() {
        _ if shape.out_pixels() == 0 => dw.fill(0.0),
        Kind::Amx => on_tiles(ctx, shape, x, dy, dw, scratch),
        _ => on_copies(ctx, shape, x, dy, dw, scratch),
    }
}

/// Rounded copies in blocks, multiplied in float32.
fn on_copies(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut [f32],
) {
    let (block, k, n) = (copies(shape), shape.k(), shape.cout);
    let (rows, rest) = scratch.split_at_mut(block * k);
    let (gradients, partials) = rest.split_at_mut(block * n);
    for first in (0..shape.out_pixels()).step_by(block) {
        let count = block.min(shape.out_pixels() - first);
        let (rows, gradients) = (&mut rows[..count * k], &mut gradients[..count * n]);
        ctx.pool.for_each_chunk_mut(rows, 64 * k, |i, rows| {
            im2col(shape, x, 0, first + i * 64, rows);
            rows.iter_mut().for_each(|x| *x = round::nearest(*x));
        });
        ctx.pool.for_each_chunk_mut(gradients, 64 * n, |i, gradients| {
            let from = &dy[(first + i * 64) * n..];
            gradients.iter_mut().zip(from).for_each(|(g, x)| *g = round::nearest(*x));
        });
        gemm_at_b(ctx, count, rows, k, k, gradients, n, n, dw, n, partials, first > 0);
    }
}

fn on_tiles(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut [f32],
) {
    let layout = Layout::new(shape);
    let (group, groups) = layout.groups(ctx.pool.threads());
    let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>());
    let (partials, own) = scratch[start..].split_at_mut(layout.spans * layout.size());
    let (len, steps) = (layout.worker_len(group), layout.steps(group));
    {
        let (partials, own) = (SharedMut::new(&mut *partials), SharedMut::new(own));
        ctx.pool.for_each_worker(layout.spans * groups, &|worker, task| {
            let (span, first) = (task / groups, task % groups * group);
            let pixels = span * layout.span..((span + 1) * layout.span).min(shape.out_pixels());
            let columns = first..(first + group).min(layout.right);
            // SAFETY: no two tasks run with the same worker index at the same time.
            let own = unsafe { own.range(worker * len, len) };
            let out = partials.at(span * layout.size());
            // SAFETY: each task has its own columns of a span's partial result.
            unsafe { span_on_tiles(shape, &layout, (x, dy), pixels, columns, steps, own, out) };
        });
    }
    gather(ctx, shape, &layout, partials, dw);
}

/// The sum over `pixels` of the right tiles `columns`, written to `out`, a partial result; so many
/// `steps` are rounded at a time.
///
/// # Safety
/// The CPU must have AMX; nobody else may use these columns of `out` at the same time.
unsafe fn span_on_tiles(
    shape: &ConvShape,
    layout: &Layout,
    (x, dy): (&[f32], &[f32]),
    pixels: Range<usize>,
    columns: Range<usize>,
    steps: usize,
    scratch: &mut [f32],
    out: *mut f32,
) {
    #[cfg(target_arch = "x86_64")]
    {
        use super::amx_gradient::{Gradients, Inputs, Sums, sum};
        let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>());
        let words = scratch[start..].as_mut_ptr().cast::<u32>();
        let inputs = Inputs { shape, x, per_tap: layout.per_tap };
        let gradients = Gradients { dy, channels: shape.cout };
        let sums =
            Sums { words, left: layout.left, columns, steps, pixels, out, width: layout.width() };
        // SAFETY: by contract; the scratch memory holds the tiles of so many steps.
        unsafe {
            match layout.turned {
                true => sum(&sums, &gradients, &inputs),
                false => sum(&sums, &inputs, &gradients),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (shape, layout, x, dy, pixels, columns, steps, scratch, out);
        unreachable!("tiles are x86's");
    }
}

/// Adds up the partial results, spans in ascending order.
fn gather(ctx: Ctx, shape: &ConvShape, layout: &Layout, partials: &[f32], dw: &mut [f32]) {
    let (cin, n, width, size) = (shape.cin, shape.cout, layout.width(), layout.size());
    // Rows of the gradient that are neighbours in a tap.
    let rows = if cin.is_multiple_of(LANES) { LANES } else { cin };
    ctx.pool.for_each_chunk_mut(dw, rows * n, |task, dw| {
        let (tap, channel) = (task * rows / cin, task * rows % cin);
        let first = tap * layout.per_tap * LANES + channel;
        if !layout.turned {
            for (i, dw) in dw.chunks_exact_mut(n).enumerate() {
                sum_partials(ctx.isa, partials, size, (first + i) * width, dw, false);
            }
            return;
        }
        for from in (0..rows).step_by(LANES) {
            let count = (rows - from).min(LANES);
            for column in 0..n {
                let mut sums = [0.0f32; LANES];
                for partial in partials.chunks_exact(size) {
                    let part = &partial[column * width + first + from..][..count];
                    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += *x);
                }
                for (i, sum) in sums[..count].iter().enumerate() {
                    dw[(from + i) * n + column] = *sum;
                }
            }
        }
    });
}

//! Convolutions of whole images on all threads, and their input gradients.

use super::product::rows_scratch_len;
use super::{Unit, Weights, conv_row, fits, product, scratch_len};
use crate::conv::col2im;
use crate::pool::SharedMut;
use crate::{ConvShape, Ctx, Epilogue};

/// Most rows of a kernel.
const MAX_ROWS: usize = 16;

/// Input and output channels below which most of a tile would be filled with zeros.
const FEWEST_CHANNELS: usize = 16;

/// Multiply-adds that are worth handing out.
const TASK: usize = 1 << 18;

/// Floats of the rows that are multiplied at a time before they are added to an input gradient: a
/// quarter of a second-level cache.
const BLOCK: usize = 128 * 1024;

/// Whether a layer of this shape is trained in bfloat16: [`conv`] and its gradients take it, and its
/// products fill the units.
pub fn trains(shape: &ConvShape) -> bool {
    let back = shape.input_gradient_shape().is_none_or(|turned| fits(&turned));
    let channels = shape.cin.min(shape.cout);
    let dense = shape.groups == 1 && channels >= FEWEST_CHANNELS;
    dense && shape.kh <= MAX_ROWS && fits(shape) && back
}

/// Words of scratch memory that [`conv`] needs on `threads` threads.
pub fn conv_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    match shape.is_pointwise() {
        true => rows_scratch_len(shape.out_pixels(), shape.cin, shape.cout, threads),
        false => threads.max(1) * scratch_len(shape),
    }
}

/// `y[n, oh, ow, cout] = epilogue(x convolved with weights)`; `scratch` holds at least
/// [`conv_scratch_len`] words. The epilogue may have a bias and accumulate.
///
/// # Panics
/// If the shape does not satisfy [`trains`], or a slice has another size than it says.
pub fn conv(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[f32],
    weights: &Weights,
    y: &mut [f32],
    scratch: &mut [f32],
    epilogue: &Epilogue,
) {
    assert!(trains(shape), "{shape:?} is not for bfloat16");
    assert_eq!(x.len(), shape.in_len(), "input of {shape:?}");
    assert_eq!(y.len(), shape.out_len(), "output of {shape:?}");
    if shape.is_pointwise() {
        let (pixels, cin, cout) = (shape.out_pixels(), shape.cin, shape.cout);
        return product(ctx, pixels, x, cin, weights, y, cout, epilogue, scratch);
    }
    if y.is_empty() {
        return;
    }
    let (unit, len, width) = (Unit::of(ctx.isa), scratch_len(shape), shape.ow * shape.cout);
    let (lines, together) = (shape.n * shape.oh, (TASK / (width * shape.k()).max(1)).max(1));
    let (y, scratch) = (SharedMut::new(y), SharedMut::new(scratch));
    ctx.pool.for_each_worker(lines.div_ceil(together), &|worker, task| {
        // SAFETY: no two tasks run with the same worker index at the same time.
        let scratch = unsafe { scratch.range(worker * len, len) };
        for line in task * together..lines.min((task + 1) * together) {
            // SAFETY: each line belongs to one task.
            let y = unsafe { y.range(line * width, width) };
            let rows = input_rows(shape, x, line / shape.oh, line % shape.oh);
            let rows = &rows[..shape.kh];
            conv_row(unit, shape, rows, shape.cin, weights, y, shape.cout, epilogue, scratch);
        }
    });
}

/// The input rows that the kernel rows of output row `oy` meet, empty where they lie in the padding.
fn input_rows<'a>(
    shape: &ConvShape,
    x: &'a [f32],
    image: usize,
    oy: usize,
) -> [&'a [f32]; MAX_ROWS] {
    let len = shape.w * shape.cin;
    std::array::from_fn(|ky| {
        let iy = (oy * shape.sh + ky * shape.dh).checked_sub(shape.pt);
        match iy.filter(|&iy| iy < shape.h && ky < shape.kh) {
            Some(iy) => &x[(image * shape.h + iy) * len..][..len],
            None => &[],
        }
    })
}

/// Output pixels whose rows are multiplied at a time.
fn block_len(shape: &ConvShape) -> usize {
    (BLOCK / shape.k().max(1)).clamp(32, 4096).min(shape.oh * shape.ow)
}

/// The product that gives the rows of [`conv_backward_input`] for strides above 1.
fn rows_shape(shape: &ConvShape, pixels: usize) -> ConvShape {
    let product = ConvShape::new([1, 1, pixels, shape.cout], shape.k(), [1, 1], [1, 1], [0; 4]);
    product.expect("fewer than the pixels of a valid shape")
}

/// Words of scratch memory that [`conv_backward_input`] needs on `threads` threads.
pub fn conv_backward_input_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    match shape.input_gradient_shape() {
        Some(turned) => conv_scratch_len(&turned, threads),
        None => {
            let block = block_len(shape);
            threads.max(1) * (block * shape.k() + scratch_len(&rows_shape(shape, block)))
        }
    }
}

/// `dx[n, h, w, cin]` from `dy[n, oh, ow, cout]`, added to the old content if `accumulate`, with
/// weights from [`Weights::repack_for_input_gradient`]. Strides above 1 multiply first and add the
/// rows to the inputs that they came from, image by image.
///
/// # Panics
/// As [`conv`].
pub fn conv_backward_input(
    ctx: Ctx,
    shape: &ConvShape,
    dy: &[f32],
    weights: &Weights,
    dx: &mut [f32],
    scratch: &mut [f32],
    accumulate: bool,
) {
    assert!(trains(shape), "{shape:?} is not for bfloat16");
    if let Some(turned) = shape.input_gradient_shape() {
        let epilogue = Epilogue { accumulate, ..Epilogue::default() };
        return conv(ctx, &turned, dy, weights, dx, scratch, &epilogue);
    }
    assert_eq!(dx.len(), shape.in_len(), "input gradient of {shape:?}");
    assert_eq!(dy.len(), shape.out_len(), "output gradient of {shape:?}");
    let (unit, k, pixels, block) =
        (Unit::of(ctx.isa), shape.k(), shape.oh * shape.ow, block_len(shape));
    let (image_len, product_len) =
        (shape.h * shape.w * shape.cin, scratch_len(&rows_shape(shape, block)));
    let len = block * k + product_len;
    let (images, scratch) = (SharedMut::new(dx), SharedMut::new(scratch));
    ctx.pool.for_each_worker(shape.n, &|worker, image| {
        // SAFETY: each image belongs to one task, and no two tasks run with the same worker index
        // at the same time.
        let (dx, own) = unsafe {
            (images.range(image * image_len, image_len), scratch.range(worker * len, len))
        };
        let (rows, own) = own.split_at_mut(block * k);
        if !accumulate {
            dx.fill(0.0);
        }
        for first in (0..pixels).step_by(block) {
            let count = block.min(pixels - first);
            let dy = &dy[(image * pixels + first) * shape.cout..][..count * shape.cout];
            let (product, rows) = (rows_shape(shape, count), &mut rows[..count * k]);
            let none = Epilogue::default();
            conv_row(unit, &product, &[dy], shape.cout, weights, rows, k, &none, own);
            col2im(shape, rows, 0, first, dx);
        }
    });
}

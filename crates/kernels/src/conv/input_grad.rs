//! The gradient of a convolution's input.

use super::im2col::col2im;
use super::{ConvShape, ConvWeights, conv, conv_scratch_len};
use crate::gemm::gemm;
use crate::pool::SharedMut;
use crate::{Ctx, Epilogue};

impl ConvShape {
    /// The convolution over the output gradient that gives the input gradient: `None` unless all
    /// strides are 1 and the padding is not larger than the kernel's reach.
    pub(crate) fn input_gradient_shape(&self) -> Option<ConvShape> {
        (self.sh == 1 && self.sw == 1).then_some(())?;
        Some(ConvShape {
            h: self.oh,
            w: self.ow,
            cin: self.cout,
            oh: self.h,
            ow: self.w,
            cout: self.cin,
            pt: ((self.kh - 1) * self.dh).checked_sub(self.pt)?,
            pl: ((self.kw - 1) * self.dw).checked_sub(self.pl)?,
            ..*self
        })
    }
}

/// Floats of scratch memory that [`conv_backward_input`] needs on `threads` threads.
pub fn conv_backward_input_scratch_len(shape: &ConvShape, threads: usize) -> usize {
    match shape.input_gradient_shape() {
        Some(shape) => conv_scratch_len(&shape, threads),
        None => threads.max(1) * block_len(shape) * shape.k(),
    }
}

/// Floats of the rows that are multiplied at a time: half of a second-level cache.
const BLOCK: usize = 64 * 1024;

/// Output pixels that are multiplied at a time.
fn block_len(shape: &ConvShape) -> usize {
    (BLOCK / shape.k().max(1)).clamp(24, 4096).min(shape.oh * shape.ow)
}

/// `dx[n, h, w, cin]` from `dy[n, oh, ow, cout]`, added to the old content if `accumulate`, with
/// weights from [`ConvWeights::repack_for_input_gradient`].
///
/// # Panics
/// If a slice has another size than the shape says, or `scratch` is too small.
pub fn conv_backward_input(
    ctx: Ctx,
    shape: &ConvShape,
    dy: &[f32],
    weights: &ConvWeights,
    dx: &mut [f32],
    scratch: &mut [f32],
    accumulate: bool,
) {
    if let Some(turned) = shape.input_gradient_shape() {
        let epilogue = Epilogue { accumulate, ..Epilogue::default() };
        return conv(ctx, &turned, dy, weights, dx, scratch, &epilogue);
    }
    shape.check();
    assert_eq!(dx.len(), shape.in_len(), "input gradient of {shape:?}");
    assert_eq!(dy.len(), shape.out_len(), "output gradient of {shape:?}");
    weights.check(shape.groups, shape.cout_per_group(), shape.k());
    if dx.is_empty() {
        return;
    }
    let (k, pixels, block) = (shape.k(), shape.oh * shape.ow, block_len(shape));
    let image_len = shape.h * shape.w * shape.cin;
    let scratch = SharedMut::new(scratch);
    let images = SharedMut::new(dx);
    ctx.pool.for_each_worker(shape.n, &|worker, image| {
        // SAFETY: each image belongs to one task.
        let dx = unsafe { images.range(image * image_len, image_len) };
        // SAFETY: no two tasks run with the same worker index at the same time.
        let rows = unsafe { scratch.range(worker * block * k, block * k) };
        if !accumulate {
            dx.fill(0.0);
        }
        for group in 0..shape.groups {
            for first in (0..pixels).step_by(block) {
                let count = block.min(pixels - first);
                let start = (image * pixels + first) * shape.cout;
                let dy = &dy[start + group * shape.cout_per_group()..];
                let (rows, b) = (&mut rows[..count * k], weights.group(group));
                gemm(ctx, count, dy, shape.cout, b, rows, k, &Epilogue::default());
                col2im(shape, rows, group, first, dx);
            }
        }
    });
}

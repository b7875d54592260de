//! Any depthwise convolution, tap by tap: the twin of [`columns`](super::columns).

use super::rows::Lines;
use super::weights::{Block, CHANNELS};
use crate::quant::pack::COLUMNS;
use crate::simd::{Simd, simd_fn};

/// Outputs whose sums are kept at a time.
const PIXELS: usize = 16;

simd_fn! {
    /// The output rows of a block of channels.
    ///
    /// # Safety
    /// The contract of [`Lines`].
    pub(super) fn rows(s: Simd, lines: &Lines<'_>, block: Block) {
        for first in (block.first..(block.first + block.width).min(lines.shape.cin)).step_by(CHANNELS) {
            for row in 0..lines.count {
                for ox in (0..lines.shape.ow).step_by(PIXELS) {
                    run(s, lines, first, row, ox);
                }
            }
        }
    }
}

/// Sixteen channels of [`PIXELS`] outputs from `ox` on, as far as they exist.
#[inline(always)]
fn run<S: Simd>(s: S, lines: &Lines, first: usize, row: usize, ox: usize) {
    let shape = lines.shape;
    let channels = CHANNELS.min(shape.cin - first);
    let mut sums = [[0i32; CHANNELS]; PIXELS];
    let sums = &mut sums[..PIXELS.min(shape.ow - ox)];
    let padding = [lines.weights.zero_point(); CHANNELS];
    for (ky, kx) in (0..shape.kh).flat_map(|ky| (0..shape.kw).map(move |kx| (ky, kx))) {
        let mut weights = [0; CHANNELS];
        for (c, w) in weights[..channels].iter_mut().enumerate() {
            *w = i32::from(lines.weights.at(ky, kx, first + c));
        }
        let line = lines.rows.at(row + ky);
        for (i, sums) in sums.iter_mut().enumerate() {
            // Left of the image wraps far beyond its width.
            let column = ((ox + i) * shape.sw + kx * shape.dw).wrapping_sub(shape.pl);
            let x = if line.is_null() || column >= shape.w {
                &padding[..channels]
            } else {
                // SAFETY: the row has this column and these channels.
                unsafe {
                    let x = line.wrapping_add(column * lines.x_stride + first);
                    std::slice::from_raw_parts(x, channels)
                }
            };
            for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(&weights) {
                *sum = sum.wrapping_add(i32::from(x) * w);
            }
        }
    }
    let finish = &lines.finishes[row];
    let bias: &[i32; COLUMNS] =
        finish.requant.bias[first..].first_chunk().expect("parameters are padded by 16");
    for (i, sums) in sums.iter_mut().enumerate() {
        sums.iter_mut().zip(bias).for_each(|(sum, &bias)| *sum = sum.wrapping_add(bias));
        let out = lines.outs[row].wrapping_add((ox + i) * lines.out_stride + first);
        // SAFETY: the output has this pixel and these channels.
        unsafe { finish.store(s, *sums, ox + i, first, channels, out) };
    }
}

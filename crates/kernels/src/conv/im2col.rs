//! The inputs that output pixels read, as rows of a matrix, and back.

use super::{ConvShape, Taps};

/// Writes the inputs of the output pixels from `first` on (counted over all images) to `rows`, each
/// `[kh, kw, cin / groups]` floats of one group, zeros where the kernel hangs over the edge.
pub(crate) fn im2col(shape: &ConvShape, x: &[f32], group: usize, first: usize, rows: &mut [f32]) {
    let channels = shape.cin_per_group();
    let offset = group * channels;
    for (i, row) in rows.chunks_exact_mut(shape.k()).enumerate() {
        let (image, ty, tx) = taps_of(shape, first + i);
        for (ky, line) in row.chunks_exact_mut(shape.kw * channels).enumerate() {
            if ky < ty.tap || ky >= ty.tap + ty.count {
                line.fill(0.0);
                continue;
            }
            let iy = ty.at + (ky - ty.tap) * shape.dh;
            let start = ((image * shape.h + iy) * shape.w + tx.at) * shape.cin + offset;
            let (left, rest) = line.split_at_mut(tx.tap * channels);
            let (middle, right) = rest.split_at_mut(tx.count * channels);
            left.fill(0.0);
            right.fill(0.0);
            if shape.dw == 1 && shape.groups == 1 {
                middle.copy_from_slice(&x[start..start + middle.len()]);
            } else {
                for (j, pixel) in middle.chunks_exact_mut(channels).enumerate() {
                    let start = start + j * shape.dw * shape.cin;
                    pixel.copy_from_slice(&x[start..start + channels]);
                }
            }
        }
    }
}

/// Adds rows as [`im2col`] writes them, for the output pixels from `first` on of one image, to the
/// inputs `x` of that image.
pub(crate) fn col2im(shape: &ConvShape, rows: &[f32], group: usize, first: usize, x: &mut [f32]) {
    let channels = shape.cin_per_group();
    let offset = group * channels;
    for (i, row) in rows.chunks_exact(shape.k()).enumerate() {
        let (_, ty, tx) = taps_of(shape, first + i);
        for a in 0..ty.count {
            for b in 0..tx.count {
                let tap = (ty.tap + a) * shape.kw + tx.tap + b;
                let pixel = (ty.at + a * shape.dh) * shape.w + tx.at + b * shape.dw;
                let from = &row[tap * channels..(tap + 1) * channels];
                let to = &mut x[pixel * shape.cin + offset..][..channels];
                to.iter_mut().zip(from).for_each(|(x, y)| *x += *y);
            }
        }
    }
}

/// Image, vertical and horizontal taps of an output pixel.
fn taps_of(shape: &ConvShape, pixel: usize) -> (usize, Taps, Taps) {
    let (image, pixel) = (pixel / (shape.oh * shape.ow), pixel % (shape.oh * shape.ow));
    (image, shape.rows_of(pixel / shape.ow), shape.columns_of(pixel % shape.ow))
}

//! Pooling over windows (ONNX MaxPool and AveragePool).

use std::ops::Range;

use crate::Pool;

/// Largest element of each window; padding never wins. A window without any element, which only
/// dilation can produce, is minus infinity.
pub(super) fn max(shape: &[usize], x: &[f32], pool: &Pool, out: &[usize]) -> Vec<f32> {
    windows(shape, x, pool, out, &|image, width, rows, columns, _| {
        let mut largest = f32::NEG_INFINITY;
        for y in rows {
            for x in columns.clone() {
                let v = image[y * width + x];
                largest = if v > largest || v.is_nan() { v } else { largest };
            }
        }
        largest
    })
}

/// Mean of each window. The divisor counts the window's elements, with those in the declared
/// padding where `count_include_pad` is set; what ceil mode adds beyond it never counts, as in
/// PyTorch. A window without any element is zero.
pub(super) fn average(shape: &[usize], x: &[f32], pool: &Pool, out: &[usize]) -> Vec<f32> {
    windows(shape, x, pool, out, &|image, width, rows, columns, padded| {
        let count = if pool.count_include_pad {
            padded
        } else {
            rows.clone().count() * columns.clone().count()
        };
        let sum: f64 =
            rows.flat_map(|y| columns.clone().map(move |x| f64::from(image[y * width + x]))).sum();
        if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
    })
}

/// Computes one window from: image plane, its width, rows and columns inside the image, and the
/// number of taps inside the padded image.
type Reduce<'a> = &'a dyn Fn(&[f32], usize, Steps, Steps, usize) -> f32;
type Steps = std::iter::StepBy<Range<usize>>;

fn windows(shape: &[usize], x: &[f32], pool: &Pool, out: &[usize], reduce: Reduce) -> Vec<f32> {
    let (height, width) = (shape[2], shape[3]);
    let mut result = Vec::with_capacity(out.iter().product());
    for plane in 0..shape[0] * shape[1] {
        let image = &x[plane * height * width..][..height * width];
        for oy in 0..out[2] {
            let (rows, padded_rows) = taps(height, oy, pool, 0);
            for ox in 0..out[3] {
                let (columns, padded_columns) = taps(width, ox, pool, 1);
                let padded = padded_rows * padded_columns;
                result.push(reduce(image, width, rows.clone(), columns, padded));
            }
        }
    }
    result
}

/// Along one dimension of extent `size`, the input positions of the window at output `o`, and
/// how many of its taps are within the padded input.
fn taps(size: usize, o: usize, pool: &Pool, dimension: usize) -> (Steps, usize) {
    let window = &pool.window;
    let (before, after) = (window.pads[dimension], window.pads[dimension + 2]);
    let dilation = window.dilations[dimension];
    // Positions are counted from the start of the padding: tap k is at start + k * dilation.
    let start = o * window.strides[dimension];
    let below =
        |limit: usize| limit.saturating_sub(start).div_ceil(dilation).min(window.kernel[dimension]);
    let (skipped, end) = (below(before), below(before + size));
    let positions = if skipped < end {
        start + skipped * dilation - before..start + (end - 1) * dilation + 1 - before
    } else {
        0..0
    };
    (positions.step_by(dilation), below(before + size + after))
}

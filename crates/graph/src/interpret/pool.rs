//! Pooling over windows (ONNX MaxPool, AveragePool and LpPool).

use std::ops::Range;

use super::Args;
use super::element::{Number, for_numbers};
use crate::{Data, Pool, Result};

/// Largest element of each window; padding never wins. A window without any element, which only
/// dilation can produce, is minus infinity or the smallest integer.
pub(super) fn max(args: &Args, pool: &Pool) -> Result<Data> {
    Ok(for_numbers!(args, args.tensor(0)?.data(), x => {
        windows(args, pool, x, |taps| taps.fold(Number::LOWEST, Number::larger))?
    }))
}

/// Mean of each window. The divisor counts the window's elements, with those in the declared
/// padding where `count_include_pad` is set; what ceil mode adds beyond it never counts, as in
/// PyTorch. A window without any element is zero.
pub(super) fn average(args: &Args, pool: &Pool) -> Result<Data> {
    let mean = |taps: Taps<f32>| {
        let count = if pool.count_include_pad { taps.padded } else { taps.count() };
        let sum = taps.fold(0f64, |sum, v| sum + f64::from(v));
        if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
    };
    Ok(windows(args, pool, args.f32s(0)?, mean)?.into())
}

/// The p-th root of the sum of p-th powers of magnitudes of each window.
pub(super) fn lp(args: &Args, pool: &Pool, p: usize) -> Result<Data> {
    let power = p as f64;
    let norm = |taps: Taps<f32>| {
        let term = |v: f32| match p {
            1 => f64::from(v.abs()),
            2 => f64::from(v).powi(2),
            _ => libm::pow(f64::from(v.abs()), power),
        };
        let sum = taps.fold(0f64, |sum, v| sum + term(v));
        match p {
            1 => sum as f32,
            2 => sum.sqrt() as f32,
            _ => libm::pow(sum, 1.0 / power) as f32,
        }
    };
    Ok(windows(args, pool, args.f32s(0)?, norm)?.into())
}

/// The elements of one window that are inside the image.
struct Taps<'a, T> {
    image: &'a [T],
    width: usize,
    rows: Steps,
    columns: Steps,
    /// Number of taps inside the padded image.
    padded: usize,
}

type Steps = std::iter::StepBy<Range<usize>>;

impl<T: Copy> Taps<'_, T> {
    fn count(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    fn fold<S>(&self, start: S, join: impl Fn(S, T) -> S) -> S {
        let places = self.rows.clone().flat_map(|y| self.columns.clone().map(move |x| (y, x)));
        places.fold(start, |joined, (y, x)| join(joined, self.image[y * self.width + x]))
    }
}

/// The result of `reduce` for each window.
fn windows<T: Copy, R>(
    args: &Args,
    pool: &Pool,
    x: &[T],
    reduce: impl Fn(Taps<T>) -> R,
) -> Result<Vec<R>> {
    let (shape, out) = (args.tensor(0)?.shape(), args.shape());
    let (height, width) = (shape[2], shape[3]);
    let mut result = Vec::with_capacity(args.len());
    for plane in 0..shape[0] * shape[1] {
        let image = &x[plane * height * width..][..height * width];
        for oy in 0..out[2] {
            let (rows, padded_rows) = steps(height, oy, pool, 0);
            for ox in 0..out[3] {
                let (columns, padded_columns) = steps(width, ox, pool, 1);
                let padded = padded_rows * padded_columns;
                result.push(reduce(Taps { image, width, rows: rows.clone(), columns, padded }));
            }
        }
    }
    Ok(result)
}

/// Along one dimension of extent `size`, the input positions of the window at output `o`, and
/// how many of its taps are within the padded input.
fn steps(size: usize, o: usize, pool: &Pool, dimension: usize) -> (Steps, usize) {
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

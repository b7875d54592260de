//! Resampling (ONNX Resize): each dimension by itself, in float64, rounded once at the end.

mod taps;

use super::Args;
use super::element::{Element, for_any};
use crate::{Coordinates, Data, Resize, ResizeMode, Result};
use taps::outside;
pub use taps::{Taps, nearest, taps};

/// Resamples along the dimensions that `resize` lists.
pub(super) fn resize(args: &Args, resize: &Resize) -> Result<Data> {
    let x = args.tensor(0)?;
    let mut result = match resize.mode {
        ResizeMode::Nearest(rule) => {
            let sources: Vec<(usize, Vec<usize>)> = resize
                .axes
                .iter()
                .map(|axis| {
                    (axis.axis, nearest(axis, x.shape()[axis.axis], resize.coordinates, rule))
                })
                .collect();
            for_any!(x.data(), d => picked(args, d, &sources)?)
        }
        _ => interpolated(args, resize)?.into(),
    };
    if resize.coordinates == Coordinates::CropAndResize {
        result = for_any!(&result, d => extrapolated(args, resize, d)?);
    }
    Ok(result)
}

/// The elements at the sources of each position, along the dimensions listed.
fn picked<T: Element>(args: &Args, x: &[T], sources: &[(usize, Vec<usize>)]) -> Result<Vec<T>> {
    let (shape, out) = (args.tensor(0)?.shape(), args.shape());
    let mut tables: Vec<Option<&[usize]>> = vec![None; out.len()];
    sources.iter().for_each(|(axis, table)| tables[*axis] = Some(table));
    let source = |flat: usize| {
        let (mut rest, mut index, mut step) = (flat, 0, 1);
        for d in (0..out.len()).rev() {
            let position = rest % out[d];
            index += tables[d].map_or(position, |table| table[position]) * step;
            rest /= out[d];
            step *= shape[d];
        }
        index
    };
    Ok((0..args.len()).map(|i| x[source(i)]).collect())
}

fn interpolated(args: &Args, resize: &Resize) -> Result<Vec<f32>> {
    let mut shape = args.tensor(0)?.shape().to_vec();
    let mut values: Vec<f64> = args.f32s(0)?.iter().map(|&v| v.into()).collect();
    // Shrinking first keeps what lies between no larger than input or output.
    let mut axes = resize.axes.clone();
    axes.sort_by_key(|axis| axis.len > shape[axis.axis]);
    for axis in &axes {
        let taps = taps(axis, shape[axis.axis], resize);
        values = resampled(&values, &shape, axis.axis, axis.len, &taps);
        shape[axis.axis] = axis.len;
    }
    Ok(values.into_iter().map(|v| v as f32).collect())
}

/// Weighted sums along `axis`: `len` of them, element i with the taps that `taps(i)` gives.
fn resampled(
    x: &[f64],
    shape: &[usize],
    axis: usize,
    len: usize,
    taps: &dyn Fn(usize) -> Taps,
) -> Vec<f64> {
    let (size, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let outer = shape[..axis].iter().product::<usize>();
    let mut result = vec![0f64; outer * len * inner];
    for i in 0..len {
        let taps = taps(i);
        for o in 0..outer {
            let sums = &mut result[(o * len + i) * inner..][..inner];
            for &(source, weight) in &taps {
                let values = &x[(o * size + source) * inner..][..inner];
                sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * v);
            }
        }
    }
    result
}

/// Replaces what lies outside the input along any dimension by the extrapolation value.
fn extrapolated<T: Element>(args: &Args, resize: &Resize, values: &[T]) -> Result<Vec<T>> {
    let (shape, out) = (args.tensor(0)?.shape(), args.shape());
    let fill = T::from_f32(resize.extrapolation);
    let mut result = values.to_vec();
    for axis in &resize.axes {
        let beyond = outside(axis, shape[axis.axis]);
        let inner = out[axis.axis + 1..].iter().product::<usize>();
        let is_beyond = |i: usize| beyond[i / inner % axis.len];
        let found = result.iter_mut().enumerate().filter(|(i, _)| is_beyond(*i));
        found.for_each(|(_, v)| *v = fill);
    }
    Ok(result)
}

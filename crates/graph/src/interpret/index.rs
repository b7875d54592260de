//! Operators that take positions as data. A position outside its dimension is an error that names
//! the node and the position; negative ones count from the end.

use super::Args;
use super::arrange::row_major_steps;
use super::element::{Element, Number, for_any, for_numbers};
use crate::{Data, Result, ScatterMode};

/// Slices of the first input along `axis`.
pub(super) fn gather(args: &Args, axis: usize) -> Result<Data> {
    let x = args.tensor(0)?;
    let extent = x.shape()[axis];
    let positions = positions(args, |_| (axis, extent))?;
    let outer = x.shape()[..axis].iter().product::<usize>();
    let inner = x.shape()[axis + 1..].iter().product::<usize>();
    let starts = || {
        let slice = |o: usize| positions.iter().map(move |&p| (o * extent + p) * inner);
        (0..outer).flat_map(slice)
    };
    Ok(for_any!(x.data(), d => slices(d, starts(), inner)))
}

fn slices<T: Element>(x: &[T], starts: impl Iterator<Item = usize>, len: usize) -> Vec<T> {
    starts.flat_map(|start| &x[start..start + len]).copied().collect()
}

/// One element for each index, at its own position beside `axis`.
pub(super) fn gather_elements(args: &Args, axis: usize) -> Result<Data> {
    let sources = element_positions(args, axis)?;
    Ok(for_any!(args.tensor(0)?.data(), d => sources.iter().map(|&i| d[i]).collect::<Vec<_>>()))
}

/// Slices at index tuples, within the leading dimensions that both inputs share.
pub(super) fn gather_nd(args: &Args, batch_dims: usize) -> Result<Data> {
    let x = args.tensor(0)?;
    let (starts, len) = tuple_positions(args, batch_dims)?;
    Ok(for_any!(x.data(), d => slices(d, starts.iter().copied(), len)))
}

/// The first input with one element for each index updated, in order of the indices.
pub(super) fn scatter_elements(args: &Args, axis: usize, mode: ScatterMode) -> Result<Data> {
    let targets = element_positions(args, axis)?;
    scatter(args, &targets, 1, mode)
}

/// The first input with a slice for each index tuple updated, in order of the tuples.
pub(super) fn scatter_nd(args: &Args, mode: ScatterMode) -> Result<Data> {
    let (starts, len) = tuple_positions(args, 0)?;
    scatter(args, &starts, len, mode)
}

/// Updates `len` elements from each of `starts` on by the next ones of the third input.
fn scatter(args: &Args, starts: &[usize], len: usize, mode: ScatterMode) -> Result<Data> {
    let x = args.tensor(0)?.data();
    Ok(match mode {
        ScatterMode::Replace => for_any!(x, d => updated(args, d, starts, len, |_, v| v)?),
        ScatterMode::Add => for_numbers!(args, x, d => updated(args, d, starts, len, Number::add)?),
        ScatterMode::Mul => for_numbers!(args, x, d => updated(args, d, starts, len, Number::mul)?),
        ScatterMode::Max => {
            for_numbers!(args, x, d => updated(args, d, starts, len, Number::larger)?)
        }
        ScatterMode::Min => {
            for_numbers!(args, x, d => updated(args, d, starts, len, Number::smaller)?)
        }
    })
}

fn updated<T: Element>(
    args: &Args,
    x: &[T],
    starts: &[usize],
    len: usize,
    update: impl Fn(T, T) -> T,
) -> Result<Vec<T>> {
    let updates = args.elements::<T>(2)?;
    let mut result = x.to_vec();
    for (tuple, &start) in starts.iter().enumerate() {
        let slice = &updates[tuple * len..][..len];
        for (target, &v) in result[start..start + len].iter_mut().zip(slice) {
            *target = update(*target, v);
        }
    }
    Ok(result)
}

/// A vector along the new dimension `axis` for each index; one out of range is all "off".
pub(super) fn one_hot(args: &Args, axis: usize, depth: usize) -> Result<Data> {
    let positions = args.tensor(0)?.to_i64()?;
    let inner = args.shape()[axis + 1..].iter().product::<usize>();
    let hot = |i: usize| {
        let (at, own) = (i / inner % depth, i / inner / depth * inner + i % inner);
        resolved(positions[own], depth) == Some(at)
    };
    Ok(for_any!(args.tensor(1)?.data(), values => {
        (0..args.len()).map(|i| values[usize::from(hot(i))]).collect::<Vec<_>>()
    }))
}

/// Index in the first input of the element that each number of the second stands for: its own
/// position, moved along `axis`.
fn element_positions(args: &Args, axis: usize) -> Result<Vec<usize>> {
    let (x, indices) = (args.tensor(0)?, args.tensor(1)?);
    let steps = row_major_steps(x.shape());
    let at = positions(args, |_| (axis, x.shape()[axis]))?;
    let place = |(flat, position): (usize, usize)| {
        let (mut rest, mut index) = (flat, position * steps[axis]);
        for (d, &extent) in indices.shape().iter().enumerate().rev() {
            index += if d == axis { 0 } else { rest % extent * steps[d] };
            rest /= extent;
        }
        index
    };
    Ok(at.into_iter().enumerate().map(place).collect())
}

/// Index in the first input where the slice of each tuple of the second begins, and the length of
/// these slices. Tuples refer to the dimensions after the first `batch_dims`.
fn tuple_positions(args: &Args, batch_dims: usize) -> Result<(Vec<usize>, usize)> {
    let (x, indices) = (args.tensor(0)?.shape(), args.tensor(1)?.shape());
    let (depth, tuples) = (indices[indices.len() - 1], &indices[..indices.len() - 1]);
    let steps = row_major_steps(x);
    let at = positions(args, |i| {
        let dimension = batch_dims + i % depth;
        (dimension, x[dimension])
    })?;
    let len = x[batch_dims + depth..].iter().product();
    let whole = x[batch_dims..].iter().product::<usize>();
    let per_batch = tuples[batch_dims..].iter().product::<usize>();
    let start = |tuple: usize| {
        let within = &at[tuple * depth..][..depth];
        let pairs = within.iter().zip(&steps[batch_dims..]);
        tuple / per_batch * whole + pairs.map(|(p, step)| p * step).sum::<usize>()
    };
    Ok(((0..tuples.iter().product()).map(start).collect(), len))
}

/// The numbers of the second input as positions in the dimension and extent that `within` gives
/// for each.
fn positions(args: &Args, within: impl Fn(usize) -> (usize, usize)) -> Result<Vec<usize>> {
    let position = |(i, index): (usize, i64)| {
        let (dimension, extent) = within(i);
        resolved(index, extent).ok_or_else(|| {
            args.node.error(format!(
                "index {index} (number {i}) is outside dimension {dimension} of extent {extent}"
            ))
        })
    };
    args.tensor(1)?.to_i64()?.into_iter().enumerate().map(position).collect()
}

/// `index` counted from the front, or `None` where it is outside `extent`.
fn resolved(index: i64, extent: usize) -> Option<usize> {
    let from_front =
        if index < 0 { index.checked_add(i64::try_from(extent).ok()?)? } else { index };
    usize::try_from(from_front).ok().filter(|&position| position < extent)
}

//! Operators that copy elements to other positions without computing.

use super::Args;
use super::element::{Element, for_any};
use crate::{Cut, Data, DepthOrder, PadMode, Result, Tensor};

/// Joins the inputs along `axis`.
pub(super) fn concat(args: &Args, axis: usize) -> Result<Data> {
    Ok(for_any!(args.tensor(0)?.data(), first => joined(args, first, axis)?))
}

/// For each position before `axis`, the next chunk of every input. `_first` gives the type.
fn joined<T: Element>(args: &Args, _first: &[T], axis: usize) -> Result<Vec<T>> {
    let part = |index| -> Result<(&[T], usize)> {
        let chunk = args.tensor(index)?.shape()[axis..].iter().product();
        Ok((args.elements(index)?, chunk))
    };
    let parts = (0..args.count()).map(part).collect::<Result<Vec<_>>>()?;
    let outer = args.shape()[..axis].iter().product();
    let mut result = Vec::with_capacity(args.len());
    for o in 0..outer {
        parts.iter().for_each(|&(d, chunk)| result.extend_from_slice(&d[o * chunk..][..chunk]));
    }
    Ok(result)
}

/// Output dimension i is input dimension `perm[i]`.
pub(super) fn transpose(args: &Args, perm: &[usize]) -> Result<Data> {
    let x = args.tensor(0)?;
    Ok(permuted(x, x.shape(), perm))
}

/// The elements of `x`, seen as `view`, with dimensions in the order of `perm`.
fn permuted(x: &Tensor, view: &[usize], perm: &[usize]) -> Data {
    let steps = row_major_steps(view);
    let extents: Vec<usize> = perm.iter().map(|&p| view[p]).collect();
    strided(x, 0, &perm.iter().map(|&p| steps[p]).collect::<Vec<_>>(), &extents)
}

/// Every `step`-th element from `start` on, along each dimension that is cut.
pub(super) fn slice(args: &Args, cuts: &[Cut]) -> Result<Data> {
    let x = args.tensor(0)?;
    let mut steps = row_major_steps(x.shape());
    // A cut of no or one element may state any start or step; they do not matter then.
    let starts = cuts.iter().map(|cut| cut.start.saturating_mul(steps[cut.axis]));
    let first = starts.fold(0, usize::saturating_add);
    cuts.iter().for_each(|cut| steps[cut.axis] = steps[cut.axis].saturating_mul(cut.step));
    Ok(strided(x, first, &steps, args.shape()))
}

/// Repeats dimensions of extent 1: a step of 0.
pub(super) fn expand(args: &Args) -> Result<Data> {
    let source = args.broadcast(0, args.shape())?;
    let x = args.tensor(0)?.data();
    Ok(for_any!(x, d => (0..args.len()).map(|i| d[source.at(i)]).collect::<Vec<_>>()))
}

/// Distance between neighbours along each dimension.
pub(super) fn row_major_steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        steps[i - 1] = steps[i] * shape[i];
    }
    steps
}

/// The elements at `first` plus the sum of position times step, for all positions in `out`.
fn strided(x: &Tensor, first: usize, steps: &[usize], out: &[usize]) -> Data {
    let source = |flat: usize| {
        let (mut rest, mut index) = (flat, first);
        for (&extent, &step) in out.iter().zip(steps).rev() {
            index += rest % extent * step;
            rest /= extent;
        }
        index
    };
    let len = out.iter().product();
    for_any!(x.data(), d => (0..len).map(|i| d[source(i)]).collect::<Vec<_>>())
}

/// The element of `x` at a position along each dimension that `place(dimension, position)` finds
/// for a position of the result; `fill` where it finds none.
fn placed<T: Element>(
    x: (&[T], &[usize]),
    out: &[usize],
    fill: T,
    place: impl Fn(usize, usize) -> Option<usize>,
) -> Vec<T> {
    let (elements, shape) = x;
    let source = |flat: usize| {
        let (mut rest, mut index, mut step) = (flat, 0, 1);
        for d in (0..out.len()).rev() {
            index += place(d, rest % out[d])? * step;
            rest /= out[d];
            step *= shape[d];
        }
        Some(index)
    };
    (0..out.iter().product()).map(|i| source(i).map_or(fill, |at| elements[at])).collect()
}

/// Repeats the whole input along each dimension.
pub(super) fn tile(args: &Args) -> Result<Data> {
    let x = args.tensor(0)?;
    let (shape, out) = (x.shape(), args.shape());
    let place = |d: usize, position| Some(position % shape[d]);
    Ok(for_any!(x.data(), d => placed((d, shape), out, Element::ZERO, place)))
}

/// Adds `before[i]` places before dimension i, the rest after.
pub(super) fn pad(args: &Args, before: &[usize], mode: PadMode) -> Result<Data> {
    let x = args.tensor(0)?;
    let (shape, out) = (x.shape(), args.shape());
    let place = |d: usize, position: usize| padded(position, before[d], shape[d], mode);
    let fill = if let PadMode::Constant(value) = mode { value } else { 0.0 };
    Ok(for_any!(x.data(), d => placed((d, shape), out, Element::from_f32(fill), place)))
}

/// Where position `at` of the result comes from, with `before` places before `size` elements.
/// Mirrors and ends repeat where the padding is wider than the input.
fn padded(at: usize, before: usize, size: usize, mode: PadMode) -> Option<usize> {
    let distance = at as isize - before as isize;
    match mode {
        _ if (0..size as isize).contains(&distance) => Some(distance as usize),
        PadMode::Constant(_) => None,
        PadMode::Edge => Some(distance.clamp(0, size as isize - 1) as usize),
        PadMode::Wrap => Some(distance.rem_euclid(size as isize) as usize),
        PadMode::Reflect if size == 1 => Some(0),
        PadMode::Reflect => {
            // There and back again without repeating either end.
            let period = 2 * (size - 1);
            let phase = distance.rem_euclid(period as isize) as usize;
            Some(if phase < size { phase } else { period - phase })
        }
    }
}

/// Zeroes one side of the diagonal of the last two dimensions.
pub(super) fn trilu(args: &Args, upper: bool, diagonal: i64) -> Result<Data> {
    let x = args.tensor(0)?;
    let (rows, columns) = (x.shape()[x.rank() - 2], x.shape()[x.rank() - 1]);
    let stays = |i: usize| {
        let (row, column) = (i / columns % rows, i % columns);
        let above = column as i128 - row as i128 - i128::from(diagonal);
        if upper { above >= 0 } else { above <= 0 }
    };
    Ok(for_any!(x.data(), d => triangle(d, stays)))
}

fn triangle<T: Element>(x: &[T], stays: impl Fn(usize) -> bool) -> Vec<T> {
    x.iter().enumerate().map(|(i, &v)| if stays(i) { v } else { T::ZERO }).collect()
}

/// `[n, c, h, w]` to `[n, c/b^2, h*b, w*b]`: channels, seen as their three factors, move beside
/// the rows and columns of their block.
pub(super) fn depth_to_space(args: &Args, block: usize, order: DepthOrder) -> Result<Data> {
    let x = args.tensor(0)?;
    let ([n, c, h, w], b) = (dims(x), block);
    let depth = c / (b * b);
    Ok(match order {
        DepthOrder::Dcr => permuted(x, &[n, b, b, depth, h, w], &[0, 3, 4, 1, 5, 2]),
        DepthOrder::Crd => permuted(x, &[n, depth, b, b, h, w], &[0, 1, 4, 2, 5, 3]),
    })
}

/// `[n, c, h, w]` to `[n, c*b^2, h/b, w/b]`.
pub(super) fn space_to_depth(args: &Args, block: usize) -> Result<Data> {
    let x = args.tensor(0)?;
    let ([n, c, h, w], b) = (dims(x), block);
    Ok(permuted(x, &[n, c, h / b, b, w / b, b], &[0, 3, 5, 1, 2, 4]))
}

/// Channels, seen as groups by members, become members by groups.
pub(super) fn channel_shuffle(args: &Args, groups: usize) -> Result<Data> {
    let x = args.tensor(0)?;
    let [n, c, h, w] = dims(x);
    Ok(permuted(x, &[n, groups, c / groups, h, w], &[0, 2, 1, 3, 4]))
}

fn dims(x: &Tensor) -> [usize; 4] {
    [0, 1, 2, 3].map(|i| x.shape()[i])
}

//! Operators that compare the elements along one dimension: NaN is above every number.

use std::cmp::Ordering;

use super::Args;
use super::element::{Element, Number, for_numbers};
use super::lines::{Line, lines};
use crate::{Data, Result};

/// Position of the largest or smallest element of each line; NaN is both, as in NumPy.
pub(super) fn arg_extreme(args: &Args, axis: usize, largest: bool, last: bool) -> Result<Data> {
    let x = args.tensor(0)?;
    let of = |line| Extreme { line, largest, last };
    Ok(for_numbers!(args, x.data(), d => {
        lines(x.shape(), axis).map(|line| of(line).position(d)).collect::<Vec<_>>()
    }))
}

struct Extreme {
    line: Line,
    largest: bool,
    last: bool,
}

impl Extreme {
    fn position<T: Number>(&self, x: &[T]) -> i64 {
        let beats = |new: T, old: T| match new.order(old) {
            Ordering::Equal => self.last,
            Ordering::Greater => self.largest || new.is_nan(),
            Ordering::Less => !self.largest && !old.is_nan(),
        };
        let (mut best, mut places) = (0, self.line.places().enumerate());
        let Some(mut value) = places.next().map(|(_, at)| x[at]) else { return 0 };
        for (k, at) in places {
            if beats(x[at], value) {
                (best, value) = (k as i64, x[at]);
            }
        }
        best
    }
}

/// 1 at the first largest element of each line, 0 elsewhere.
pub(super) fn hardmax(args: &Args, axis: usize) -> Result<Data> {
    let (x, shape) = (args.f32s(0)?, args.tensor(0)?.shape());
    let mut result = vec![0f32; x.len()];
    if shape[axis] > 0 {
        for line in lines(shape, axis) {
            let first = Extreme { line, largest: true, last: false }.position(x);
            result[line.at(first as usize)] = 1.0;
        }
    }
    Ok(result.into())
}

/// The `k` largest or smallest elements of each line in order, and their positions. Of equal
/// elements the first come first.
pub(super) fn top_k(args: &Args, axis: usize, k: usize, largest: bool) -> Result<Vec<Data>> {
    let x = args.tensor(0)?;
    let mut positions = vec![0i64; args.len()];
    let values = for_numbers!(args, x.data(), d => {
        let mut values = vec![d.first().copied().unwrap_or_default(); args.len()];
        for (source, target) in lines(x.shape(), axis).zip(lines(args.shape(), axis)) {
            let places: Vec<usize> = source.places().collect();
            let mut order: Vec<usize> = (0..places.len()).collect();
            // A stable sort keeps equal elements in place.
            order.sort_by(|&a, &b| {
                let ascending = d[places[a]].order(d[places[b]]);
                if largest { ascending.reverse() } else { ascending }
            });
            for (rank, &position) in order.iter().take(k).enumerate() {
                values[target.at(rank)] = d[places[position]];
                positions[target.at(rank)] = position as i64;
            }
        }
        values
    });
    Ok(vec![values, positions.into()])
}

/// Sums of all elements of a line up to each one. Float sums are carried in float64.
pub(super) fn cum_sum(args: &Args, axis: usize, exclusive: bool, reverse: bool) -> Result<Data> {
    let x = args.tensor(0)?;
    if let Data::F32(d) = x.data() {
        let sums =
            running(d, args.shape(), axis, exclusive, reverse, 0f64, |sum, v| sum + f64::from(v));
        return Ok(sums.into_iter().map(|sum| sum as f32).collect::<Vec<_>>().into());
    }
    Ok(for_numbers!(args, x.data(), d => {
        running(d, args.shape(), axis, exclusive, reverse, Element::ZERO, Number::add)
    }))
}

fn running<T: Copy, S: Copy>(
    x: &[T],
    shape: &[usize],
    axis: usize,
    exclusive: bool,
    reverse: bool,
    zero: S,
    add: impl Fn(S, T) -> S,
) -> Vec<S> {
    let mut sums = vec![zero; x.len()];
    for line in lines(shape, axis) {
        let mut sum = zero;
        let mut step = |at: usize| {
            let next = add(sum, x[at]);
            sums[at] = if exclusive { sum } else { next };
            sum = next;
        };
        if reverse { line.places().rev().for_each(&mut step) } else { line.places().for_each(step) }
    }
    sums
}

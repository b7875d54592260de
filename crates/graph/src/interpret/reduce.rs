//! Reductions along any dimensions.

use super::Args;
use super::element::{Number, for_numbers};
use super::elementwise::{Broadcast, cast};
use crate::{Data, Reduction, Result, Tensor};

/// Joins the elements along `axes`. The result keeps the order of the other dimensions, so that
/// it serves with and without kept dimensions.
///
/// Of no elements, the sum is 0, the product 1, the mean NaN, the largest minus infinity and the
/// smallest infinity, or the bounds of an integer type. Integers wrap around; their mean, root and
/// logarithm are cut towards zero.
pub(super) fn reduce(args: &Args, kind: Reduction, axes: &[usize]) -> Result<Data> {
    let x = args.tensor(0)?;
    let groups = Groups::new(x.shape(), axes);
    match (x.data(), kind) {
        (Data::F32(d), _) => Ok(rounded(real(&groups, kind, d.iter().map(|&v| v.into())))),
        (_, Reduction::Mean) if groups.size == 0 => {
            Err(args.node.error("has no element to take the mean of"))
        }
        (data, Reduction::Max | Reduction::Min) => {
            Ok(for_numbers!(args, data, d => extreme(&groups, kind == Reduction::Max, d)))
        }
        _ => Ok(cast(&integer(&groups, kind, x)?.into(), x.dtype())),
    }
}

/// Mean over the spatial dimensions.
pub(super) fn global_average(args: &Args) -> Result<Data> {
    reduce(args, Reduction::Mean, &[2, 3])
}

fn rounded(values: Vec<f64>) -> Data {
    values.into_iter().map(|v| v as f32).collect::<Vec<_>>().into()
}

/// Which element of the result each element counts for.
struct Groups {
    target: Broadcast,
    count: usize,
    size: usize,
}

impl Groups {
    fn new(shape: &[usize], axes: &[usize]) -> Groups {
        let kept = |(i, &extent): (usize, &usize)| if axes.contains(&i) { 1 } else { extent };
        let kept: Vec<usize> = shape.iter().enumerate().map(kept).collect();
        Groups {
            target: Broadcast::new(&kept, shape),
            count: kept.iter().product(),
            size: axes.iter().map(|&axis| shape[axis]).product(),
        }
    }

    /// Joins the elements of each group, in row-major order.
    fn fold<T, S: Copy>(
        &self,
        x: impl Iterator<Item = T>,
        start: S,
        join: impl Fn(S, T) -> S,
    ) -> Vec<S> {
        let mut results = vec![start; self.count];
        for (i, v) in x.enumerate() {
            let result = &mut results[self.target.at(i)];
            *result = join(*result, v);
        }
        results
    }
}

fn extreme<T: Number>(groups: &Groups, largest: bool, x: &[T]) -> Vec<T> {
    let x = x.iter().copied();
    if largest {
        groups.fold(x, T::LOWEST, T::larger)
    } else {
        groups.fold(x, T::HIGHEST, T::smaller)
    }
}

/// Any reduction in float64.
fn real(groups: &Groups, kind: Reduction, x: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let sum = |term: fn(f64) -> f64| groups.fold(x.clone().map(term), 0.0, |sum, v| sum + v);
    let finish = |sums: Vec<f64>, last: &dyn Fn(f64) -> f64| -> Vec<f64> {
        sums.into_iter().map(last).collect()
    };
    match kind {
        Reduction::Mean => finish(sum(|v| v), &|sum| sum / groups.size as f64),
        Reduction::Sum => sum(|v| v),
        Reduction::Prod => groups.fold(x, 1.0, |product, v| product * v),
        Reduction::Max => groups.fold(x, f64::NEG_INFINITY, larger),
        Reduction::Min => groups.fold(x, f64::INFINITY, |least, v| -larger(-least, -v)),
        Reduction::L1 => sum(f64::abs),
        Reduction::L2 => finish(sum(|v| v * v), &f64::sqrt),
        Reduction::LogSum => finish(sum(|v| v), &libm::log),
        Reduction::LogSumExp => log_sum_exp(groups, x),
        Reduction::SumSquare => sum(|v| v * v),
    }
}

/// The larger one; NaN where either is.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// `max + ln(sum of exp(x - max))`, which overflows only where the result does.
fn log_sum_exp(groups: &Groups, x: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let mut shifts = groups.fold(x.clone(), f64::NEG_INFINITY, larger);
    // An infinite maximum is the result, without a difference of infinities.
    shifts.iter_mut().filter(|shift| shift.is_infinite()).for_each(|shift| *shift = 0.0);
    let mut sums = vec![0f64; groups.count];
    for (i, v) in x.enumerate() {
        let group = groups.target.at(i);
        sums[group] += libm::exp(v - shifts[group]);
    }
    sums.iter().zip(shifts).map(|(&sum, shift)| libm::log(sum) + shift).collect()
}

/// Reductions of integers but the extremes, before they wrap around.
fn integer(groups: &Groups, kind: Reduction, x: &Tensor) -> Result<Vec<i64>> {
    let values = x.to_i64()?;
    let x = values.iter().copied();
    Ok(match kind {
        Reduction::Sum => groups.fold(x, 0, i64::wrapping_add),
        Reduction::Prod => groups.fold(x, 1, i64::wrapping_mul),
        Reduction::L1 => groups.fold(x, 0, |sum: i64, v| sum.wrapping_add(v.wrapping_abs())),
        Reduction::SumSquare => {
            groups.fold(x, 0, |sum: i64, v: i64| sum.wrapping_add(v.wrapping_mul(v)))
        }
        Reduction::Mean => {
            // 2^31 numbers of 64 bits have a sum of 95 bits.
            let sums = groups.fold(x, 0i128, |sum, v| sum + i128::from(v));
            sums.into_iter().map(|sum| (sum / groups.size as i128) as i64).collect()
        }
        _ => {
            let results = real(groups, kind, x.map(|v| v as f64));
            results.into_iter().map(|v| v as i64).collect()
        }
    })
}

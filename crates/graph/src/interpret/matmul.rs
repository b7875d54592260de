//! Matrix products (ONNX Gemm and MatMul).

use std::ops::{AddAssign, Mul};

use super::Args;
use crate::{Data, Gemm, Result};

/// `alpha * A' * B' + beta * C`.
pub(super) fn gemm(args: &Args, gemm: &Gemm) -> Result<Data> {
    let (a, b, out) = (args.f32s(0)?, args.f32s(1)?, args.shape());
    let (rows, columns) = (out[0], out[1]);
    let depth = args.tensor(0)?.shape()[usize::from(!gemm.trans_a)];
    let a_steps = if gemm.trans_a { [1, rows] } else { [depth, 1] };
    let b_steps = if gemm.trans_b { [1, depth] } else { [columns, 1] };
    let c = args.optional_f32s(2)?;
    let c_at = c.map(|_| args.broadcast(2, out)).transpose()?;
    let mut result = Vec::with_capacity(rows * columns);
    let mut sums = vec![0f64; columns];
    for row in 0..rows {
        sums.fill(0.0);
        let factors = (0..depth).map(|k| a[row * a_steps[0] + k * a_steps[1]]);
        add_row(&mut sums, factors, b, b_steps);
        for (column, &product) in sums.iter().enumerate() {
            let added = match (c, &c_at) {
                (Some(c), Some(at)) => f64::from(c[at.at(row * columns + column)]),
                _ => 0.0,
            };
            result.push((f64::from(gemm.alpha) * product + f64::from(gemm.beta) * added) as f32);
        }
    }
    Ok(result.into())
}

/// NumPy's matmul for at least two dimensions: the last two multiply, the others broadcast.
pub(super) fn mat_mul(args: &Args) -> Result<Data> {
    Ok(multiply(args, args.f32s(0)?, args.f32s(1)?, 0f64, |sum| sum as f32)?.into())
}

/// Matrix product of the elements `a` and `b` of the first two inputs, summed from `zero` on.
pub(super) fn multiply<T, S, R>(
    args: &Args,
    a: &[T],
    b: &[T],
    zero: S,
    finish: impl Fn(S) -> R,
) -> Result<Vec<R>>
where
    T: Copy,
    S: Copy + From<T> + Mul<Output = S> + AddAssign,
{
    let (a_shape, out) = (args.tensor(0)?.shape(), args.shape());
    let (outer, matrix) = out.split_at(out.len() - 2);
    let (rows, columns, depth) = (matrix[0], matrix[1], a_shape[a_shape.len() - 1]);
    let (a_outer, b_outer) = (args.outer_broadcast(0, outer)?, args.outer_broadcast(1, outer)?);
    let mut result = Vec::with_capacity(args.len());
    let mut sums = vec![zero; columns];
    for matrix in 0..outer.iter().product() {
        let a = &a[a_outer.at(matrix) * rows * depth..];
        let b = &b[b_outer.at(matrix) * depth * columns..];
        for row in 0..rows {
            sums.fill(zero);
            add_row(&mut sums, a[row * depth..][..depth].iter().copied(), b, [columns, 1]);
            result.extend(sums.iter().map(|&sum| finish(sum)));
        }
    }
    Ok(result)
}

/// Adds the row `a` times the matrix `b` to `sums`; element `[k, j]` of b is at the sum of
/// position times step. Products are added in order of k, whichever loop is the inner one.
fn add_row<T, S>(sums: &mut [S], a: impl Iterator<Item = T> + Clone, b: &[T], steps: [usize; 2])
where
    T: Copy,
    S: Copy + From<T> + Mul<Output = S> + AddAssign,
{
    if steps[1] == 1 {
        for (k, factor) in a.enumerate() {
            let (factor, row) = (S::from(factor), &b[k * steps[0]..]);
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += factor * S::from(v));
        }
    } else {
        for (j, sum) in sums.iter_mut().enumerate() {
            let column = b[j * steps[1]..].iter().step_by(steps[0]);
            a.clone().zip(column).for_each(|(u, &v)| *sum += S::from(u) * S::from(v));
        }
    }
}

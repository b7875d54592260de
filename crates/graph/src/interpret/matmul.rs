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
    for row in 0..rows {
        for column in 0..columns {
            let a = Run { elements: a, start: row * a_steps[0], step: a_steps[1] };
            let b = Run { elements: b, start: column * b_steps[1], step: b_steps[0] };
            let added = match (c, &c_at) {
                (Some(c), Some(at)) => f64::from(c[at.at(row * columns + column)]),
                _ => 0.0,
            };
            let product = dot(a, b, depth, 0f64);
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
    for matrix in 0..outer.iter().product() {
        let a = &a[a_outer.at(matrix) * rows * depth..];
        let b = &b[b_outer.at(matrix) * depth * columns..];
        for row in 0..rows {
            for column in 0..columns {
                let a = Run { elements: a, start: row * depth, step: 1 };
                let b = Run { elements: b, start: column, step: columns };
                result.push(finish(dot(a, b, depth, zero)));
            }
        }
    }
    Ok(result)
}

/// Elements at `start`, `start + step` and so on.
struct Run<'a, T> {
    elements: &'a [T],
    start: usize,
    step: usize,
}

/// Sum of the products of the first `depth` elements of both.
fn dot<T, S>(a: Run<T>, b: Run<T>, depth: usize, zero: S) -> S
where
    T: Copy,
    S: Copy + From<T> + Mul<Output = S> + AddAssign,
{
    let mut sum = zero;
    for k in 0..depth {
        let (a, b) = (a.elements[a.start + k * a.step], b.elements[b.start + k * b.step]);
        sum += S::from(a) * S::from(b);
    }
    sum
}

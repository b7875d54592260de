//! Matrix products (ONNX Gemm and MatMul).

use super::Args;
use super::elementwise::Broadcast;
use crate::{Gemm, Result};

/// `alpha * A' * B' + beta * C`.
pub(super) fn gemm(args: &Args, gemm: &Gemm, out: &[usize]) -> Result<Vec<f32>> {
    let (a, b) = (args.f32s(0)?, args.f32s(1)?);
    let (rows, columns) = (out[0], out[1]);
    let depth = args.tensor(0)?.shape()[usize::from(!gemm.trans_a)];
    let a_steps = if gemm.trans_a { [1, rows] } else { [depth, 1] };
    let b_steps = if gemm.trans_b { [1, depth] } else { [columns, 1] };
    let offset = args.optional(2).map(|c| Broadcast::new(c.shape(), out));
    let c = args.optional_f32s(2)?;
    let mut result = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let product =
                dot(a, row * a_steps[0], a_steps[1], b, column * b_steps[1], b_steps[0], depth);
            let added = match (c, &offset) {
                (Some(c), Some(offset)) => c[offset.at(row * columns + column)],
                _ => 0.0,
            };
            let value = f64::from(gemm.alpha) * product + f64::from(gemm.beta) * f64::from(added);
            result.push(value as f32);
        }
    }
    Ok(result)
}

/// NumPy's matmul for at least two dimensions: the last two multiply, the others broadcast.
pub(super) fn mat_mul(args: &Args, out: &[usize]) -> Result<Vec<f32>> {
    let (a, b) = (args.f32s(0)?, args.f32s(1)?);
    let (a_shape, b_shape) = (args.tensor(0)?.shape(), args.tensor(1)?.shape());
    let outer = &out[..out.len() - 2];
    let (rows, columns) = (out[out.len() - 2], out[out.len() - 1]);
    let depth = a_shape[a_shape.len() - 1];
    let a_outer = Broadcast::new(&a_shape[..a_shape.len() - 2], outer);
    let b_outer = Broadcast::new(&b_shape[..b_shape.len() - 2], outer);
    let mut result = Vec::with_capacity(out.iter().product());
    for matrix in 0..outer.iter().product() {
        let a = &a[a_outer.at(matrix) * rows * depth..];
        let b = &b[b_outer.at(matrix) * depth * columns..];
        for row in 0..rows {
            for column in 0..columns {
                result.push(dot(a, row * depth, 1, b, column, columns, depth) as f32);
            }
        }
    }
    Ok(result)
}

/// Sum of `a[a_start + k * a_step] * b[b_start + k * b_step]` over `depth` values of k.
fn dot(
    a: &[f32],
    a_start: usize,
    a_step: usize,
    b: &[f32],
    b_start: usize,
    b_step: usize,
    depth: usize,
) -> f64 {
    (0..depth)
        .map(|k| f64::from(a[a_start + k * a_step]) * f64::from(b[b_start + k * b_step]))
        .sum()
}

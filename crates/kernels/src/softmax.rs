//! Softmax over rows, and its cross-entropy loss against any targets: labels, smoothed, mixed or
//! weighted ones, a teacher's probabilities.
//!
//! Sums run in 16 interleaved lanes which are added in order, on every instruction set.

mod along;

pub use along::softmax_along;

use crate::Ctx;
use crate::exp::{exp, ln};
use crate::simd::{LANES, simd_fn};

/// Floats per task.
const TASK: usize = 8 * 1024;

/// `out = exp(x) / sum(exp(x))` for each row of `x[rows, columns]`.
///
/// # Panics
/// If the sizes differ or are no whole rows.
pub fn softmax(ctx: Ctx, columns: usize, x: &[f32], out: &mut [f32]) {
    let rows = rows_per_task(columns, x, out);
    ctx.pool.for_each_chunk_mut(out, rows * columns, |i, out| {
        out.copy_from_slice(&x[i * rows * columns..][..out.len()]);
        softmax_rows(ctx.isa, columns, out);
    });
}

/// The gradient of [`softmax`] from its output `y`: `dx = y * (dy - sum(dy * y))`.
///
/// # Panics
/// If the sizes differ or are no whole rows.
pub fn softmax_backward(ctx: Ctx, columns: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let rows = rows_per_task(columns, y, dx);
    assert_eq!(dy.len(), y.len());
    ctx.pool.for_each_chunk_mut(dx, rows * columns, |i, dx| {
        let start = i * rows * columns;
        dx.copy_from_slice(&dy[start..start + dx.len()]);
        softmax_backward_rows(ctx.isa, columns, &y[start..start + dx.len()], dx);
    });
}

/// Cross entropy of `softmax(logits[rows, classes])` against `targets[rows, classes]`, which need not
/// add up to 1 (a row of sum w counts w times): `-sum(t ln p)` of each row into `losses`, and its
/// gradient times `scale` (1 / rows for the gradient of the mean), `scale (w p - t)`, into `d_logits`.
///
/// # Panics
/// If the sizes do not match.
pub fn cross_entropy(
    ctx: Ctx,
    classes: usize,
    logits: &[f32],
    targets: &[f32],
    scale: f32,
    losses: &mut [f32],
    d_logits: &mut [f32],
) {
    let rows = rows_per_task(classes, logits, d_logits);
    assert_eq!(targets.len(), logits.len(), "one target per logit");
    assert_eq!(losses.len() * classes, logits.len(), "one loss per row");
    ctx.pool.for_each_chunk2_mut(losses, rows, d_logits, rows * classes, |i, losses, d_logits| {
        let part = i * rows * classes..i * rows * classes + d_logits.len();
        let job = Loss { logits: &logits[part.clone()], targets: &targets[part], classes, scale };
        cross_entropy_rows(ctx.isa, &job, losses, d_logits);
    });
}

fn rows_per_task(columns: usize, x: &[f32], out: &[f32]) -> usize {
    assert_eq!(x.len(), out.len());
    assert!(x.is_empty() || columns > 0 && x.len().is_multiple_of(columns), "no whole rows");
    (TASK / columns.max(1)).max(1)
}

/// Sum of `f` over a row, element i in lane i % 16.
#[inline(always)]
fn lane_sum(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    for i in whole..len {
        lanes[i % LANES] += f(i);
    }
    lanes.iter().sum()
}

/// Replaces a row by `exp(x - max)` and returns the maximum and the sum.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let max = row.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    for x in row.iter_mut() {
        *x = exp(*x - max);
    }
    let row = &*row;
    (max, lane_sum(row.len(), |i| row[i]))
}

simd_fn! {
    fn softmax_rows(_s: Simd, columns: usize, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(columns) {
            let (_, sum) = exponentials(row);
            row.iter_mut().for_each(|x| *x /= sum);
        }
    }
}

simd_fn! {
    fn softmax_backward_rows(_s: Simd, columns: usize, y: &[f32], dx: &mut [f32]) {
        for (y, dx) in y.chunks_exact(columns).zip(dx.chunks_exact_mut(columns)) {
            let dot = lane_sum(columns, |i| y[i] * dx[i]);
            dx.iter_mut().zip(y).for_each(|(g, y)| *g = (*g - dot) * *y);
        }
    }
}

/// Some rows of a cross entropy.
struct Loss<'a> {
    logits: &'a [f32],
    targets: &'a [f32],
    classes: usize,
    scale: f32,
}

simd_fn! {
    /// With w = sum t: loss = w ln(sum exp(x)) - sum t x, everything relative to the maximum, so that
    /// large logits cancel exactly.
    fn cross_entropy_rows(_s: Simd, job: &Loss<'_>, losses: &mut [f32], d_logits: &mut [f32]) {
        let classes = job.classes;
        let rows = d_logits.chunks_exact_mut(classes).zip(job.logits.chunks_exact(classes));
        let rows = rows.zip(job.targets.chunks_exact(classes)).zip(losses);
        for (((row, logits), targets), loss) in rows {
            row.copy_from_slice(logits);
            let (max, sum) = exponentials(row);
            let weight = lane_sum(classes, |j| targets[j]);
            let aimed = lane_sum(classes, |j| targets[j] * (logits[j] - max));
            *loss = (f64::from(weight) * ln(f64::from(sum)) - f64::from(aimed)) as f32;
            let factor = weight * job.scale / sum;
            row.iter_mut().zip(targets).for_each(|(p, t)| *p = *p * factor - t * job.scale);
        }
    }
}

#[cfg(test)]
mod tests;

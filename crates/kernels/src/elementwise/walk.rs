//! Functions of two operands that broadcast in any way.

use serde::{Deserialize, Serialize};

use super::TASK;
use super::binary::{Binary, Row, apply_row, apply_row_in_place};
use crate::Ctx;
use crate::simd::{LANES, simd_fn};

/// Floats of a gated tensor that are worth a second thread.
const SHARED: usize = 4 * 1024;

/// Largest number of dimensions of a [`Walk`].
const MAX_RANK: usize = 8;

/// Elements gathered at a time from an operand that is not dense along the innermost dimension.
const GATHERED: usize = 64;

/// Extents of a result, and how far each of two operands moves along them: 0 where it is broadcast.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Walk {
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; 2]; MAX_RANK],
}

impl Walk {
    /// A walk over `dims`, on which the operands have the strides `a` and `b`. Neighbouring
    /// dimensions that both operands cross alike are merged.
    ///
    /// # Panics
    /// If there are more than eight dimensions, or another number of strides.
    pub fn new(dims: &[usize], a: &[usize], b: &[usize]) -> Walk {
        assert!(dims.len() <= MAX_RANK && a.len() == dims.len() && b.len() == dims.len());
        let mut walk = Walk { rank: 0, dims: [1; MAX_RANK], strides: [[0; 2]; MAX_RANK] };
        for i in (0..dims.len()).filter(|&i| dims[i] != 1) {
            let (dim, strides) = (dims[i], [a[i], b[i]]);
            let last = walk.rank.wrapping_sub(1);
            if walk.rank > 0 && walk.strides[last] == strides.map(|s| s * dim) {
                walk.dims[last] *= dim;
                walk.strides[last] = strides;
            } else {
                (walk.dims[walk.rank], walk.strides[walk.rank]) = (dim, strides);
                walk.rank += 1;
            }
        }
        walk.rank = walk.rank.max(1);
        walk
    }

    /// Elements of the result, and the least that each operand must have; `None` of a walk from a
    /// file that makes no sense.
    pub fn reach(&self) -> Option<(usize, [usize; 2])> {
        let (dims, strides) = (self.dims.get(..self.rank)?, self.strides.get(..self.rank)?);
        let rest = self.dims[self.rank..].iter().all(|&dim| dim == 1);
        (rest && !dims.is_empty() && dims.iter().all(|&dim| dim > 0)).then_some(())?;
        let len = dims.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim))?;
        let reach = |operand: usize| {
            dims.iter().zip(strides).try_fold(1usize, |reach, (dim, strides)| {
                (dim - 1).checked_mul(strides[operand])?.checked_add(reach)
            })
        };
        Some((len, [reach(0)?, reach(1)?]))
    }

    /// Whether the first operand has the order of the result and is not broadcast.
    pub fn is_along_first(&self) -> bool {
        let mut expected = 1;
        (0..self.rank).rev().all(|i| {
            let fits = self.dims[i] == 1 || self.strides[i][0] == expected;
            expected *= self.dims[i];
            fits
        })
    }

    /// The length of the second operand, where that is one row for all rows of the first.
    fn repeated_row(&self) -> Option<usize> {
        let (dims, strides) = (&self.dims[..self.rank], &self.strides[..self.rank]);
        match (dims, strides) {
            ([_, width], [[a, 0], [1, 1]]) if a == width => Some(*width),
            _ => None,
        }
    }

    /// Length of the innermost dimension, and the steps of both operands along it.
    fn inner(&self) -> (usize, [usize; 2]) {
        (self.dims[self.rank - 1], self.strides[self.rank - 1])
    }

    /// Calls `body` with pieces of `out` in which both operands move by constant steps: where each
    /// operand begins, and its step.
    ///
    /// # Panics
    /// If `out` is not as long as the walk.
    pub(crate) fn run<T: Send>(
        &self,
        ctx: Ctx,
        out: &mut [T],
        body: impl Fn([usize; 2], [usize; 2], &mut [T]) + Sync,
    ) {
        assert_eq!(out.len(), self.dims.iter().product::<usize>());
        if out.is_empty() {
            return;
        }
        let (len, steps) = self.inner();
        // One long row is cut, many short ones are taken together.
        let single = self.rank == 1;
        let (rows, width) = if single { (1, len.min(TASK)) } else { ((TASK / len).max(1), len) };
        ctx.pool.for_each_chunk_mut(out, rows * width, |task, out| {
            for (i, out) in out.chunks_mut(width).enumerate() {
                let row = task * rows + i;
                let start = if single { steps.map(|s| row * width * s) } else { self.start(row) };
                body(start, steps, out);
            }
        });
    }

    /// Where row `row` of the innermost dimension begins in both operands.
    fn start(&self, mut row: usize) -> [usize; 2] {
        let mut at = [0; 2];
        for i in (0..self.rank - 1).rev() {
            let index = row % self.dims[i];
            row /= self.dims[i];
            (0..2).for_each(|o| at[o] += index * self.strides[i][o]);
        }
        at
    }
}

/// `out = clamp(a op b)`, both operands walked with their own strides.
///
/// # Panics
/// If `out` is not as long as the walk, or an operand is shorter than its strides reach.
pub fn broadcast(
    ctx: Ctx,
    op: Binary,
    walk: &Walk,
    a: &[f32],
    b: &[f32],
    clamp: Option<(f32, f32)>,
    out: &mut [f32],
) {
    walk.run(ctx, out, |[a0, b0], [sa, sb], out| {
        strided_row(ctx.isa, op, (&a[a0..], sa), (&b[b0..], sb), clamp, out);
    });
}

simd_fn! {
    fn strided_row(
        _s: Simd,
        op: Binary,
        a: (&[f32], usize),
        b: (&[f32], usize),
        limits: Option<(f32, f32)>,
        out: &mut [f32],
    ) {
        if a.1 <= 1 && b.1 <= 1 {
            return apply_row(op, direct(a, out.len()), direct(b, out.len()), limits, out);
        }
        let mut copies = [[0.0; GATHERED]; 2];
        for (i, out) in out.chunks_mut(GATHERED).enumerate() {
            for ((x, step), copy) in [a, b].into_iter().zip(&mut copies) {
                let from = x[i * GATHERED * step..].iter().step_by(step.max(1));
                match step {
                    0 => copy.fill(x[0]),
                    _ => copy[..out.len()].iter_mut().zip(from).for_each(|(y, x)| *y = *x),
                }
            }
            let [a, b] = &copies;
            apply_row(op, Row::Values(a), Row::Values(b), limits, out);
        }
    }
}

/// `out = clamp(out op b)`, for a walk whose first operand has the order of the result: the gate of
/// squeeze-and-excitation, for one.
///
/// # Panics
/// If `out` is not as long as the walk, or b is shorter than its strides reach.
pub fn broadcast_in_place(
    ctx: Ctx,
    op: Binary,
    walk: &Walk,
    b: &[f32],
    clamp: Option<(f32, f32)>,
    out: &mut [f32],
) {
    if let (Binary::Mul, None, Some(width)) = (op, clamp, walk.repeated_row()) {
        assert_eq!(out.len(), walk.dims.iter().product::<usize>());
        // Each thread takes the rows that it has made: layers before it are cut in the same way.
        let rows = out.len() / width;
        let tasks = if out.len() < SHARED { 1 } else { ctx.pool.threads().min(rows) };
        ctx.pool.for_each_chunk_mut(out, rows.div_ceil(tasks) * width, |_, out| {
            scale(ctx.isa, &b[..width], out);
        });
        return;
    }
    walk.run(ctx, out, |[_, b0], [_, sb], out| {
        row_in_place(ctx.isa, op, (&b[b0..], sb), clamp, out);
    });
}

simd_fn! {
    /// Multiplies every row of `out` by `factors`.
    fn scale(s: Simd, factors: &[f32], out: &mut [f32]) {
        for row in out.chunks_exact_mut(factors.len()) {
            for (factors, x) in factors.chunks(LANES).zip(row.chunks_mut(LANES)) {
                let mask = s.first(x.len());
                // SAFETY: the mask has as many lanes as both slices, which are equally long.
                unsafe {
                    let y = s.load_first(x.as_ptr(), mask);
                    let y = s.mul(y, s.load_first(factors.as_ptr(), mask));
                    s.store_first(x.as_mut_ptr(), y, mask);
                }
            }
        }
    }
}

simd_fn! {
    fn row_in_place(
        _s: Simd,
        op: Binary,
        b: (&[f32], usize),
        limits: Option<(f32, f32)>,
        out: &mut [f32],
    ) {
        let (x, step) = b;
        if step <= 1 {
            return apply_row_in_place(op, direct(b, out.len()), limits, out);
        }
        let mut copy = [0.0; GATHERED];
        for (i, out) in out.chunks_mut(GATHERED).enumerate() {
            let from = x[i * GATHERED * step..].iter().step_by(step);
            copy[..out.len()].iter_mut().zip(from).for_each(|(y, x)| *y = *x);
            apply_row_in_place(op, Row::Values(&copy), limits, out);
        }
    }
}

/// A row whose step is 0 or 1.
#[inline(always)]
fn direct((x, step): (&[f32], usize), len: usize) -> Row<'_> {
    if step == 0 { Row::Value(x[0]) } else { Row::Values(&x[..len]) }
}

//! Softmax and its logarithm along a dimension in the middle: `[outer, len, inner]`.

use super::{TASK, exponentials, softmax};
use crate::Ctx;
use crate::exp::{exp, ln};
use crate::pool::SharedMut;
use crate::simd::simd_fn;

/// Positions of the inner dimension that a task keeps maxima and sums of on the stack.
const BLOCK: usize = 64;

/// `out = exp(x) / sum(exp(x))` along the middle dimension of `x[outer, len, inner]`; its natural
/// logarithm where `log` is set.
///
/// # Panics
/// If the sizes differ or are no whole matrices.
pub fn softmax_along(ctx: Ctx, len: usize, inner: usize, log: bool, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    if out.is_empty() {
        return;
    }
    let size = len * inner;
    assert!(size > 0 && x.len().is_multiple_of(size), "no whole matrices of {len} x {inner}");
    if inner == 1 && !log {
        return softmax(ctx, len, x, out);
    }
    if inner == 1 {
        let rows = (TASK / len).max(1) * len;
        ctx.pool.for_each_chunk_mut(out, rows, |i, out| {
            log_softmax_rows(ctx.isa, len, &x[i * rows..][..out.len()], out);
        });
        return;
    }
    let blocks = inner.div_ceil(BLOCK);
    let out = SharedMut::new(out);
    ctx.pool.for_each(x.len() / size * blocks, &|task| {
        let (matrix, first) = (task / blocks, task % blocks * BLOCK);
        let width = BLOCK.min(inner - first);
        let start = matrix * size + first;
        let job = Block { x: &x[start..], out, start, len, inner, width };
        // SAFETY: these columns of this matrix belong to this task alone.
        unsafe { softmax_block(ctx.isa, job, log) };
    });
}

/// Some columns of one matrix: those that begin at `x[0]` and at element `start` of `out`.
#[derive(Clone, Copy)]
struct Block<'a> {
    x: &'a [f32],
    out: SharedMut<'a, f32>,
    start: usize,
    len: usize,
    inner: usize,
    width: usize,
}

impl<'a> Block<'a> {
    #[inline(always)]
    fn row(self, i: usize) -> &'a [f32] {
        &self.x[i * self.inner..][..self.width]
    }

    /// Row `i` of the result.
    ///
    /// # Safety
    /// Nobody else uses these columns, and the caller one row at a time.
    #[inline(always)]
    unsafe fn out(self, i: usize) -> &'a mut [f32] {
        // SAFETY: by contract.
        unsafe { self.out.range(self.start + i * self.inner, self.width) }
    }
}

/// # Safety
/// The columns of the block belong to the caller alone.
unsafe fn softmax_block(isa: crate::Isa, job: Block<'_>, log: bool) {
    let (mut maxima, mut sums) = ([f32::NEG_INFINITY; BLOCK], [0.0f32; BLOCK]);
    for i in 0..job.len {
        raise(isa, job.row(i), &mut maxima);
    }
    for i in 0..job.len {
        // SAFETY: by contract; the slice ends with this line.
        exponentiate(isa, job.row(i), &maxima, &mut sums, unsafe { job.out(i) });
    }
    if log {
        sums.iter_mut().for_each(|sum| *sum = ln(f64::from(*sum)) as f32);
    }
    for i in 0..job.len {
        // SAFETY: by contract; the slice ends with this line.
        normalise(isa, job.row(i), &maxima, &sums, log, unsafe { job.out(i) });
    }
}

simd_fn! {
    fn raise(_s: Simd, x: &[f32], maxima: &mut [f32; BLOCK]) {
        maxima.iter_mut().zip(x).for_each(|(max, x)| *max = if *x > *max { *x } else { *max });
    }
}

simd_fn! {
    fn exponentiate(
        _s: Simd, x: &[f32], maxima: &[f32; BLOCK], sums: &mut [f32; BLOCK], out: &mut [f32],
    ) {
        for ((y, x), (max, sum)) in out.iter_mut().zip(x).zip(maxima.iter().zip(sums)) {
            *y = exp(*x - *max);
            *sum += *y;
        }
    }
}

simd_fn! {
    fn normalise(
        _s: Simd,
        x: &[f32],
        maxima: &[f32; BLOCK],
        sums: &[f32; BLOCK],
        log: bool,
        out: &mut [f32],
    ) {
        for ((y, x), (max, sum)) in out.iter_mut().zip(x).zip(maxima.iter().zip(sums)) {
            *y = if log { *x - *max - *sum } else { *y / *sum };
        }
    }
}

simd_fn! {
    fn log_softmax_rows(_s: Simd, columns: usize, x: &[f32], rows: &mut [f32]) {
        for (x, row) in x.chunks_exact(columns).zip(rows.chunks_exact_mut(columns)) {
            row.copy_from_slice(x);
            let (max, sum) = exponentials(row);
            let log = ln(f64::from(sum)) as f32;
            row.iter_mut().zip(x).for_each(|(y, x)| *y = x - max - log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, everywhere, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn lines_sum_to_one(
            outer in 1usize..4, len in 1usize..40, inner in prop_oneof![Just(1usize), 1usize..150],
            log: bool, seed: u64,
        ) {
            let x: Vec<f32> = random(outer * len * inner, seed).iter().map(|x| x * 8.0).collect();
            let got = everywhere(|ctx| {
                let mut out = vec![f32::NAN; x.len()];
                softmax_along(ctx, len, inner, log, &x, &mut out);
                out
            });
            let want: Vec<f64> = (0..x.len()).map(|i| {
                let start = i / (len * inner) * len * inner + i % inner;
                let sum: f64 = (0..len).map(|j| f64::from(x[start + j * inner]).exp()).sum();
                let y = f64::from(x[i]) - sum.ln();
                if log { y } else { y.exp() }
            }).collect();
            assert_close(&got, &want, 1e-5);
        }
    }
}

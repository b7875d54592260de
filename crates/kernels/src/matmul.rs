//! Products of two computed matrices, many at a time: the scores and sums of attention.
//!
//! Neither side is packed: a row of B is read as it lies, and the products of attention are small
//! enough for B to stay in the cache. Each output is one chain of fused multiply-adds in ascending
//! order of K, as in [`gemm`](crate::gemm::gemm()), so the bits are those of the packed product.

use crate::Ctx;
use crate::simd::simd_fn;

/// Multiply-adds that one task computes, about.
const TASK: usize = 256 * 1024;
/// Rows and columns of a tile: sums in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 16;

/// One matrix after another: `out[i][m, n] = a[a_starts[i]..][m, k] b[b_starts[i]..][k, n]`.
///
/// # Panics
/// If a slice is too short, or there are not as many starts as matrices in `out`.
pub fn matmul(
    ctx: Ctx,
    [m, k, n]: [usize; 3],
    a: (&[f32], &[usize]),
    b: (&[f32], &[usize]),
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let count = out.len() / (m * n);
    assert!(out.len() == count * m * n, "no whole matrices of {m} x {n}");
    assert!(a.1.len() == count && b.1.len() == count, "one start for each of {count} matrices");
    let rows = (TASK / (k * n).max(1)).next_multiple_of(ROWS).min(m);
    let blocks = m.div_ceil(rows);
    let out = crate::pool::SharedMut::new(out);
    ctx.pool.for_each(count * blocks, &|task| {
        let (matrix, first) = (task / blocks, task % blocks * rows);
        let rows = rows.min(m - first);
        // SAFETY: these rows of this matrix belong to this task alone.
        let out = unsafe { out.range((matrix * m + first) * n, rows * n) };
        let a = &a.0[a.1[matrix] + first * k..][..rows * k];
        let b = &b.0[b.1[matrix]..][..k * n];
        product_rows(ctx.isa, k, n, a, b, out);
    });
}

simd_fn! {
    fn product_rows(_s: Simd, k: usize, n: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
        for (group, out) in out.chunks_mut(ROWS * n).enumerate() {
            let a = &a[group * ROWS * k..];
            let rows = out.len() / n;
            for first in (0..n).step_by(COLUMNS) {
                let width = COLUMNS.min(n - first);
                if rows == ROWS && width == COLUMNS {
                    tile::<ROWS>(COLUMNS, k, n, first, a, b, out);
                } else {
                    for (row, out) in out.chunks_exact_mut(n).enumerate() {
                        tile::<1>(width, k, n, first, &a[row * k..], b, out);
                    }
                }
            }
        }
    }
}

/// Columns `first..first + width` of `R` rows.
#[inline(always)]
fn tile<const R: usize>(
    width: usize,
    k: usize,
    n: usize,
    first: usize,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
) {
    let mut sums = [[0.0f32; COLUMNS]; R];
    for i in 0..k {
        let b = &b[i * n + first..][..width];
        for (row, sums) in sums.iter_mut().enumerate() {
            let a = a[row * k + i];
            sums.iter_mut().zip(b).for_each(|(sum, b)| *sum = a.mul_add(*b, *sum));
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_mut(n)) {
        out[first..first + width].copy_from_slice(&sums[..width]);
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
        fn products_are_those_of_the_definition(
            m in 1usize..40, k in 1usize..50, n in 1usize..70, count in 1usize..5,
            shared: bool, seed: u64,
        ) {
            let (a, b) = (random(count * m * k, seed), random(count * k * n, seed ^ 1));
            let a_starts: Vec<usize> = (0..count).map(|i| i * m * k).collect();
            let b_starts: Vec<usize> =
                (0..count).map(|i| if shared { 0 } else { i * k * n }).collect();
            let got = everywhere(|ctx| {
                let mut out = vec![f32::NAN; count * m * n];
                matmul(ctx, [m, k, n], (&a, &a_starts), (&b, &b_starts), &mut out);
                out
            });
            let want: Vec<f64> = (0..count * m * n).map(|i| {
                let (matrix, row, column) = (i / (m * n), i / n % m, i % n);
                let product = |j: usize| {
                    let a = a[a_starts[matrix] + row * k + j];
                    f64::from(a) * f64::from(b[b_starts[matrix] + j * n + column])
                };
                (0..k).map(product).sum()
            }).collect();
            assert_close(&got, &want, 1e-5);
        }
    }
}

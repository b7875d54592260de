//! Sums over the rows of a matrix: the gradient of a bias.

use crate::Ctx;
use crate::simd::simd_fn;

/// Rows per chunk; chunks are summed in f32, their sums in f64 in ascending order.
const ROWS: usize = 256;

/// Floats of scratch memory that [`column_sums`] needs.
pub fn column_sums_scratch_len(rows: usize, channels: usize) -> usize {
    rows.div_ceil(ROWS) * channels
}

/// `out[channels] = sum of the rows of x[rows, channels]`, added to the old content if
/// `accumulate`.
///
/// # Panics
/// If `x` does not consist of rows or `scratch` has fewer than [`column_sums_scratch_len`] floats.
pub fn column_sums(ctx: Ctx, x: &[f32], out: &mut [f32], scratch: &mut [f32], accumulate: bool) {
    let channels = out.len();
    if channels == 0 {
        return;
    }
    let rows = x.len() / channels;
    assert_eq!(rows * channels, x.len(), "{} floats are no rows of {channels}", x.len());
    let scratch = &mut scratch[..column_sums_scratch_len(rows, channels)];
    ctx.pool.for_each_chunk_mut(scratch, channels, |i, sums| {
        sum_rows(ctx.isa, &x[i * ROWS * channels..((i + 1) * ROWS).min(rows) * channels], sums);
    });
    for (c, out) in out.iter_mut().enumerate() {
        let sum: f64 = scratch.chunks_exact(channels).map(|sums| f64::from(sums[c])).sum();
        *out = if accumulate { (f64::from(*out) + sum) as f32 } else { sum as f32 };
    }
}

simd_fn! {
    fn sum_rows(_s: Simd, x: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        for row in x.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, everywhere, random};

    #[test]
    fn sums_agree_with_f64() {
        for (rows, channels) in [(0, 3), (1, 1), (255, 7), (256, 20), (1000, 33)] {
            let (x, old) = (random(rows * channels, 3), random(channels, 4));
            for accumulate in [false, true] {
                let got = everywhere(|ctx| {
                    let mut out = old.clone();
                    let mut scratch = vec![f32::NAN; column_sums_scratch_len(rows, channels)];
                    column_sums(ctx, &x, &mut out, &mut scratch, accumulate);
                    out
                });
                let want: Vec<f64> = (0..channels)
                    .map(|c| {
                        let start = if accumulate { f64::from(old[c]) } else { 0.0 };
                        start
                            + x.iter().skip(c).step_by(channels).map(|&x| f64::from(x)).sum::<f64>()
                    })
                    .collect();
                assert_close(&got, &want, 1e-5);
            }
        }
    }
}

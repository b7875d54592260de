//! Normalisation of rows to mean 0 and variance 1 (Ba, Kiros and Hinton 2016, arXiv 1607.06450).
//!
//! Mean first, then the sum of squared distances to it: no difference of large squares. Sums run in
//! 16 interleaved lanes which are added in order, on every instruction set.

use crate::Ctx;
use crate::simd::{LANES, simd_fn};

/// Floats per task.
const TASK: usize = 8 * 1024;

/// `out = (x - mean) / sqrt(variance + epsilon) * scale + bias` for each row of `x`, whose length is
/// that of `scale`.
///
/// # Panics
/// If the sizes differ or are no whole rows.
pub fn layer_norm(
    ctx: Ctx,
    epsilon: f32,
    scale: &[f32],
    bias: Option<&[f32]>,
    x: &[f32],
    out: &mut [f32],
) {
    let columns = scale.len();
    assert_eq!(x.len(), out.len());
    assert!(bias.is_none_or(|bias| bias.len() == columns), "scale and bias of one size");
    if out.is_empty() {
        return;
    }
    assert!(columns > 0 && x.len().is_multiple_of(columns), "no whole rows of {columns}");
    let rows = (TASK / columns).max(1);
    ctx.pool.for_each_chunk_mut(out, rows * columns, |i, out| {
        let x = &x[i * rows * columns..][..out.len()];
        norm_rows(ctx.isa, epsilon, scale, bias, x, out);
    });
}

simd_fn! {
    fn norm_rows(
        _s: Simd, epsilon: f32, scale: &[f32], bias: Option<&[f32]>, x: &[f32], out: &mut [f32],
    ) {
        let columns = scale.len();
        for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
            let mean = lane_sum(x, |x| x) / columns as f32;
            let variance = lane_sum(x, |x| (x - mean) * (x - mean)) / columns as f32;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for ((y, x), scale) in out.iter_mut().zip(x).zip(scale) {
                *y = (x - mean) * factor * scale;
            }
            if let Some(bias) = bias {
                out.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        }
    }
}

/// Sum of `f` over a row, element i in lane i % 16.
#[inline(always)]
fn lane_sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for chunk in row.chunks(LANES) {
        lanes.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += f(*x));
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, everywhere, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn rows_are_normalised(
            rows in 1usize..40, columns in 1usize..300, biased: bool, offset in -5f32..5.0, seed: u64,
        ) {
            let x: Vec<f32> = random(rows * columns, seed).iter().map(|x| x + offset).collect();
            let (scale, bias) = (random(columns, seed ^ 1), random(columns, seed ^ 2));
            let bias = biased.then_some(&bias[..]);
            let got = everywhere(|ctx| {
                let mut out = vec![f32::NAN; x.len()];
                layer_norm(ctx, 1e-3, &scale, bias, &x, &mut out);
                out
            });
            let mut want = vec![];
            for row in x.chunks(columns) {
                let wide = || row.iter().map(|&x| f64::from(x));
                let mean = wide().sum::<f64>() / columns as f64;
                let variance = wide().map(|x| (x - mean).powi(2)).sum::<f64>() / columns as f64;
                want.extend(wide().enumerate().map(|(i, x)| {
                    let bias = bias.map_or(0.0, |b| f64::from(b[i]));
                    (x - mean) / (variance + 1e-3).sqrt() * f64::from(scale[i]) + bias
                }));
            }
            assert_close(&got, &want, 1e-4);
        }
    }
}

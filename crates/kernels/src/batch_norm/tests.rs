use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

/// The definition in f64: normalised values, and the inverse standard deviations.
fn reference(
    y: &[f64],
    channels: usize,
    epsilon: f64,
    gamma: &[f32],
    beta: &[f32],
    clamp: Option<(f32, f32)>,
) -> Vec<f64> {
    let rows = y.len() / channels;
    let mut z = vec![0.0; y.len()];
    for c in 0..channels {
        let mean = (0..rows).map(|r| y[r * channels + c]).sum::<f64>() / rows as f64;
        let variance =
            (0..rows).map(|r| (y[r * channels + c] - mean).powi(2)).sum::<f64>() / rows as f64;
        for r in 0..rows {
            let x = (y[r * channels + c] - mean) / (variance + epsilon).sqrt();
            let v = x * f64::from(gamma[c]) + f64::from(beta[c]);
            z[r * channels + c] = clamp.map_or(v, |(lo, hi)| v.clamp(lo.into(), hi.into()));
        }
    }
    z
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn forward_agrees_with_f64(
        rows in 8usize..90, channels in 1usize..40, seed: u64, clamp: bool, residual: bool,
        mean_offset in -30f32..30.0,
    ) {
        let y: Vec<f32> =
            random(rows * channels, seed).iter().map(|x| x + mean_offset).collect();
        let (gamma, beta) = (random(channels, seed ^ 1), random(channels, seed ^ 2));
        let skip = random(y.len(), seed ^ 3);
        let clamp = clamp.then_some((0.0, 0.75));
        let got = everywhere(|ctx| {
            let mut mean = vec![0.0; channels];
            let mut variance = vec![0.0; channels];
            let mut inverse = vec![0.0; channels];
            let mut scratch = vec![f32::NAN; batch_norm_scratch_len(rows, channels)];
            batch_norm_statistics(ctx, &y, &mut mean, &mut variance, &mut scratch);
            inverse_std(&variance, 1e-5, &mut inverse);
            let norm =
                Norm { mean: &mean, inverse_std: &inverse, gamma: &gamma, beta: &beta, clamp };
            let mut z = vec![f32::NAN; y.len()];
            batch_norm(ctx, &y, &norm, residual.then_some(&skip[..]), &mut z);
            z
        });
        let mut want =
            reference(&widen(&y), channels, 1e-5, &gamma, &beta, clamp.filter(|_| !residual));
        if residual {
            for (x, &r) in want.iter_mut().zip(&skip) {
                *x += f64::from(r);
                *x = clamp.map_or(*x, |(lo, hi)| x.clamp(lo.into(), hi.into()));
            }
        }
        // Values near 30 carry an error of 1e-6, over a deviation of about 0.5.
        assert_close(&got, &want, 5e-5);
    }

    /// Central differences of the f64 definition along random directions.
    #[test]
    fn gradients_agree_with_central_differences(
        rows in 3usize..40, channels in 1usize..20, seed: u64, clamp: bool,
    ) {
        let y = random(rows * channels, seed);
        let gamma: Vec<f32> = random(channels, seed ^ 1).iter().map(|x| x + 1.5).collect();
        let beta = random(channels, seed ^ 2);
        let dz = random(y.len(), seed ^ 3);
        // Limits that no value comes close to, or none: differences do not see the kinks.
        let clamp = clamp.then_some((-0.3, 0.9));
        let all = everywhere(|ctx| {
            let mut mean = vec![0.0; channels];
            let mut variance = vec![0.0; channels];
            let mut inverse = vec![0.0; channels];
            let mut scratch = vec![f32::NAN; batch_norm_scratch_len(rows, channels)];
            batch_norm_statistics(ctx, &y, &mut mean, &mut variance, &mut scratch);
            inverse_std(&variance, 1e-5, &mut inverse);
            let norm =
                Norm { mean: &mean, inverse_std: &inverse, gamma: &gamma, beta: &beta, clamp };
            let mut out = vec![f32::NAN; y.len() + 2 * channels];
            let (dy, rest) = out.split_at_mut(y.len());
            let (d_gamma, d_beta) = rest.split_at_mut(channels);
            let mode = Statistics::Batch;
            batch_norm_backward(ctx, &dz, &y, &norm, mode, dy, d_gamma, d_beta, &mut scratch);
            out
        });
        let plain = reference(&widen(&y), channels, 1e-5, &gamma, &beta, None);
        let step = 1e-5;
        if let Some((lo, hi)) = clamp {
            let near = |v: &f64| (v - f64::from(lo)).abs() < 1e-3 || (v - f64::from(hi)).abs() < 1e-3;
            prop_assume!(!plain.iter().any(near));
        }
        let direction = random(y.len(), seed ^ 4);
        let loss = |sign: f64| -> f64 {
            let moved: Vec<f64> = y.iter().zip(&direction)
                .map(|(&y, &d)| f64::from(y) + sign * step * f64::from(d)).collect();
            let z = reference(&moved, channels, 1e-5, &gamma, &beta, clamp);
            z.iter().zip(&dz).map(|(z, &d)| z * f64::from(d)).sum()
        };
        let want = (loss(1.0) - loss(-1.0)) / (2.0 * step);
        let got: f64 = all[..y.len()].iter().zip(&direction)
            .map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
        let scale = all[..y.len()].iter().map(|g| g.abs() as f64).sum::<f64>() + 1.0;
        prop_assert!((got - want).abs() < 1e-4 * scale, "{} instead of {}", got, want);
        // gamma and beta: exact sums over the rows that the activation passes.
        let mut sums = vec![0.0; 2 * channels];
        for (i, &v) in plain.iter().enumerate() {
            let c = i % channels;
            if clamp.is_none_or(|(lo, hi)| v > lo.into() && v < hi.into()) {
                let normalised = (v - f64::from(beta[c])) / f64::from(gamma[c]);
                sums[c] += f64::from(dz[i]) * normalised;
                sums[channels + c] += f64::from(dz[i]);
            }
        }
        assert_close(&all[y.len()..], &sums, 1e-4);
    }
}

#[test]
fn many_chunks_give_the_statistics_of_the_whole() {
    // 48 channels: 682 rows per chunk, the last one shorter. A mean far from zero would ruin sums
    // of squares.
    let (rows, channels) = (3000, 48);
    let y: Vec<f32> = random(rows * channels, 5)
        .iter()
        .enumerate()
        .map(|(i, x)| x * 0.01 + (i % channels) as f32)
        .collect();
    let got = everywhere(|ctx| {
        let mut out = vec![0.0; 2 * channels];
        let (mean, variance) = out.split_at_mut(channels);
        let mut scratch = vec![0.0; batch_norm_scratch_len(rows, channels)];
        batch_norm_statistics(ctx, &y, mean, variance, &mut scratch);
        out
    });
    for c in 0..channels {
        let column = || (0..rows).map(|r| f64::from(y[r * channels + c]));
        let mean = column().sum::<f64>() / rows as f64;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
        assert!((f64::from(got[c]) - mean).abs() < 1e-5 * (1.0 + mean));
        let error = (f64::from(got[channels + c]) - variance).abs();
        assert!(error < 1e-3 * variance, "channel {c}: {} for {variance}", got[channels + c]);
    }
}

#[test]
fn fixed_statistics_pass_the_scaled_gradient() {
    let (y, dz) = ([0.0, 10.0, 1.0, -10.0], [1.0, 2.0, 3.0, 4.0]);
    let norm = Norm {
        mean: &[0.5],
        inverse_std: &[2.0],
        gamma: &[1.5],
        beta: &[1.0],
        clamp: Some((-4.0, 6.0)),
    };
    let out = everywhere(|ctx| {
        let mut out = vec![f32::NAN; 6];
        let (dy, rest) = out.split_at_mut(4);
        let (d_gamma, d_beta) = rest.split_at_mut(1);
        let mut scratch = vec![0.0; batch_norm_scratch_len(4, 1)];
        let mode = Statistics::Running;
        batch_norm_backward(ctx, &dz, &y, &norm, mode, dy, d_gamma, d_beta, &mut scratch);
        out
    });
    // Rows 1 and 3 lie beyond the limits. Normalised: -1 and 1.
    assert_eq!(out, [3.0, 0.0, 9.0, 0.0, 2.0, 4.0]);
}

#[test]
fn running_statistics_use_the_unbiased_variance() {
    let (mut mean, mut variance) = ([1.0], [1.0]);
    update_running(0.5, 5, &[3.0], &[4.0], &mut mean, &mut variance);
    assert_eq!((mean, variance), ([2.0], [3.0]));
}

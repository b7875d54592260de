use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

fn reference(row: &[f64]) -> Vec<f64> {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
    row.iter().map(|x| (x - max).exp() / sum).collect()
}

/// -sum(t ln p)
fn loss(row: &[f64], targets: &[f32]) -> f64 {
    reference(row).iter().zip(targets).map(|(p, &t)| -f64::from(t) * p.ln()).sum()
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn softmax_agrees_with_f64(
        rows in 1usize..60, columns in 1usize..70, scale in 0.1f32..30.0, seed: u64,
    ) {
        let x: Vec<f32> = random(rows * columns, seed).iter().map(|x| x * scale).collect();
        let dy = random(x.len(), seed ^ 1);
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; 2 * x.len()];
            let (y, dx) = out.split_at_mut(x.len());
            softmax(ctx, columns, &x, y);
            softmax_backward(ctx, columns, y, &dy, dx);
            out
        });
        let (mut y, mut dx) = (Vec::new(), Vec::new());
        for (row, dy) in x.chunks(columns).zip(dy.chunks(columns)) {
            let p = reference(&row.iter().map(|&x| x.into()).collect::<Vec<_>>());
            let dot: f64 = p.iter().zip(dy).map(|(p, &g)| p * f64::from(g)).sum();
            dx.extend(p.iter().zip(dy).map(|(p, &g)| p * (f64::from(g) - dot)));
            y.extend(p);
        }
        y.extend(dx);
        assert_close(&got, &y, 2e-6);
    }

    #[test]
    fn loss_and_gradient_agree_with_f64(rows in 1usize..20, classes in 1usize..40, seed: u64) {
        let logits: Vec<f32> = random(rows * classes, seed).iter().map(|x| x * 8.0).collect();
        // Any targets: sums of rows are what they are.
        let targets: Vec<f32> =
            random(logits.len(), seed ^ 1).iter().map(|t| t.abs() / classes as f32).collect();
        let scale = 1.0 / rows as f32;
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; rows + logits.len()];
            let (losses, d_logits) = out.split_at_mut(rows);
            cross_entropy(ctx, classes, &logits, &targets, scale, losses, d_logits);
            out
        });
        let wide: Vec<f64> = logits.iter().map(|&x| x.into()).collect();
        let (mut want, mut gradient) = (Vec::new(), Vec::new());
        for (row, targets) in wide.chunks(classes).zip(targets.chunks(classes)) {
            want.push(loss(row, targets));
            for j in 0..classes {
                let moved = |step: f64| {
                    let mut row = row.to_vec();
                    row[j] += step;
                    loss(&row, targets)
                };
                gradient.push((moved(1e-5) - moved(-1e-5)) / 2e-5 * f64::from(scale));
            }
        }
        want.extend(gradient);
        assert_close(&got, &want, 5e-6);
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let out = everywhere(|ctx| {
        let mut out = vec![0.0; 4];
        let (losses, d_logits) = out.split_at_mut(1);
        cross_entropy(ctx, 3, &[1e4, -1e4, 9e3], &[1.0, 0.0, 0.0], 1.0, losses, d_logits);
        out
    });
    assert_eq!(out, [0.0, 0.0, 0.0, 0.0]);
}

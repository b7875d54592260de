use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

fn reference(row: &[f64]) -> Vec<f64> {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
    row.iter().map(|x| (x - max).exp() / sum).collect()
}

fn loss(row: &[f64], label: usize, smoothing: f64) -> f64 {
    let p = reference(row);
    let term = |j: usize| {
        let target = smoothing / row.len() as f64 + if j == label { 1.0 - smoothing } else { 0.0 };
        -target * p[j].ln()
    };
    (0..row.len()).map(term).sum()
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
    fn loss_and_gradient_agree_with_f64(
        rows in 1usize..20, classes in 1usize..40, smoothing in 0f32..0.5, seed: u64,
    ) {
        let logits: Vec<f32> = random(rows * classes, seed).iter().map(|x| x * 8.0).collect();
        let labels: Vec<u32> = (0..rows).map(|i| ((seed as usize ^ i) % classes) as u32).collect();
        let scale = 1.0 / rows as f32;
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; rows + logits.len()];
            let (losses, d_logits) = out.split_at_mut(rows);
            cross_entropy(ctx, classes, &logits, &labels, smoothing, scale, losses, d_logits);
            out
        });
        let wide: Vec<f64> = logits.iter().map(|&x| x.into()).collect();
        let (mut want, mut gradient) = (Vec::new(), Vec::new());
        for (row, &label) in wide.chunks(classes).zip(&labels) {
            let label = label as usize;
            want.push(loss(row, label, smoothing.into()));
            for j in 0..classes {
                let moved = |step: f64| {
                    let mut row = row.to_vec();
                    row[j] += step;
                    loss(&row, label, smoothing.into())
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
        cross_entropy(ctx, 3, &[1e4, -1e4, 9e3], &[0], 0.0, 1.0, losses, d_logits);
        out
    });
    assert_eq!(out, [0.0, 0.0, 0.0, 0.0]);
}

use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

const UNARY: [Unary; 8] = [
    Unary::RELU,
    Unary::Clamp(0.0, 6.0),
    Unary::Clamp(-1.0, 0.5),
    Unary::LeakyRelu(0.1),
    Unary::Sigmoid,
    Unary::HardSigmoid(0.2, 0.5),
    Unary::HardSwish,
    Unary::Silu,
];

fn definition(op: Unary, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match op {
        Unary::Clamp(lo, hi) => x.clamp(lo.into(), hi.into()),
        Unary::LeakyRelu(slope) => {
            if x < 0.0 {
                x * f64::from(slope)
            } else {
                x
            }
        }
        Unary::Sigmoid => sigmoid,
        Unary::HardSigmoid(a, b) => (f64::from(a) * x + f64::from(b)).clamp(0.0, 1.0),
        Unary::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Unary::Silu => x * sigmoid,
    }
}

#[test]
fn functions_and_derivatives_agree_with_their_definitions() {
    // Values of -10..10 that keep away from the kinks.
    let x: Vec<f32> = (-40_000..40_000).map(|i| (i as f32 + 0.37) / 4_000.0).collect();
    let dy = random(x.len(), 9);
    for op in UNARY {
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; x.len()];
            unary(ctx, op, &x, &mut out);
            let mut copy = x.clone();
            unary_in_place(ctx, op, &mut copy);
            assert_eq!(out, copy);
            out
        });
        let want: Vec<f64> = x.iter().map(|&x| definition(op, x.into())).collect();
        assert_close(&got, &want, 1e-6);

        let got = everywhere(|ctx| {
            let mut dx = vec![1.0; x.len()];
            unary_backward(ctx, op, &x, &dy, &mut dx, true);
            dx
        });
        let step = 1e-6;
        let want: Vec<f64> = x
            .iter()
            .zip(&dy)
            .map(|(&x, &dy)| {
                let x = f64::from(x);
                let rise = definition(op, x + step) - definition(op, x - step);
                1.0 + f64::from(dy) * rise / (2.0 * step)
            })
            .collect();
        assert_close(&got, &want, 1e-5);
    }
}

#[test]
fn nan_stays_nan() {
    for op in UNARY {
        let out = everywhere(|ctx| {
            let mut x = vec![f32::NAN; 20];
            unary_in_place(ctx, op, &mut x);
            // The sign and payload of a NaN are not part of the promise.
            x.iter().map(|x| f32::from(u8::from(x.is_nan()))).collect()
        });
        assert_eq!(out, [1.0; 20]);
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn operands_broadcast(
        images in 1usize..4, pixels in 1usize..30, channels in 1usize..70,
        kinds in (0usize..4, 0usize..4), op in 0usize..4, clamp: bool, seed: u64,
    ) {
        let rows = images * pixels;
        let op = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div][op];
        let data = [random(rows * channels, seed), random(rows * channels, seed ^ 1)];
        let data = data.map(|x| x.iter().map(|x| x + 1.5).collect::<Vec<_>>());
        let operand = |side: usize, kind: usize| {
            let x = &data[side];
            match kind {
                0 => Operand::Full(x),
                1 => Operand::PerChannel(&x[..channels]),
                2 => Operand::PerImage(&x[..images * channels], pixels),
                _ => Operand::Scalar(x[0]),
            }
        };
        let value = |side: usize, kind: usize, i: usize| match kind {
            0 => data[side][i],
            1 => data[side][i % channels],
            2 => data[side][i / (pixels * channels) * channels + i % channels],
            _ => data[side][0],
        };
        let clamp = clamp.then_some((0.5, 2.0));
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; rows * channels];
            let (a, b) = (operand(0, kinds.0), operand(1, kinds.1));
            binary(ctx, op, channels, a, b, clamp, &mut out);
            out
        });
        let want: Vec<f64> = (0..rows * channels).map(|i| {
            let (a, b) = (f64::from(value(0, kinds.0, i)), f64::from(value(1, kinds.1, i)));
            let y = match op {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
                Binary::Div => a / b,
            };
            if clamp.is_some() { y.clamp(0.5, 2.0) } else { y }
        }).collect();
        assert_close(&got, &want, 1e-6);
    }
}

#[test]
fn additions_cross_task_borders() {
    let (a, b) = (random(3 * TASK + 5, 1), random(3 * TASK + 5, 2));
    let sum = everywhere(|ctx| {
        let mut out = vec![0.0; a.len()];
        add(ctx, &a, &b, None, &mut out);
        let mut other = a.clone();
        add_to(ctx, &b, &mut other);
        assert_eq!(out, other);
        out
    });
    assert!(sum.iter().zip(a.iter().zip(&b)).all(|(s, (a, b))| *s == a + b));
}

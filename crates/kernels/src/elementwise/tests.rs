use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

const UNARY: &[Unary] = &[
    Unary::RELU,
    Unary::Clamp(0.0, 6.0),
    Unary::Clamp(-1.0, 0.5),
    Unary::LeakyRelu(0.1),
    Unary::Sigmoid,
    Unary::HardSigmoid(0.2, 0.5),
    Unary::HardSwish,
    Unary::Silu,
    Unary::Mish,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Elu(1.5),
    Unary::Selu(1.67, 1.05),
    Unary::Celu(0.7),
    Unary::ThresholdedRelu(0.5),
    Unary::Shrink(0.25, 0.5),
    Unary::Softplus,
    Unary::Softsign,
    Unary::Tanh,
    Unary::Erf,
    Unary::Exp,
    Unary::Log,
    Unary::Sqrt,
    Unary::Reciprocal,
    Unary::Abs,
    Unary::Neg,
    Unary::Sign,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Sin,
    Unary::Cos,
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
        Unary::Mish => x * x.exp().ln_1p().tanh(),
        Unary::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Unary::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Unary::Elu(a) => elu(x, a.into()),
        Unary::Selu(a, gamma) => f64::from(gamma) * elu(x, a.into()),
        Unary::Celu(a) => {
            if x < 0.0 {
                elu(x / f64::from(a), a.into())
            } else {
                x
            }
        }
        Unary::ThresholdedRelu(a) => {
            if x > a.into() {
                x
            } else {
                0.0
            }
        }
        Unary::Shrink(bias, lambda) => {
            let outside = x.abs() > f64::from(lambda);
            if outside { x - f64::from(bias).copysign(x) } else { 0.0 }
        }
        Unary::Softplus => x.exp().ln_1p(),
        Unary::Softsign => x / (1.0 + x.abs()),
        Unary::Tanh => x.tanh(),
        Unary::Erf => erf(x),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Abs => x.abs(),
        Unary::Neg => -x,
        Unary::Sign => x.signum(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
    }
}

fn definition_of_two(op: Binary, a: f64, b: f64) -> f64 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
        Binary::Pow => a.powf(b),
        Binary::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        Binary::Fmod => a % b,
    }
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x < 0.0 { alpha * x.exp_m1() } else { x }
}

/// The error function by its series, which converges everywhere, and 1 where that is too slow.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    // erf(x) = 2/sqrt(pi) exp(-x^2) sum of x (2 x^2)^n / (1 * 3 * ... * (2n + 1))
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[test]
fn functions_and_derivatives_agree_with_their_definitions() {
    // Values of -10..10 that keep away from the kinks.
    let x: Vec<f32> = (-40_000..40_000).map(|i| (i as f32 + 0.37) / 4_000.0).collect();
    let dy = random(x.len(), 9);
    for &op in UNARY {
        // Logarithms and roots need positive numbers; slopes of 1/x and ln x near 0 exceed what
        // differences of float64 resolve.
        let positive = matches!(op, Unary::Log | Unary::Sqrt | Unary::Reciprocal);
        let x: Vec<f32> = x.iter().map(|&x| if positive { x.abs() + 0.1 } else { x }).collect();
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
    for &op in UNARY {
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
            let y = definition_of_two(op, a, b);
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

#[test]
fn functions_at_the_ends_of_the_numbers() {
    let x = [f32::NEG_INFINITY, -1e30, -100.0, -0.0, 0.0, 1e-30, 100.0, 1e30, f32::INFINITY];
    let at = |op| {
        everywhere(|ctx| {
            let mut out = x.to_vec();
            unary_in_place(ctx, op, &mut out);
            // Of NaN, only that it is one.
            out.iter().map(|y| if y.is_nan() { f32::NAN } else { *y }).collect()
        })
    };
    assert_eq!(at(Unary::Tanh), [-1.0, -1.0, -1.0, 0.0, 0.0, 1e-30, 1.0, 1.0, 1.0]);
    assert_eq!(at(Unary::Erf)[..3], [-1.0; 3]);
    assert_eq!(at(Unary::Elu(2.0))[..4], [-2.0, -2.0, -2.0, 0.0]);
    assert_eq!(at(Unary::Softplus)[..2], [0.0, 0.0]);
    assert_eq!(at(Unary::Softplus)[6..], [100.0, 1e30, f32::INFINITY]);
    assert_eq!(at(Unary::Mish)[6..], [100.0, 1e30, f32::INFINITY]);
    assert_eq!(at(Unary::Log)[3..5], [f32::NEG_INFINITY; 2]);
    assert!(at(Unary::Log)[..3].iter().all(|y| y.is_nan()));
    assert_eq!(at(Unary::Log)[8], f32::INFINITY);
    assert_eq!(at(Unary::Sign), [-1.0, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(at(Unary::Sqrt)[..3].iter().all(|y| y.is_nan()));
}

#[test]
fn binary_functions_of_special_numbers() {
    let pairs = |op, a: &[f32], b: &[f32]| {
        everywhere(|ctx| {
            let mut out = vec![0.0; a.len()];
            binary(ctx, op, 1, Operand::Full(a), Operand::Full(b), None, &mut out);
            out
        })
    };
    let nan = f32::NAN;
    let (a, b) = ([1.0, nan, 2.0, -3.0, 5.5], [2.0, 1.0, nan, -4.0, -2.0]);
    for op in [Binary::Max, Binary::Min] {
        let y = pairs(op, &a, &b);
        assert!(y[1].is_nan() && y[2].is_nan(), "{op:?}");
    }
    assert_eq!(pairs(Binary::Max, &a, &b)[3..], [-3.0, 5.5]);
    assert_eq!(pairs(Binary::Min, &a, &b)[3..], [-4.0, -2.0]);
    assert_eq!(pairs(Binary::Fmod, &a[3..], &b[3..]), [-3.0, 1.5]);
    assert_eq!(pairs(Binary::PRelu, &a[3..], &b[3..]), [12.0, 5.5]);
    assert_eq!(pairs(Binary::Pow, &[3.0, 4.0, 2.0], &[2.0, 0.5, -1.0]), [9.0, 2.0, 0.5]);
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn any_broadcast_is_that_of_its_definition(
        dims in proptest::collection::vec((1usize..7, 0usize..4), 1..5), op in 0usize..9,
        clamp: bool, long: bool, seed: u64,
    ) {
        const OPS: [Binary; 9] = [
            Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min,
            Binary::Pow, Binary::PRelu, Binary::Fmod,
        ];
        let op = OPS[op];
        let mut extents: Vec<usize> = dims.iter().map(|d| d.0).collect();
        if long {
            *extents.last_mut().unwrap() *= 300;
        }
        // Each dimension is broadcast in neither, the first, the second or both operands; operands
        // lie in memory with the first dimension innermost, so that rows are strided as well.
        let strides = |side: usize| {
            let mut step = 1;
            dims.iter().zip(&extents).map(|(&(_, kind), &extent)| {
                let own = kind >> side & 1 == 0;
                let stride = if own { step } else { 0 };
                step *= if own { extent } else { 1 };
                stride
            }).collect::<Vec<usize>>()
        };
        let steps = [strides(0), strides(1)];
        let len = extents.iter().product::<usize>();
        let data = [random(len, seed), random(len, seed ^ 1)];
        let data = data.map(|x| x.iter().map(|x| x + 1.5).collect::<Vec<_>>());
        let limits = clamp.then_some((0.5, 2.0));
        let walk = Walk::new(&extents, &steps[0], &steps[1]);
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; len];
            broadcast(ctx, op, &walk, &data[0], &data[1], limits, &mut out);
            out
        });
        let want: Vec<f64> = (0..len).map(|i| {
            let (mut rest, mut at) = (i, [0; 2]);
            for d in (0..extents.len()).rev() {
                let index = rest % extents[d];
                rest /= extents[d];
                (0..2).for_each(|o| at[o] += index * steps[o][d]);
            }
            let (a, b) = (f64::from(data[0][at[0]]), f64::from(data[1][at[1]]));
            let y = definition_of_two(op, a, b);
            if clamp { y.clamp(0.5, 2.0) } else { y }
        }).collect();
        assert_close(&got, &want, 1e-6);
        // In place, with a first operand of the result's order.
        let mut rows: Vec<usize> = extents.iter().rev().scan(1, |step, extent| {
            *step *= extent;
            Some(*step / extent)
        }).collect();
        rows.reverse();
        let walk = Walk::new(&extents, &rows, &steps[1]);
        assert!(walk.is_along_first());
        everywhere(|ctx| {
            let mut want = vec![f32::NAN; len];
            broadcast(ctx, op, &walk, &data[0], &data[1], limits, &mut want);
            let mut got = data[0].clone();
            broadcast_in_place(ctx, op, &walk, &data[1], limits, &mut got);
            let same = got.iter().zip(&want).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{op:?}");
            got
        });
    }
}

//! Functions of one value.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use crate::interpret::Args;
use crate::interpret::element::{Number, for_numbers};
use crate::{Data, Result, Unary};

/// Applies `function` to every element.
pub(in crate::interpret) fn unary(args: &Args, function: &Unary) -> Result<Data> {
    match args.tensor(0)?.data() {
        Data::F32(x) => Ok(float(x, function).into()),
        integers => Ok(for_numbers!(args, integers, x => integer(args, x, function)?)),
    }
}

/// Integers: the smallest negative number has no opposite and stays.
fn integer<T: Number>(args: &Args, x: &[T], function: &Unary) -> Result<Vec<T>> {
    Ok(match *function {
        Unary::Relu => each(x, |v| v.larger(T::ZERO)),
        Unary::Clip { min, max } => {
            // What a bound between two integers lets through begins at the inner one.
            let low = T::from_f32(if min.is_nan() { f32::NEG_INFINITY } else { min.ceil() });
            let high = T::from_f32(if max.is_nan() { f32::INFINITY } else { max.floor() });
            each(x, |v| clamp(v, low, high))
        }
        Unary::Abs => each(x, Number::abs),
        Unary::Neg => each(x, Number::neg),
        Unary::Sign => each(x, Number::sign),
        _ => return Err(args.node.error(format!("{function:?} takes float32 only"))),
    })
}

/// Float32; what is not exact by itself is computed in float64 and rounded once. NaN stays NaN,
/// except where a comparison with a threshold decides.
fn float(x: &[f32], function: &Unary) -> Vec<f32> {
    let wide = |f: &dyn Fn(f64) -> f64| each(x, |v| f(v.into()) as f32);
    match *function {
        Unary::Relu => each(x, |v| clamp(v, 0.0, f32::INFINITY)),
        Unary::Clip { min, max } => each(x, |v| clamp(v, min, max)),
        Unary::LeakyRelu { alpha } => each(x, |v| if v < 0.0 { alpha * v } else { v }),
        Unary::HardSigmoid { alpha, beta } => each(x, |v| hard_sigmoid(v, alpha, beta)),
        Unary::HardSwish => each(x, |v| v * hard_sigmoid(v, 1.0 / 6.0, 0.5)),
        Unary::ThresholdedRelu { alpha } => each(x, |v| if v > alpha { v } else { 0.0 }),
        Unary::Shrink { bias, lambda } => each(x, |v| shrink(v, bias, lambda)),
        Unary::Sqrt => each(x, f32::sqrt),
        Unary::Reciprocal => each(x, |v| 1.0 / v),
        Unary::Abs => each(x, f32::abs),
        Unary::Neg => each(x, |v| -v),
        Unary::Sign => each(x, Number::sign),
        Unary::Floor => each(x, f32::floor),
        Unary::Ceil => each(x, f32::ceil),
        Unary::Round => each(x, f32::round_ties_even),
        Unary::Silu => each(x, |v| v * sigmoid(v.into()) as f32),
        Unary::Sigmoid => wide(&sigmoid),
        Unary::Mish => wide(&|v| v * libm::tanh(softplus(v))),
        // erfc keeps the digits that 1 + erf loses below zero.
        Unary::Gelu { tanh: false } => wide(&|v| 0.5 * v * libm::erfc(-v * FRAC_1_SQRT_2)),
        Unary::Gelu { tanh: true } => wide(&gelu_tanh),
        Unary::Elu { alpha } => wide(&|v| elu(v, alpha.into())),
        Unary::Selu { alpha, gamma } => wide(&|v| f64::from(gamma) * elu(v, alpha.into())),
        Unary::Celu { alpha } => {
            let alpha = f64::from(alpha);
            wide(&|v| above_zero(v) + below_zero(alpha * libm::expm1(v / alpha)))
        }
        Unary::Softplus => wide(&softplus),
        Unary::Softsign => wide(&|v| v / (1.0 + v.abs())),
        Unary::Tanh => wide(&libm::tanh),
        Unary::Erf => wide(&libm::erf),
        Unary::Exp => wide(&libm::exp),
        Unary::Log => wide(&libm::log),
        Unary::Sin => wide(&libm::sin),
        Unary::Cos => wide(&libm::cos),
    }
}

fn each<T: Copy>(x: &[T], function: impl Fn(T) -> T) -> Vec<T> {
    x.iter().map(|&v| function(v)).collect()
}

/// `min(max(v, low), high)`, defined for any bounds: `clamp` of std panics where low > high.
fn clamp<T: PartialOrd>(v: T, low: T, high: T) -> T {
    let raised = if v < low { low } else { v };
    if raised > high { high } else { raised }
}

fn hard_sigmoid(v: f32, alpha: f32, beta: f32) -> f32 {
    clamp(alpha * v + beta, 0.0, 1.0)
}

fn shrink(v: f32, bias: f32, lambda: f32) -> f32 {
    if v < -lambda {
        v + bias
    } else if v > lambda {
        v - bias
    } else {
        0.0
    }
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-v))
}

/// `ln(1 + exp(v))` without overflow.
fn softplus(v: f64) -> f64 {
    above_zero(v) + libm::log1p(libm::exp(-v.abs()))
}

/// `v / 2 * (1 + tanh(s))` as `v * sigmoid(2 s)`, the same function without cancellation.
fn gelu_tanh(v: f64) -> f64 {
    v * sigmoid(2.0 * FRAC_2_PI.sqrt() * (v + 0.044_715 * v * v * v))
}

fn elu(v: f64, alpha: f64) -> f64 {
    if v < 0.0 { alpha * libm::expm1(v) } else { v }
}

fn above_zero(v: f64) -> f64 {
    if v < 0.0 { 0.0 } else { v }
}

fn below_zero(v: f64) -> f64 {
    if v > 0.0 { 0.0 } else { v }
}

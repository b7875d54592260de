//! Functions of one float and their derivatives, from basic arithmetic and this crate's `exp`.
//!
//! No function here branches in a way that keeps a loop over it from being vectorised: both sides
//! are cheap and the result is selected.

use crate::exp::{exp, exp_minus_one, ln};

pub(super) const SIXTH: f32 = 1.0 / 6.0;

#[inline(always)]
pub(super) fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    // Both comparisons are false for NaN.
    let x = if lo > x { lo } else { x };
    if hi < x { hi } else { x }
}

/// 1 inside the open interval, else 0.
#[inline(always)]
pub(super) fn inside(x: f32, lo: f32, hi: f32) -> f32 {
    if lo < x && x < hi { 1.0 } else { 0.0 }
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// From `tanh(|x|) = (1 - e) / (1 + e)` with `e = exp(-2 |x|)`.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let e = exp_minus_one(-2.0 * x.abs());
    (-e / (2.0 + e)).copysign(x)
}

/// `c[0] x^n + c[1] x^(n-1) + ... + c[n]`
#[inline(always)]
fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    c.into_iter().reduce(|sum, c| sum.mul_add(x, c)).unwrap_or(0.0)
}

/// 1 - erf(x) for x >= 1: `exp(-x^2)` / x times a polynomial in 1/x^2 (Cephes `erfcf`).
#[inline(always)]
fn erfc(x: f32) -> f32 {
    let t = 1.0 / x;
    let near = polynomial(
        t * t,
        [
            2.326_82e-2,
            -1.387_039_4e-1,
            3.687_424_7e-1,
            -5.824_733e-1,
            6.210_004_6e-1,
            -4.944_515_3e-1,
            3.404_88e-1,
            -2.741_127e-1,
            5.638_259_4e-1,
        ],
    );
    let far = polynomial(
        t * t,
        [
            -1.047_766_4e1,
            1.297_72e1,
            -7.495_518_7,
            2.921_019,
            -1.015_265_3,
            4.218_463_4e-1,
            -2.820_767_4e-1,
            5.641_895e-1,
        ],
    );
    exp(-(x * x)) * t * if x < 2.0 { near } else { far }
}

/// The error function (Cephes `erff`).
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let inner = x * polynomial(
        x * x,
        [
            7.853_861_4e-5,
            -8.010_194e-4,
            5.188_327_7e-3,
            -2.685_381_2e-2,
            1.128_358_5e-1,
            -3.761_262_6e-1,
            std::f32::consts::FRAC_2_SQRT_PI,
        ],
    );
    let outer = (1.0 - erfc(if a < 1.0 { 1.0 } else { a })).copysign(x);
    if a < 1.0 { inner } else { outer }
}

/// The normal distribution function, `(1 + erf(x / sqrt(2))) / 2`, without cancellation below zero.
#[inline(always)]
pub(super) fn normal_cdf(x: f32) -> f32 {
    let z = x * std::f32::consts::FRAC_1_SQRT_2;
    let tail = erfc(if z > -1.0 { 1.0 } else { -z });
    0.5 * if z < -1.0 { tail } else { 1.0 + erf(z) }
}

/// Twice the argument of tanh in the approximation of Gelu.
#[inline(always)]
pub(super) fn gelu_inner(x: f32) -> f32 {
    const SQRT_8_BY_PI: f32 = 1.595_769;
    SQRT_8_BY_PI * (0.044_715 * x * x).mul_add(x, x)
}

/// Natural logarithm; minus infinity at 0, NaN below.
#[inline(always)]
pub(super) fn log(x: f32) -> f32 {
    let y = ln(f64::from(x)) as f32;
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x < 0.0 { f32::NAN } else { y };
    // Infinity and NaN are their own logarithms.
    if x < f32::INFINITY { y } else { x }
}

/// ln(1 + exp(x)) as `max(x, 0) + ln(1 + exp(-|x|))`.
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    let e = f64::from(exp(-x.abs()));
    // 1 + e loses digits of a small e, for which e - e^2 / 2 is the logarithm to 1e-12.
    let y = if e < 1e-4 { e - 0.5 * e * e } else { ln(1.0 + e) } as f32;
    let y = y + if x > 0.0 { x } else { 0.0 };
    if x.is_nan() { x } else { y }
}

/// tanh(softplus(x)) as `(s - 1) / (s + 1)` with `s = (1 + exp(x))^2`.
#[inline(always)]
pub(super) fn mish_gate(x: f32) -> f32 {
    // Beyond 20 it is 1 to the last bit, and exp(x)^2 must not overflow.
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let s = e * (e + 2.0);
    s / (s + 2.0)
}

/// x where x >= 0, else alpha * (exp(x) - 1)
#[inline(always)]
pub(super) fn elu(x: f32, alpha: f32) -> f32 {
    let below = alpha * exp_minus_one(if x > 0.0 { 0.0 } else { x });
    if x >= 0.0 { x } else { below }
}

/// -1, 0 or 1; NaN for NaN.
#[inline(always)]
pub(super) fn sign(x: f32) -> f32 {
    let y = if x > 0.0 { 1.0 } else { x };
    if x < 0.0 { -1.0 } else { y }
}

/// x where |x| > lambda, moved towards zero by bias; else 0.
#[inline(always)]
pub(super) fn shrink(x: f32, bias: f32, lambda: f32) -> f32 {
    let y = if x > lambda { x - bias } else { 0.0 };
    let y = if x < -lambda { x + bias } else { y };
    if x.is_nan() { x } else { y }
}

/// The derivative of [`elu`].
#[inline(always)]
pub(super) fn elu_slope(x: f32, alpha: f32) -> f32 {
    if x >= 0.0 { 1.0 } else { alpha * exp(x) }
}

/// The derivative of `x * sigmoid(x)`.
#[inline(always)]
pub(super) fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

//! Functions of single elements, and of two broadcast operands.
//!
//! These are limited by memory: plain loops over slices, which the compiler vectorises, cut into
//! tasks of a size that is worth handing out. Where an operator can ride on the store of a
//! convolution instead ([`Epilogue`](crate::Epilogue)), it should.

mod binary;
mod functions;
mod walk;

pub use binary::{Binary, Operand, add, add_to, binary};
pub(crate) use binary::{Row, apply_row};
pub use walk::{Walk, broadcast, broadcast_in_place};

use serde::{Deserialize, Serialize};

use crate::Ctx;
use crate::exp::exp;
use crate::simd::simd_fn;
use functions::*;

/// Floats per task.
const TASK: usize = 16 * 1024;

/// Functions of one element. NaN gives NaN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Unary {
    /// `min(max(x, lo), hi)`: ReLU is `(0, infinity)`, ReLU6 `(0, 6)`.
    Clamp(f32, f32),
    /// x, below zero times this slope.
    LeakyRelu(f32),
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `min(max(alpha * x + beta, 0), 1)` of `(alpha, beta)`.
    HardSigmoid(f32, f32),
    /// `x * min(max(x / 6 + 1/2, 0), 1)`
    HardSwish,
    /// `x / (1 + exp(-x))`, also called Swish.
    Silu,
    /// `x * tanh(ln(1 + exp(x)))`
    Mish,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// Gelu's approximation, `x / 2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// x, below zero `alpha * (exp(x) - 1)`.
    Elu(f32),
    /// gamma times Elu, of `(alpha, gamma)`.
    Selu(f32, f32),
    /// x, below zero `alpha * (exp(x / alpha) - 1)`.
    Celu(f32),
    /// x above this, else 0.
    ThresholdedRelu(f32),
    /// x moved towards zero by bias where |x| > lambda, else 0, of `(bias, lambda)`.
    Shrink(f32, f32),
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function.
    Erf,
    /// e^x
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// |x|
    Abs,
    /// -x
    Neg,
    /// -1, 0 or 1.
    Sign,
    /// Largest integer not above x.
    Floor,
    /// Smallest integer not below x.
    Ceil,
    /// Nearest integer, halves to the even one.
    Round,
    /// Sine of radians, computed in float64 and rounded once.
    Sin,
    /// Cosine of radians, computed in float64 and rounded once.
    Cos,
}

impl Unary {
    /// Rectified linear unit.
    pub const RELU: Unary = Unary::Clamp(0.0, f32::INFINITY);
}

/// `out = op(x)`.
///
/// # Panics
/// If the sizes differ.
pub fn unary(ctx: Ctx, op: Unary, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    ctx.pool.for_each_chunk_mut(out, TASK, |i, out| {
        out.copy_from_slice(&x[i * TASK..i * TASK + out.len()]);
        unary_chunk(ctx.isa, op, out);
    });
}

/// `x = op(x)`.
pub fn unary_in_place(ctx: Ctx, op: Unary, x: &mut [f32]) {
    ctx.pool.for_each_chunk_mut(x, TASK, |_, x| unary_chunk(ctx.isa, op, x));
}

/// `dx = dy * op'(x)`, added to the old content if `accumulate`. At a kink the derivative is 0
/// (for LeakyReLU the slope).
///
/// # Panics
/// If the sizes differ.
pub fn unary_backward(
    ctx: Ctx,
    op: Unary,
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    assert!(x.len() == dx.len() && dy.len() == dx.len());
    ctx.pool.for_each_chunk_mut(dx, TASK, |i, dx| {
        let range = i * TASK..i * TASK + dx.len();
        unary_backward_chunk(ctx.isa, op, &x[range.clone()], &dy[range], dx, accumulate);
    });
}

simd_fn! {
    fn unary_chunk(_s: Simd, op: Unary, x: &mut [f32]) {
        #[inline(always)]
        fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
            x.iter_mut().for_each(|x| *x = f(*x));
        }
        match op {
            Unary::Clamp(lo, hi) => map(x, |x| clamp(x, lo, hi)),
            Unary::LeakyRelu(slope) => map(x, |x| if x < 0.0 { slope * x } else { x }),
            Unary::Sigmoid => map(x, sigmoid),
            Unary::HardSigmoid(alpha, beta) => map(x, |x| clamp(alpha * x + beta, 0.0, 1.0)),
            Unary::HardSwish => map(x, |x| x * clamp(x * SIXTH + 0.5, 0.0, 1.0)),
            Unary::Silu => map(x, |x| x * sigmoid(x)),
            Unary::Mish => map(x, |x| x * mish_gate(x)),
            Unary::Gelu => map(x, |x| x * normal_cdf(x)),
            Unary::GeluTanh => map(x, |x| x * sigmoid(gelu_inner(x))),
            Unary::Elu(alpha) => map(x, |x| elu(x, alpha)),
            Unary::Selu(alpha, gamma) => map(x, |x| gamma * elu(x, alpha)),
            Unary::Celu(alpha) => map(x, |x| if x >= 0.0 { x } else { elu(x / alpha, alpha) }),
            Unary::ThresholdedRelu(alpha) => map(x, |x| if x <= alpha { 0.0 } else { x }),
            Unary::Shrink(bias, lambda) => map(x, |x| shrink(x, bias, lambda)),
            Unary::Softplus => map(x, softplus),
            Unary::Softsign => map(x, |x| x / (1.0 + x.abs())),
            Unary::Tanh => map(x, tanh),
            Unary::Erf => map(x, erf),
            Unary::Exp => map(x, exp),
            Unary::Log => map(x, log),
            Unary::Sqrt => map(x, f32::sqrt),
            Unary::Reciprocal => map(x, |x| 1.0 / x),
            Unary::Abs => map(x, f32::abs),
            Unary::Neg => map(x, |x| -x),
            Unary::Sign => map(x, sign),
            Unary::Floor => map(x, f32::floor),
            Unary::Ceil => map(x, f32::ceil),
            Unary::Round => map(x, f32::round_ties_even),
            Unary::Sin => map(x, |x| libm::sin(x.into()) as f32),
            Unary::Cos => map(x, |x| libm::cos(x.into()) as f32),
        }
    }
}

simd_fn! {
    fn unary_backward_chunk(
        _s: Simd,
        op: Unary,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        accumulate: bool,
    ) {
        if !accumulate {
            dx.fill(0.0);
        }
        #[inline(always)]
        fn map(x: &[f32], dy: &[f32], dx: &mut [f32], slope: impl Fn(f32) -> f32) {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx += dy * slope(x);
            }
        }
        match op {
            Unary::Clamp(lo, hi) => map(x, dy, dx, |x| inside(x, lo, hi)),
            Unary::LeakyRelu(slope) => map(x, dy, dx, |x| if x <= 0.0 { slope } else { 1.0 }),
            Unary::Sigmoid => map(x, dy, dx, |x| sigmoid(x) * (1.0 - sigmoid(x))),
            Unary::HardSigmoid(alpha, beta) => {
                map(x, dy, dx, |x| alpha * inside(alpha * x + beta, 0.0, 1.0));
            }
            Unary::HardSwish => map(x, dy, dx, |x| {
                let slope = x * (2.0 * SIXTH) + 0.5;
                if x <= -3.0 { 0.0 } else if x >= 3.0 { 1.0 } else { slope }
            }),
            Unary::Silu => map(x, dy, dx, silu_slope),
            Unary::Mish => map(x, dy, dx, |x| {
                let t = mish_gate(x);
                t + x * (1.0 - t * t) * sigmoid(x)
            }),
            Unary::Gelu => map(x, dy, dx, |x| {
                const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
                normal_cdf(x) + DENSITY * x * exp(-0.5 * x * x)
            }),
            Unary::GeluTanh => map(x, dy, dx, |x| {
                let (inner, s) = (gelu_inner(x), sigmoid(gelu_inner(x)));
                // x times the slope of the inner function is 3 inner - 2 sqrt(8/pi) x.
                s + s * (1.0 - s) * (3.0 * inner - 2.0 * 1.595_769 * x)
            }),
            Unary::Elu(alpha) => map(x, dy, dx, |x| elu_slope(x, alpha)),
            Unary::Selu(alpha, gamma) => map(x, dy, dx, |x| gamma * elu_slope(x, alpha)),
            Unary::Celu(alpha) => map(x, dy, dx, |x| elu_slope(x / alpha, 1.0)),
            Unary::ThresholdedRelu(alpha) => map(x, dy, dx, |x| inside(x, alpha, f32::INFINITY)),
            Unary::Shrink(_, lambda) => {
                map(x, dy, dx, |x| inside(x.abs(), lambda, f32::INFINITY));
            }
            Unary::Softplus => map(x, dy, dx, sigmoid),
            Unary::Softsign => map(x, dy, dx, |x| 1.0 / ((1.0 + x.abs()) * (1.0 + x.abs()))),
            Unary::Tanh => map(x, dy, dx, |x| 1.0 - tanh(x) * tanh(x)),
            Unary::Erf => map(x, dy, dx, |x| std::f32::consts::FRAC_2_SQRT_PI * exp(-(x * x))),
            Unary::Exp => map(x, dy, dx, exp),
            Unary::Log => map(x, dy, dx, |x| 1.0 / x),
            Unary::Sqrt => map(x, dy, dx, |x| 0.5 / x.sqrt()),
            Unary::Reciprocal => map(x, dy, dx, |x| -1.0 / (x * x)),
            Unary::Abs => map(x, dy, dx, sign),
            Unary::Neg => map(x, dy, dx, |_| -1.0),
            Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => {}
            Unary::Sin => map(x, dy, dx, |x| libm::cos(x.into()) as f32),
            Unary::Cos => map(x, dy, dx, |x| -libm::sin(x.into()) as f32),
        }
    }
}

#[cfg(test)]
mod tests;

//! Functions of single elements, and of two broadcast operands.
//!
//! These are limited by memory: plain loops over slices, which the compiler vectorises, cut into
//! tasks of a size that is worth handing out. Where an operator can ride on the store of a
//! convolution instead ([`Epilogue`](crate::Epilogue)), it should.

use crate::Ctx;
use crate::exp::exp;
use crate::simd::simd_fn;

/// Floats per task.
const TASK: usize = 16 * 1024;

/// Functions of one element. NaN gives NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
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

#[inline(always)]
fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    // Both comparisons are false for NaN.
    let x = if lo > x { lo } else { x };
    if hi < x { hi } else { x }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// 1 inside the open interval, else 0.
#[inline(always)]
fn inside(x: f32, lo: f32, hi: f32) -> f32 {
    if lo < x && x < hi { 1.0 } else { 0.0 }
}

const SIXTH: f32 = 1.0 / 6.0;

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
            Unary::Silu => map(x, dy, dx, |x| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))),
        }
    }
}

/// Functions of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
}

/// An operand of [`binary`], broadcast to `[rows, channels]`.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// `[rows, channels]`
    Full(&'a [f32]),
    /// `[channels]`, the same for all rows.
    PerChannel(&'a [f32]),
    /// `[images, channels]`, the same for this many consecutive rows: a squeeze-and-excitation
    /// gate.
    PerImage(&'a [f32], usize),
    /// One value.
    Scalar(f32),
}

/// A row of an operand.
enum Row<'a> {
    Values(&'a [f32]),
    Value(f32),
}

impl<'a> Operand<'a> {
    fn check(&self, rows: usize, channels: usize) {
        let fits = match *self {
            Operand::Full(x) => x.len() == rows * channels,
            Operand::PerChannel(x) => x.len() == channels,
            Operand::PerImage(x, per) => per > 0 && x.len() == rows.div_ceil(per) * channels,
            Operand::Scalar(_) => true,
        };
        assert!(fits, "an operand does not broadcast to {rows} rows of {channels}");
    }

    fn is_flat(&self) -> bool {
        matches!(self, Operand::Full(_) | Operand::Scalar(_))
    }

    /// Row `row` of rows of `width` elements, the first `len` of it.
    #[inline(always)]
    fn row(&self, row: usize, width: usize, len: usize) -> Row<'a> {
        match *self {
            Operand::Full(x) => Row::Values(&x[row * width..row * width + len]),
            Operand::PerChannel(x) => Row::Values(&x[..len]),
            Operand::PerImage(x, per) => Row::Values(&x[row / per * width..][..len]),
            Operand::Scalar(x) => Row::Value(x),
        }
    }
}

/// `out[rows, channels] = clamp(a op b)`.
///
/// # Panics
/// If an operand does not broadcast to `out`.
pub fn binary(
    ctx: Ctx,
    op: Binary,
    channels: usize,
    a: Operand,
    b: Operand,
    clamp: Option<(f32, f32)>,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let rows = out.len() / channels.max(1);
    assert_eq!(rows * channels, out.len(), "no whole rows of {channels}");
    a.check(rows, channels);
    b.check(rows, channels);
    // Without broadcast a "row" may have any length.
    let width = if a.is_flat() && b.is_flat() { TASK } else { channels };
    let per_task = (TASK / width).max(1);
    ctx.pool.for_each_chunk_mut(out, per_task * width, |task, out| {
        binary_rows(ctx.isa, op, a, b, clamp, task * per_task, width, out);
    });
}

/// `out = clamp(a + b)`: a residual addition.
///
/// # Panics
/// If the sizes differ.
pub fn add(ctx: Ctx, a: &[f32], b: &[f32], clamp: Option<(f32, f32)>, out: &mut [f32]) {
    binary(ctx, Binary::Add, 1, Operand::Full(a), Operand::Full(b), clamp, out);
}

/// `out += a`.
///
/// # Panics
/// If the sizes differ.
pub fn add_to(ctx: Ctx, a: &[f32], out: &mut [f32]) {
    assert_eq!(a.len(), out.len());
    ctx.pool.for_each_chunk_mut(out, TASK, |i, out| {
        add_chunk(ctx.isa, &a[i * TASK..i * TASK + out.len()], out);
    });
}

simd_fn! {
    fn add_chunk(_s: Simd, a: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(a).for_each(|(x, y)| *x += *y);
    }
}

simd_fn! {
    fn binary_rows(
        _s: Simd,
        op: Binary,
        a: Operand<'_>,
        b: Operand<'_>,
        limits: Option<(f32, f32)>,
        first: usize,
        width: usize,
        out: &mut [f32],
    ) {
        #[inline(always)]
        fn map(a: Row, b: Row, out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
            match (a, b) {
                (Row::Values(a), Row::Values(b)) => {
                    out.iter_mut().zip(a).zip(b).for_each(|((x, a), b)| *x = f(*a, *b));
                }
                (Row::Values(a), Row::Value(b)) => {
                    out.iter_mut().zip(a).for_each(|(x, a)| *x = f(*a, b));
                }
                (Row::Value(a), Row::Values(b)) => {
                    out.iter_mut().zip(b).for_each(|(x, b)| *x = f(a, *b));
                }
                (Row::Value(a), Row::Value(b)) => out.fill(f(a, b)),
            }
        }
        let (lo, hi) = limits.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        for (i, out) in out.chunks_mut(width).enumerate() {
            let len = out.len();
            let (a, b) = (a.row(first + i, width, len), b.row(first + i, width, len));
            match op {
                Binary::Add => map(a, b, out, |a, b| clamp(a + b, lo, hi)),
                Binary::Sub => map(a, b, out, |a, b| clamp(a - b, lo, hi)),
                Binary::Mul => map(a, b, out, |a, b| clamp(a * b, lo, hi)),
                Binary::Div => map(a, b, out, |a, b| clamp(a / b, lo, hi)),
            }
        }
    }
}

#[cfg(test)]
mod tests;

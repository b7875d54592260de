//! Functions of two broadcast operands.

use serde::{Deserialize, Serialize};

use super::TASK;
use super::functions::clamp;
use crate::Ctx;
use crate::simd::simd_fn;

/// Functions of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
    /// The larger one; NaN where either is NaN.
    Max,
    /// The smaller one; NaN where either is NaN.
    Min,
    /// a to the power b, computed in float64 and rounded once.
    Pow,
    /// a where a >= 0, else a * b.
    PRelu,
    /// Remainder of a / b with the sign of a, as in C.
    Fmod,
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
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
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
        for (i, out) in out.chunks_mut(width).enumerate() {
            let len = out.len();
            let (a, b) = (a.row(first + i, width, len), b.row(first + i, width, len));
            apply_row(op, a, b, limits, out);
        }
    }
}

/// Elements that a function of two elements is applied to.
trait Pairs {
    fn map(self, f: impl Fn(f32, f32) -> f32);
}

/// `out = f(a, b)`
struct Apart<'a>(Row<'a>, Row<'a>, &'a mut [f32]);

impl Pairs for Apart<'_> {
    #[inline(always)]
    fn map(self, f: impl Fn(f32, f32) -> f32) {
        let Apart(a, b, out) = self;
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
}

/// `out = f(out, b)`
struct InPlace<'a>(&'a mut [f32], Row<'a>);

impl Pairs for InPlace<'_> {
    #[inline(always)]
    fn map(self, f: impl Fn(f32, f32) -> f32) {
        let InPlace(out, b) = self;
        match b {
            Row::Values(b) => out.iter_mut().zip(b).for_each(|(x, b)| *x = f(*x, *b)),
            Row::Value(b) => out.iter_mut().for_each(|x| *x = f(*x, b)),
        }
    }
}

/// `out = clamp(a op b)` of rows.
#[inline(always)]
pub(crate) fn apply_row(
    op: Binary,
    a: Row<'_>,
    b: Row<'_>,
    limits: Option<(f32, f32)>,
    out: &mut [f32],
) {
    apply(op, limits, Apart(a, b, out));
}

/// `out = clamp(out op b)` of rows.
#[inline(always)]
pub(crate) fn apply_row_in_place(
    op: Binary,
    b: Row<'_>,
    limits: Option<(f32, f32)>,
    out: &mut [f32],
) {
    apply(op, limits, InPlace(out, b));
}

#[inline(always)]
fn apply(op: Binary, limits: Option<(f32, f32)>, pairs: impl Pairs) {
    let (lo, hi) = limits.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    match op {
        Binary::Add => pairs.map(|a, b| clamp(a + b, lo, hi)),
        Binary::Sub => pairs.map(|a, b| clamp(a - b, lo, hi)),
        Binary::Mul => pairs.map(|a, b| clamp(a * b, lo, hi)),
        Binary::Div => pairs.map(|a, b| clamp(a / b, lo, hi)),
        Binary::Max => pairs.map(|a, b| clamp(larger(a, b), lo, hi)),
        Binary::Min => pairs.map(|a, b| clamp(-larger(-a, -b), lo, hi)),
        Binary::Pow => pairs.map(|a, b| clamp(power(a, b), lo, hi)),
        Binary::PRelu => pairs.map(|a, b| clamp(if a >= 0.0 { a } else { a * b }, lo, hi)),
        Binary::Fmod => pairs.map(|a, b| clamp(a % b, lo, hi)),
    }
}

/// The larger one; NaN where either is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    let y = if a > b { a } else { b };
    if a.is_nan() { a } else { y }
}

#[inline(always)]
fn power(a: f32, b: f32) -> f32 {
    // Squares are what networks compute, and a square is exact in float64.
    if b == 2.0 { a * a } else { libm::pow(a.into(), b.into()) as f32 }
}

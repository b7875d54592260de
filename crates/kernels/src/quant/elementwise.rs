//! Functions of two bytes.

use super::Affine;
use super::affine::Quantizer;
use crate::elementwise::{Binary, Row, Walk, apply_row};
use crate::simd::simd_fn;
use crate::{Ctx, Isa};

/// An operand: bytes, and the numbers that they stand for.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// What they mean.
    pub meaning: Meaning<'a>,
}

/// What bytes stand for.
#[derive(Clone, Copy, Debug)]
pub enum Meaning<'a> {
    /// Evenly spaced numbers.
    Affine(Affine),
    /// Any numbers.
    Table(&'a [f32; 256]),
}

impl Numbers<'_> {
    /// The numbers from `start` on, `step` apart.
    #[inline(always)]
    fn read(self, start: usize, step: usize, out: &mut [f32]) {
        let data = &self.data[start..];
        match (self.meaning, step) {
            (Meaning::Affine(affine), 0) => out.fill(affine.dequantize(data[0])),
            (Meaning::Affine(affine), 1) => {
                out.iter_mut().zip(data).for_each(|(y, &q)| *y = affine.dequantize(q));
            }
            (Meaning::Affine(affine), _) => {
                let data = data.iter().step_by(step);
                out.iter_mut().zip(data).for_each(|(y, &q)| *y = affine.dequantize(q));
            }
            (Meaning::Table(table), 0) => out.fill(table[usize::from(data[0])]),
            (Meaning::Table(table), _) => {
                let data = data.iter().step_by(step);
                out.iter_mut().zip(data).for_each(|(y, &q)| *y = table[usize::from(q)]);
            }
        }
    }
}

/// `y = clamp(affine.quantize(a op b))`, both operands walked with their own strides: exactly what
/// dequantisation, the function in float32 and quantisation give one after another.
///
/// `clamp` bounds the bytes of the result, `(0, 255)` where no activation is fused.
///
/// # Panics
/// If `y` is not as long as the walk, or an operand is shorter than its strides reach.
pub fn binary(
    ctx: Ctx,
    op: Binary,
    walk: &Walk,
    a: Numbers,
    b: Numbers,
    affine: Affine,
    clamp: (u8, u8),
    y: &mut [u8],
) {
    walk.run(ctx, y, |start, step, y| {
        let piece = Piece { op, a, b, start, step, affine, clamp };
        binary_piece(ctx.isa, piece, y);
    });
}

/// As [`binary`] for operands of the length of `y`, on the calling thread: residual sums.
///
/// # Panics
/// If the slices differ in length.
pub fn binary_row(
    isa: Isa,
    op: Binary,
    a: Numbers,
    b: Numbers,
    affine: Affine,
    clamp: (u8, u8),
    y: &mut [u8],
) {
    assert!(a.data.len() == y.len() && b.data.len() == y.len(), "operands of one size");
    let piece = Piece { op, a, b, start: [0; 2], step: [1; 2], affine, clamp };
    binary_piece(isa, piece, y);
}

/// A part of a result in which both operands move by constant steps.
#[derive(Clone, Copy)]
struct Piece<'a> {
    op: Binary,
    a: Numbers<'a>,
    b: Numbers<'a>,
    start: [usize; 2],
    step: [usize; 2],
    affine: Affine,
    clamp: (u8, u8),
}

/// Numbers between bytes and bytes: what fits the first-level cache easily.
const BLOCK: usize = 256;

simd_fn! {
    fn binary_piece(s: Simd, piece: Piece<'_>, y: &mut [u8]) {
        let Piece { op, a, b, start, step, affine, clamp } = piece;
        let quantizer = Quantizer::new(affine, clamp);
        let (mut x, mut z, mut sum) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        for (i, y) in y.chunks_mut(BLOCK).enumerate() {
            let (x, z, sum) = (&mut x[..y.len()], &mut z[..y.len()], &mut sum[..y.len()]);
            a.read(start[0] + i * BLOCK * step[0], step[0], x);
            b.read(start[1] + i * BLOCK * step[1], step[1], z);
            apply_row(op, Row::Values(x), Row::Values(z), None, sum);
            quantizer.quantize_all(s, sum, y);
        }
    }
}

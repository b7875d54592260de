//! Elementwise 8-bit operations: addition, and any function of one byte by table.

use super::Affine;
use super::requant::Range;
use crate::Ctx;
use crate::simd::simd_fn;

/// Elements that one task computes.
const CHUNK: usize = 16 * 1024;

/// One operand of an addition.
#[derive(Clone, Copy, Debug)]
pub struct Addend<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// What they mean.
    pub affine: Affine,
}

/// `y = clamp(quantise(a + b))` with one rounding: the sum is float, of both scales.
///
/// `clamp` bounds the bytes of the result, `(0, 255)` where no activation is fused.
///
/// # Panics
/// If the slices differ in length.
pub fn add(ctx: Ctx, a: Addend, b: Addend, affine: Affine, clamp: (u8, u8), y: &mut [u8]) {
    assert!(a.data.len() == y.len() && b.data.len() == y.len(), "operands of one size");
    let ratio = |x: Affine| x.scale / affine.scale;
    let sum = Sum {
        a: ratio(a.affine),
        b: ratio(b.affine),
        za: a.affine.zero_point.into(),
        zb: b.affine.zero_point.into(),
        range: Range::new(affine.zero_point, clamp),
    };
    ctx.pool.for_each_chunk_mut(y, CHUNK, |i, y| {
        let part = i * CHUNK..i * CHUNK + y.len();
        add_chunk(ctx.isa, &a.data[part.clone()], &b.data[part], sum, y);
    });
}

/// `round((a - za) * sa / sy + (b - zb) * sb / sy) + zy`
#[derive(Clone, Copy)]
struct Sum {
    a: f32,
    b: f32,
    za: i32,
    zb: i32,
    range: Range,
}

simd_fn! {
    fn add_chunk(_s: Simd, a: &[u8], b: &[u8], sum: Sum, y: &mut [u8]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            let a = (i32::from(a) - sum.za) as f32 * sum.a;
            let b = (i32::from(b) - sum.zb) as f32 * sum.b;
            *y = sum.range.round(a + b);
        }
    }
}

/// The table of `function` from bytes of `x` to bytes of `y`: activations, and changes of scale.
pub fn lookup_table(x: Affine, y: Affine, function: impl Fn(f32) -> f32) -> [u8; 256] {
    std::array::from_fn(|q| y.quantize(function(x.dequantize(q as u8))))
}

/// `y = table[x]` for every element.
///
/// # Panics
/// If the slices differ in length.
pub fn lookup(ctx: Ctx, x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "operands of one size");
    ctx.pool.for_each_chunk_mut(y, CHUNK, |i, y| {
        for (y, &x) in y.iter_mut().zip(&x[i * CHUNK..]) {
            *y = table[usize::from(x)];
        }
    });
}

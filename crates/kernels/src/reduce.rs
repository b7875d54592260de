//! Reductions along one dimension: `[outer, len, inner]` to `[outer, inner]`.
//!
//! Several neighbouring dimensions are one to a reduction. Where `inner` is 1 the elements of a row
//! go to 16 interleaved lanes that are joined in order; otherwise each output joins its elements in
//! ascending order. So the bits depend on the shape alone.

use serde::{Deserialize, Serialize};

use crate::Ctx;
use crate::exp::ln;
use crate::pool::SharedMut;
use crate::simd::{LANES, simd_fn};

/// Floats per task.
const TASK: usize = 16 * 1024;
/// Outputs of a task whose sums stay on the stack.
const BLOCK: usize = 64;

/// How elements are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduction {
    /// Mean
    Mean,
    /// Sum
    Sum,
    /// Product
    Prod,
    /// Largest; NaN where one is NaN.
    Max,
    /// Smallest; NaN where one is NaN.
    Min,
    /// Sum of magnitudes
    L1,
    /// Square root of the sum of squares
    L2,
    /// Sum of squares
    SumSquare,
    /// Natural logarithm of the sum
    LogSum,
}

impl Reduction {
    /// The result of no element.
    #[inline(always)]
    fn identity(self) -> f32 {
        match self {
            Reduction::Prod => 1.0,
            Reduction::Max => f32::NEG_INFINITY,
            Reduction::Min => f32::INFINITY,
            _ => 0.0,
        }
    }

    /// `joined`, and one more element.
    #[inline(always)]
    fn element(self, joined: f32, x: f32) -> f32 {
        match self {
            Reduction::L1 => joined + x.abs(),
            Reduction::L2 | Reduction::SumSquare => x.mul_add(x, joined),
            _ => self.join(joined, x),
        }
    }

    /// Two results together.
    #[inline(always)]
    fn join(self, a: f32, b: f32) -> f32 {
        match self {
            Reduction::Prod => a * b,
            Reduction::Max => {
                if a > b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Reduction::Min => {
                if a < b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            _ => a + b,
        }
    }

    /// What becomes of the joined elements.
    #[inline(always)]
    fn finish(self, joined: f32, len: usize) -> f32 {
        match self {
            Reduction::Mean => joined / len as f32,
            Reduction::L2 => joined.sqrt(),
            Reduction::LogSum if joined > 0.0 && joined < f32::INFINITY => {
                ln(f64::from(joined)) as f32
            }
            Reduction::LogSum if joined == 0.0 => f32::NEG_INFINITY,
            Reduction::LogSum if joined < 0.0 => f32::NAN,
            _ => joined,
        }
    }
}

/// `out[outer, inner]` joins the `len` elements of `x[outer, len, inner]`.
///
/// # Panics
/// If the sizes do not match.
pub fn reduce(ctx: Ctx, kind: Reduction, len: usize, inner: usize, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len() * len, "{len} elements for each output");
    if out.is_empty() {
        return;
    }
    assert!(inner > 0 && out.len().is_multiple_of(inner), "no whole rows of {inner}");
    if inner == 1 {
        let rows = (TASK / len.max(1)).max(1);
        ctx.pool.for_each_chunk_mut(out, rows, |task, out| {
            reduce_rows(ctx.isa, kind, len, &x[task * rows * len..][..out.len() * len], out);
        });
        return;
    }
    let (blocks, outer) = (inner.div_ceil(BLOCK), out.len() / inner);
    let out = SharedMut::new(out);
    ctx.pool.for_each(outer * blocks, &|task| {
        let (o, first) = (task / blocks, task % blocks * BLOCK);
        let width = BLOCK.min(inner - first);
        // SAFETY: these outputs belong to this task alone.
        let out = unsafe { out.range(o * inner + first, width) };
        reduce_block(ctx.isa, kind, inner, first, &x[o * len * inner..][..len * inner], out);
    });
}

simd_fn! {
    /// Rows of `len` neighbouring elements.
    fn reduce_rows(_s: Simd, kind: Reduction, len: usize, x: &[f32], out: &mut [f32]) {
        for (row, out) in out.iter_mut().enumerate() {
            let row = &x[row * len..][..len];
            let mut lanes = [kind.identity(); LANES];
            for chunk in row.chunks(LANES) {
                lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane = kind.element(*lane, *x));
            }
            let joined = lanes.iter().fold(kind.identity(), |joined, lane| kind.join(joined, *lane));
            *out = kind.finish(joined, len);
        }
    }
}

simd_fn! {
    /// Columns `first..first + out.len()` of the matrix `x` of rows of `inner` elements.
    fn reduce_block(
        _s: Simd, kind: Reduction, inner: usize, first: usize, x: &[f32], out: &mut [f32],
    ) {
        out.fill(kind.identity());
        let rows = x.chunks_exact(inner);
        let len = rows.len();
        for row in rows {
            let row = &row[first..first + out.len()];
            out.iter_mut().zip(row).for_each(|(out, x)| *out = kind.element(*out, *x));
        }
        out.iter_mut().for_each(|out| *out = kind.finish(*out, len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, everywhere, random};
    use proptest::prelude::*;

    const KINDS: [Reduction; 9] = [
        Reduction::Mean,
        Reduction::Sum,
        Reduction::Prod,
        Reduction::Max,
        Reduction::Min,
        Reduction::L1,
        Reduction::L2,
        Reduction::SumSquare,
        Reduction::LogSum,
    ];

    fn definition(kind: Reduction, x: &[f64]) -> f64 {
        match kind {
            Reduction::Mean => x.iter().sum::<f64>() / x.len() as f64,
            Reduction::Sum => x.iter().sum(),
            Reduction::Prod => x.iter().product(),
            Reduction::Max => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Reduction::Min => x.iter().copied().fold(f64::INFINITY, f64::min),
            Reduction::L1 => x.iter().map(|x| x.abs()).sum(),
            Reduction::L2 => x.iter().map(|x| x * x).sum::<f64>().sqrt(),
            Reduction::SumSquare => x.iter().map(|x| x * x).sum(),
            Reduction::LogSum => x.iter().sum::<f64>().ln(),
        }
    }

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn reductions_are_those_of_the_definition(
            outer in 1usize..4, len in 1usize..70, inner in prop_oneof![Just(1usize), 1usize..150],
            kind in 0usize..9, seed: u64,
        ) {
            let kind = KINDS[kind];
            let x: Vec<f32> = random(outer * len * inner, seed).iter().map(|x| x + 1.01).collect();
            let got = everywhere(|ctx| {
                let mut out = vec![f32::NAN; outer * inner];
                reduce(ctx, kind, len, inner, &x, &mut out);
                out
            });
            let want: Vec<f64> = (0..outer * inner).map(|i| {
                let at = |j: usize| f64::from(x[(i / inner * len + j) * inner + i % inner]);
                definition(kind, &(0..len).map(at).collect::<Vec<f64>>())
            }).collect();
            assert_close(&got, &want, 1e-4);
        }
    }

    #[test]
    fn extremes_of_nan_are_nan() {
        for kind in [Reduction::Max, Reduction::Min] {
            for at in [0, 1, 40] {
                for inner in [1, 2] {
                    let mut x = vec![1.0; 41 * inner];
                    x[at * inner] = f32::NAN;
                    let mut out = vec![0.0; inner];
                    let pool = crate::Pool::new(1);
                    reduce(Ctx::new(&pool), kind, 41, inner, &x, &mut out);
                    assert!(out[0].is_nan());
                }
            }
        }
    }
}

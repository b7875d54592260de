//! Rounding to integers that stays in float32, and its gradient: training that knows what
//! quantisation will do (LSQ, Esser et al. 2020, arXiv:1902.08153).

use crate::Ctx;
use crate::simd::simd_fn;

/// Floats per task.
const TASK: usize = 16 * 1024;
/// 1.5 * 2^23: what is added and taken away again is rounded half to even.
const ROUND: f32 = 12_582_912.0;

/// The integers of a fake quantisation: `low..=high`, less the zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// The real number that one step stands for, positive.
    pub scale: f32,
    /// Smallest integer, at least -2^22.
    pub low: f32,
    /// Largest integer, at most 2^22.
    pub high: f32,
}

impl Steps {
    /// The number that `x` becomes: `scale * round(clamp(x / scale))`. The bounds are whole, so it is
    /// what QuantizeLinear and DequantizeLinear make of it.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        self.round(x / self.scale) * self.scale
    }

    #[inline(always)]
    fn round(self, v: f32) -> f32 {
        let v = if v < self.low { self.low } else { v };
        let v = if v > self.high { self.high } else { v };
        (v + ROUND) - ROUND
    }

    /// For the gradient `dz` of the result: that of `x`, which is 0 where `x` saturates, and that of
    /// the scale: `round(v) - v` times `dz` with `v = x / scale`, or the bound where `x` saturates.
    #[inline(always)]
    pub fn gradient(self, x: f32, dz: f32) -> (f32, f32) {
        let v = x / self.scale;
        let rounded = self.round(v);
        let inside = v >= self.low && v <= self.high;
        if inside { (dz, dz * (rounded - v)) } else { (0.0, dz * rounded) }
    }
}

/// `out = steps(x)`.
///
/// # Panics
/// If the slices differ in length.
pub fn fake_quantize(ctx: Ctx, steps: Steps, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    ctx.pool.for_each_chunk_mut(out, TASK, |i, out| {
        quantize(ctx.isa, steps, &x[i * TASK..][..out.len()], out);
    });
}

/// Floats of scratch memory that [`fake_quantize_backward`] needs for `len` elements.
pub fn fake_quantize_scratch_len(len: usize) -> usize {
    2 * len.div_ceil(TASK)
}

/// The gradient of `x` into `dx`, from that of the result. Returned are that of the scale, and the sum
/// of `dz` over all `x` that saturate: the gradient of a number that both bounds move by. They are
/// summed by task, and tasks are added in order.
///
/// # Panics
/// If the slices differ in length, or `scratch` has fewer than [`fake_quantize_scratch_len`] floats.
pub fn fake_quantize_backward(
    ctx: Ctx,
    steps: Steps,
    x: &[f32],
    dz: &[f32],
    dx: &mut [f32],
    scratch: &mut [f32],
) -> [f64; 2] {
    assert!(x.len() == dz.len() && x.len() == dx.len());
    let sums = &mut scratch[..fake_quantize_scratch_len(x.len())];
    ctx.pool.for_each_chunk2_mut(dx, TASK, sums, 2, |i, dx, sum| {
        let part = i * TASK..i * TASK + dx.len();
        gradient(ctx.isa, steps, &x[part.clone()], &dz[part], dx, sum);
    });
    let total = |which: usize| sums.iter().skip(which).step_by(2).map(|&s| f64::from(s)).sum();
    [total(0), total(1)]
}

simd_fn! {
    fn quantize(_s: Simd, steps: Steps, x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = steps.apply(*x));
    }
}

simd_fn! {
    /// Element i is added to sum i % 16.
    fn gradient(
        _s: Simd, steps: Steps, x: &[f32], dz: &[f32], dx: &mut [f32], sums: &mut [f32],
    ) {
        let (mut scales, mut edges) = ([0.0f32; 16], [0.0f32; 16]);
        let (x16, x_rest) = x.as_chunks::<16>();
        let (dz16, dz_rest) = dz.as_chunks::<16>();
        let (dx16, dx_rest) = dx.as_chunks_mut::<16>();
        for ((x, dz), dx) in x16.iter().zip(dz16).zip(dx16) {
            for i in 0..16 {
                let (own, scale) = steps.gradient(x[i], dz[i]);
                dx[i] = own;
                scales[i] += scale;
                // All of dz goes to x or to the bounds.
                edges[i] += dz[i] - own;
            }
        }
        for (i, ((x, dz), dx)) in x_rest.iter().zip(dz_rest).zip(dx_rest).enumerate() {
            let (own, scale) = steps.gradient(*x, *dz);
            *dx = own;
            scales[i] += scale;
            edges[i] += dz - own;
        }
        sums[0] = scales.iter().sum();
        sums[1] = edges.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, everywhere, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn numbers_are_those_of_the_definition(
            len in 1usize..40_000, scale in 0.01f32..0.5, zero in 0u8..=255, seed: u64,
        ) {
            let x: Vec<f32> = random(len, seed).iter().map(|x| x * 40.0).collect();
            let dz = random(len, seed ^ 1);
            let zero = f32::from(zero);
            let steps = Steps { scale, low: -zero, high: 255.0 - zero };
            let got = everywhere(|ctx| {
                let mut out = vec![0.0; 2 * len + 2];
                let (z, rest) = out.split_at_mut(len);
                let (dx, sums) = rest.split_at_mut(len);
                fake_quantize(ctx, steps, &x, z);
                let mut scratch = vec![f32::NAN; fake_quantize_scratch_len(len)];
                let found = fake_quantize_backward(ctx, steps, &x, &dz, dx, &mut scratch);
                sums.copy_from_slice(&found.map(|sum| sum as f32));
                out
            });
            let code = |x: f32| ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0);
            let expected: Vec<f32> = x.iter().map(|&x| (code(x) - zero) * scale).collect();
            prop_assert_eq!(&got[..len], &expected[..]);
            let inside = |x: f32| (-zero..=255.0 - zero).contains(&(x / scale));
            let dx: Vec<f32> =
                x.iter().zip(&dz).map(|(&x, &d)| if inside(x) { d } else { 0.0 }).collect();
            prop_assert_eq!(&got[len..2 * len], &dx[..]);
            let slope = |x: f32| {
                let steps = f64::from(code(x) - zero);
                if inside(x) { steps - f64::from(x / scale) } else { steps }
            };
            let sum: f64 = x.iter().zip(&dz).map(|(&x, &d)| f64::from(d) * slope(x)).sum();
            let size: f64 = x.iter().zip(&dz).map(|(&x, &d)| (f64::from(d) * slope(x)).abs()).sum();
            prop_assert!((f64::from(got[2 * len]) - sum).abs() < 1e-5 * size.max(1.0));
            let outside = || x.iter().zip(&dz).filter(|(x, _)| !inside(**x)).map(|(_, &d)| d);
            let edges: f64 = outside().map(f64::from).sum();
            let size: f64 = outside().map(|d| f64::from(d).abs()).sum();
            prop_assert!((f64::from(got[2 * len + 1]) - edges).abs() < 1e-5 * size.max(1.0));
        }
    }

    #[test]
    fn ties_go_to_even_numbers() {
        let steps = Steps { scale: 2.0, low: -8.0, high: 7.0 };
        let x = [1.0, 3.0, 5.0, -1.0, -3.0, 100.0, -100.0];
        let expected = [0.0, 4.0, 4.0, 0.0, -4.0, 14.0, -16.0];
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; x.len()];
            fake_quantize(ctx, steps, &x, &mut out);
            out
        });
        assert_close(&got, &expected.map(f64::from), 0.0);
    }
}

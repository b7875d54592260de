//! Second moments of a layer's quantised inputs and float outputs.

use std::ops::Range;
use std::sync::Arc;

use edgecut_kernels::gemm::{gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{Ctx, Pool};

use super::sample::Rows;
use crate::weights::Layout;

/// Share of the mean variance that is added to every input's own: nothing is free, even where the
/// sample never differs.
const DAMPING: f64 = 0.01;

/// What a layer reads and should compute at the sampled positions.
pub(super) struct Sample {
    pub layout: Layout,
    /// Rows of all inputs, `groups * k`.
    pub inputs: Rows,
    /// Rows of the output channels.
    pub targets: Rows,
}

/// Output channels that share their inputs, with the moments that decide their weights.
pub(super) struct Part {
    pub channels: Range<usize>,
    /// Covariance of the inputs, `[k, k]`.
    pub gram: Vec<f32>,
    /// Covariance of inputs and outputs as measured, `[k, channels]`.
    cross: Vec<f32>,
    pub input_mean: Vec<f64>,
    pub output_mean: Vec<f64>,
    shrinkage: Shrinkage,
}

/// How a covariance of few samples differs from what was measured. Sampled covariances of inputs
/// are too large, and codes would fit them: those off the diagonal shrink by a share `lambda` (Ledoit
/// and Wolf 2004, towards the variances alone). What is taken off is error that the weights
/// themselves do not make, so the codes are drawn to the weights instead.
struct Shrinkage {
    lambda: f64,
    /// By input: what multiplies a weight in the covariance of outputs and inputs.
    pull: Vec<f32>,
}

impl Sample {
    /// Parts of the output channels, in order.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let per_group = self.layout.channels / self.layout.groups;
        (0..self.layout.groups).map(move |group| group * per_group..(group + 1) * per_group)
    }

    /// The moments of `channels`, one of the [`parts`](Sample::parts).
    pub fn part(&self, channels: Range<usize>, pool: &Arc<Pool>) -> Part {
        let k = self.layout.k;
        let group = channels.start / channels.len().max(1);
        let (x, input_mean) = self.inputs.centred(group * k..(group + 1) * k);
        let (y, output_mean) = self.targets.centred(channels.clone());
        let mut gram = product(&x, k, &x, k, pool);
        let cross = product(&x, k, &y, channels.len(), pool);
        let shrinkage = Shrinkage::of(&x, &gram, k);
        let keep = (1.0 - shrinkage.lambda) as f32;
        for (i, row) in gram.chunks_exact_mut(k.max(1)).enumerate() {
            for (j, covariance) in row.iter_mut().enumerate() {
                *covariance = *covariance * keep + if i == j { shrinkage.pull[i] } else { 0.0 };
            }
        }
        Part { channels, gram, cross, input_mean, output_mean, shrinkage }
    }
}

impl Part {
    /// Covariance of outputs and inputs, for layer `weights`, `[channels, k]` alike.
    pub fn cross(&self, weights: &[f32]) -> Vec<f32> {
        let (k, channels) = (self.input_mean.len(), self.channels.len());
        let keep = (1.0 - self.shrinkage.lambda) as f32;
        let value = |(at, w): (usize, &f32)| {
            let (o, i) = (at / k, at % k);
            keep * self.cross[i * channels + o] + self.shrinkage.pull[i] * w
        };
        weights.iter().enumerate().map(value).collect()
    }
}

impl Shrinkage {
    /// For centred rows `x` of width `k` with the covariance `gram`: lambda is the expected square
    /// of the sampling errors over the sum of the squares, off the diagonal.
    fn of(x: &[f32], gram: &[f32], k: usize) -> Shrinkage {
        let rows = (x.len() / k.max(1)).max(1) as f64;
        let square = |v: f32| f64::from(v) * f64::from(v);
        let mut spread = 0.0;
        for row in x.chunks_exact(k.max(1)) {
            let power: f64 = row.iter().map(|&v| square(v)).sum();
            spread += power * power - row.iter().map(|&v| square(v) * square(v)).sum::<f64>();
        }
        let variances: Vec<f64> = (0..k).map(|i| f64::from(gram[i * k + i])).collect();
        let all: f64 = gram.iter().map(|&v| square(v)).sum();
        let off = all - variances.iter().map(|v| v * v).sum::<f64>();
        let errors = (spread / rows - off) / rows;
        let lambda = if off > 0.0 { (errors / off).clamp(0.0, 1.0) } else { 0.0 };
        // A constant input has no variance at all; then every rounding is as good.
        let damping = (variances.iter().sum::<f64>() / k.max(1) as f64 * DAMPING).max(1e-20);
        let pull = variances.iter().map(|v| (lambda * v + damping) as f32).collect();
        Shrinkage { lambda, pull }
    }
}

/// `A^T B / rows` for A of `k` columns and B of `n`.
fn product(a: &[f32], k: usize, b: &[f32], n: usize, pool: &Arc<Pool>) -> Vec<f32> {
    let rows = a.len() / k.max(1);
    let mut out = vec![0f32; k * n];
    let mut scratch = vec![0f32; gemm_at_b_scratch_len(rows, k, n)];
    gemm_at_b(Ctx::new(pool), rows, a, k, k, b, n, n, &mut out, n, &mut scratch, false);
    let share = 1.0 / rows.max(1) as f32;
    out.iter_mut().for_each(|v| *v *= share);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;
    use edgecut_graph::{Conv, Node, Op, Window};

    fn layout(k: usize) -> Layout {
        let conv = Conv { window: Window::same(1, 1), groups: 1 };
        let node = Node { name: "l".into(), op: Op::Conv(conv), inputs: vec![], outputs: vec![] };
        Layout::of(&node, &[1, k, 1, 1])
    }

    fn part(values: Vec<f32>, layer: &[f32], bias: f32) -> Part {
        let k = layer.len();
        let dot = |x: &[f32]| x.iter().zip(layer).map(|(x, w)| x * w).sum::<f32>() + bias;
        let sample = Sample {
            layout: layout(k),
            targets: Rows { values: values.chunks(k).map(dot).collect(), width: 1 },
            inputs: Rows { values, width: k },
        };
        sample.part(0..1, &Arc::new(Pool::new(1)))
    }

    /// Of y = 2 a - b + 1, moments say so.
    #[test]
    fn moments_of_a_linear_function() {
        let values = vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let part = part(values, &[2.0, -1.0], 1.0);
        assert_eq!((&part.input_mean[..], &part.output_mean[..]), (&[0.5, 0.5][..], &[1.5][..]));
        let close = |a: f32, b: f32| (a - b).abs() < 1e-2;
        let (gram, cross) = (&part.gram, part.cross(&[2.0, -1.0]));
        assert!(close(gram[0], 0.25) && close(gram[1], 0.0), "{gram:?}");
        assert!(close(cross[0], 0.5) && close(cross[1], -0.25), "{cross:?}");
    }

    /// Independent inputs seem to be related in a small sample, and hardly in a large one; related
    /// inputs stay so. However much is taken off, the float weights stay the best solution.
    #[test]
    fn what_few_samples_say_counts_less() {
        let k = 12;
        let mut rng = Rng::new(3);
        let layer: Vec<f32> = (0..k).map(|_| rng.normal()).collect();
        let mut sampled = |rows: usize, common: f32| {
            let mut values = vec![];
            for _ in 0..rows {
                let shared = common * rng.normal();
                values.extend((0..k).map(|_| shared + rng.normal()));
            }
            let found = part(values, &layer, 0.0);
            for (row, c) in found.gram.chunks(k).zip(found.cross(&layer)) {
                let product: f32 = row.iter().zip(&layer).map(|(g, w)| g * w).sum();
                assert!((product - c).abs() < 1e-3 * (1.0 + c.abs()), "{product} {c}");
            }
            found.shrinkage.lambda
        };
        let (few, many, related) = (sampled(20, 0.0), sampled(4000, 0.0), sampled(4000, 2.0));
        assert!(few > 0.5 && many > 0.5, "{few} {many}");
        assert!(related < 0.01, "{related}");
    }
}

//! Functions of one element, of two broadcast elements, and batch normalisation.

use super::Args;
use crate::{Binary, Result, Unary};

/// Applies `function` to every element. NaN stays NaN.
pub(super) fn unary(x: &[f32], function: &Unary) -> Vec<f32> {
    let apply = |f: &dyn Fn(f32) -> f32| x.iter().map(|&v| f(v)).collect();
    match *function {
        Unary::Relu => apply(&|v| clamp(v, 0.0, f32::INFINITY)),
        Unary::Clip { min, max } => apply(&|v| clamp(v, min, max)),
        Unary::LeakyRelu { alpha } => apply(&|v| if v < 0.0 { alpha * v } else { v }),
        Unary::Sigmoid => apply(&|v| (1.0 / (1.0 + (-f64::from(v)).exp())) as f32),
        Unary::HardSigmoid { alpha, beta } => apply(&|v| hard_sigmoid(v, alpha, beta)),
        Unary::HardSwish => apply(&|v| v * hard_sigmoid(v, 1.0 / 6.0, 0.5)),
        _ => todo!("{function:?}"),
    }
}

/// `min(max(v, low), high)`, defined for any bounds: `f32::clamp` panics where low > high.
fn clamp(v: f32, low: f32, high: f32) -> f32 {
    let raised = if v < low { low } else { v };
    if raised > high { high } else { raised }
}

fn hard_sigmoid(v: f32, alpha: f32, beta: f32) -> f32 {
    clamp(alpha * v + beta, 0.0, 1.0)
}

/// Applies `function` to pairs of elements, broadcast to `out`.
pub(super) fn binary(args: &Args, function: Binary, out: &[usize]) -> Result<Vec<f32>> {
    let (a, b) = (args.f32s(0)?, args.f32s(1)?);
    let (a_at, b_at) = (
        Broadcast::new(args.tensor(0)?.shape(), out),
        Broadcast::new(args.tensor(1)?.shape(), out),
    );
    let pairs = (0..out.iter().product()).map(|i| (a[a_at.at(i)], b[b_at.at(i)]));
    Ok(match function {
        Binary::Add => pairs.map(|(a, b)| a + b).collect(),
        Binary::Sub => pairs.map(|(a, b)| a - b).collect(),
        Binary::Mul => pairs.map(|(a, b)| a * b).collect(),
        Binary::Div => pairs.map(|(a, b)| a / b).collect(),
        _ => todo!("{function:?}"),
    })
}

/// `(x - mean) / sqrt(var + epsilon) * scale + bias` per channel (dimension 1).
pub(super) fn batch_norm(args: &Args, epsilon: f32) -> Result<Vec<f32>> {
    let (x, shape) = (args.f32s(0)?, args.tensor(0)?.shape());
    let (scale, bias) = (args.f32s(1)?, args.f32s(2)?);
    let (mean, variance) = (args.f32s(3)?, args.f32s(4)?);
    let (channels, inner) = (shape[1], shape[2..].iter().product::<usize>());
    let mut result = Vec::with_capacity(x.len());
    for plane in 0..shape[0] * channels {
        let c = plane % channels;
        let factor = f64::from(scale[c]) / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
        let normalise =
            |&v: &f32| (f64::from(v) - f64::from(mean[c])) * factor + f64::from(bias[c]);
        let elements = &x[plane * inner..][..inner];
        result.extend(elements.iter().map(|v| normalise(v) as f32));
    }
    Ok(result)
}

/// Where each element of a broadcast result comes from (NumPy rules).
pub(super) struct Broadcast {
    /// Extent of the result and step in the source for each dimension of the result; empty
    /// where both have the same shape.
    dims: Vec<(usize, usize)>,
}

impl Broadcast {
    /// A tensor of `shape` seen as one of `out`, which it must broadcast to.
    pub(super) fn new(shape: &[usize], out: &[usize]) -> Broadcast {
        if shape == out {
            return Broadcast { dims: vec![] };
        }
        let mut step = 1;
        let mut dims = Vec::with_capacity(out.len());
        for (i, &extent) in out.iter().rev().enumerate() {
            let own = if i < shape.len() { shape[shape.len() - 1 - i] } else { 1 };
            dims.push((extent, if own == 1 { 0 } else { step }));
            step *= own;
        }
        // A scalar result of a one-element source: keep the list non-empty, so that it is used.
        if dims.is_empty() {
            dims.push((1, 0));
        }
        Broadcast { dims }
    }

    /// Index in the source of the element at `flat` of the result.
    pub(super) fn at(&self, flat: usize) -> usize {
        if self.dims.is_empty() {
            return flat;
        }
        let mut rest = flat;
        let mut index = 0;
        for &(extent, step) in &self.dims {
            index += rest % extent * step;
            rest /= extent;
        }
        index
    }
}

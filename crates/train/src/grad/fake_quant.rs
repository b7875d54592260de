//! Activations as bytes stand for them, with a learned scale (LSQ, Esser et al. 2020,
//! arXiv:1902.08153) and, where the range is not fixed on one side, a learned zero point (LSQ+,
//! Bhalgat et al. 2020, arXiv:2004.09576).

use edgecut_kernels::quant::{
    Steps, fake_quantize, fake_quantize_backward, fake_quantize_scratch_len,
};

use super::operator::{Backward, Forward, Operator};
use crate::params::{ParamId, Params};
use crate::qat::{LEAST_SCALE, zero_point};

/// QuantizeLinear and DequantizeLinear behind it.
#[derive(Debug)]
pub(crate) struct FakeQuant {
    scale: ParamId,
    zero: Zero,
    /// Smallest and largest integer.
    integers: [f32; 2],
    /// Elements of a full batch.
    len: usize,
}

/// Where the integer that stands for 0 comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zero {
    /// It stays.
    Fixed(f32),
    /// It follows from the number that the smallest integer stands for, which is learned.
    Learned(ParamId),
}

impl FakeQuant {
    /// `integers` are the smallest and the largest.
    pub fn new(scale: ParamId, zero: Zero, integers: [f32; 2], len: usize) -> FakeQuant {
        FakeQuant { scale, zero, integers, len }
    }

    fn steps(&self, params: &Params) -> Steps {
        let scale = params.values[params.range(self.scale)][0].max(LEAST_SCALE);
        let zero = match self.zero {
            Zero::Fixed(zero) => zero,
            Zero::Learned(lowest) => {
                zero_point(params.values[params.range(lowest)][0], scale, self.integers)
            }
        };
        let [low, high] = self.integers.map(|integer| integer - zero);
        Steps { scale, low, high }
    }
}

impl Operator for FakeQuant {
    fn kind(&self) -> &'static str {
        "quantise"
    }

    fn scratch_len(&self) -> usize {
        // The gradient of the input, where nobody else wants it.
        self.len + fake_quantize_scratch_len(self.len)
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        fake_quantize(cx.env.ctx, self.steps(cx.params), cx.reads.get(0), z);
    }

    /// A scale is one and all elements push it, so its gradient is divided by
    /// sqrt(elements of an image x largest integer), as in LSQ, where a batch is not counted because
    /// the loss is a mean over it. With `x = scale q + lowest`, q from 0 to Q, the scale moves the
    /// upper bound alone, and the lowest number moves both. A step of the scale moves that bound Q
    /// times as far, and has Q times the gradient of the bound: Q^2 for the lowest number makes both
    /// bounds equally fast, where with LSQ+ one of 8 bits would hardly move.
    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let (x, steps) = (cx.reads.get(0), self.steps(cx.params));
        let (own, rest) = cx.scratch.split_at_mut(self.len);
        let dx = dx.unwrap_or(&mut own[..x.len()]);
        let [mut sum, edges] = fake_quantize_backward(cx.env.ctx, steps, x, cx.dz, dx, rest);
        let mut largest = steps.high.max(1.0);
        if let Zero::Learned(_) = self.zero {
            sum -= f64::from(steps.low) * edges;
            largest = steps.high - steps.low;
        }
        let image = (x.len() / cx.env.n.max(1)).max(1) as f64;
        let factor = 1.0 / (image * f64::from(largest)).sqrt();
        // Several layers may share a scale: their gradients are added by whoever comes later.
        let mut add = |id: ParamId, sum: f64| {
            if cx.params.trains(id) {
                cx.gradients[cx.params.range(id)][0] += (sum * factor) as f32;
            }
        };
        add(self.scale, sum);
        if let Zero::Learned(lowest) = self.zero {
            add(lowest, edges * f64::from(largest * largest));
        }
    }
}

//! Activations as bytes stand for them, with a learned scale (LSQ, Esser et al. 2020,
//! arXiv:1902.08153). The zero point stays.

use edgecut_kernels::quant::{
    Steps, fake_quantize, fake_quantize_backward, fake_quantize_scratch_len,
};

use super::operator::{Backward, Forward, Operator};
use crate::params::{ParamId, Params};
use crate::qat::LEAST_SCALE;

/// QuantizeLinear and DequantizeLinear behind it.
#[derive(Debug)]
pub(crate) struct FakeQuant {
    scale: ParamId,
    /// The integers, less the zero point.
    range: [f32; 2],
    /// Elements of a full batch.
    len: usize,
}

impl FakeQuant {
    /// `range` are the smallest and largest integer, less the zero point.
    pub fn new(scale: ParamId, range: [f32; 2], len: usize) -> FakeQuant {
        FakeQuant { scale, range, len }
    }

    fn steps(&self, params: &Params) -> Steps {
        let scale = params.values[params.range(self.scale)][0].max(LEAST_SCALE);
        Steps { scale, low: self.range[0], high: self.range[1] }
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
    /// the loss is a mean over it.
    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let (x, steps) = (cx.reads.get(0), self.steps(cx.params));
        let (own, rest) = cx.scratch.split_at_mut(self.len);
        let dx = dx.unwrap_or(&mut own[..x.len()]);
        let sum = fake_quantize_backward(cx.env.ctx, steps, x, cx.dz, dx, rest);
        if cx.params.trains(self.scale) {
            let image = (x.len() / cx.env.n.max(1)).max(1) as f64;
            let factor = 1.0 / (image * f64::from(self.range[1].max(1.0))).sqrt();
            // Several layers may share a scale: their gradients are added by whoever comes later.
            cx.gradients[cx.params.range(self.scale)][0] += (sum * factor) as f32;
        }
    }
}

//! Convolution with any kernel, stride, dilation and groups.

use edgecut_kernels::column_sums::column_sums_scratch_len;
use edgecut_kernels::conv::{
    ConvWeights, conv, conv_backward_input, conv_backward_input_scratch_len, conv_backward_weight,
    conv_backward_weight_scratch_len, conv_scratch_len,
};
use edgecut_kernels::{Activation, ConvShape, Epilogue};

use super::weight::{Weight, bias_gradient};
use super::{Dx, Env, Half};
use crate::params::{ParamId, Params};

/// `z[n, oh, ow, m]`: x convolved with the weights, plus an optional bias.
#[derive(Debug)]
pub(crate) struct Convolution {
    shape: ConvShape,
    weight: Weight,
    bias: Option<ParamId>,
    packed: ConvWeights,
    /// Packed for the gradient of the input.
    transposed: ConvWeights,
    /// What training computes in instead.
    half: Option<Box<Half>>,
}

impl Convolution {
    pub fn new(
        shape: ConvShape,
        weight: Weight,
        bias: Option<ParamId>,
        half: Option<Half>,
    ) -> Convolution {
        let (packed, transposed) = (ConvWeights::default(), ConvWeights::default());
        Convolution { shape, weight, bias, packed, transposed, half: half.map(Box::new) }
    }

    pub fn is_pointwise(&self) -> bool {
        self.shape.is_pointwise()
    }

    pub fn scratch_len(&self, threads: usize) -> usize {
        conv_scratch_len(&self.shape, threads)
            .max(conv_backward_input_scratch_len(&self.shape, threads))
            .max(conv_backward_weight_scratch_len(&self.shape))
            .max(column_sums_scratch_len(self.shape.out_pixels(), self.shape.cout))
            .max(self.half.as_ref().map_or(0, |half| half.scratch_len(threads)))
    }

    pub fn macs(&self) -> usize {
        self.shape.macs()
    }

    /// Both packings of the weights.
    pub fn held_len(&self) -> usize {
        2 * self.shape.weight_len()
    }

    pub fn prepare(&mut self, params: &Params, training: bool) {
        let weight = self.weight.update(params);
        match &mut self.half {
            Some(half) if training => half.prepare(weight),
            Some(_) => self.packed.repack(&self.shape, weight),
            None => {
                self.packed.repack(&self.shape, weight);
                self.transposed.repack_for_input_gradient(&self.shape, weight);
            }
        }
    }

    pub fn forward(
        &self,
        env: &Env,
        params: &Params,
        x: &[f32],
        z: &mut [f32],
        scratch: &mut [f32],
    ) {
        let shape = ConvShape { n: env.n, ..self.shape };
        let bias = self.bias.map(|b| &params.values[params.range(b)]);
        if let Some(half) = self.half.as_ref().filter(|_| env.training) {
            return half.forward(env, &shape, x, bias, z, scratch);
        }
        let epilogue = Epilogue::biased(bias, Activation::None);
        conv(env.ctx, &shape, x, &self.packed, z, scratch, &epilogue);
    }

    pub fn backward(
        &self,
        env: &Env,
        params: &Params,
        gradients: &mut [f32],
        x: &[f32],
        dz: &[f32],
        to: Dx,
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        let shape = ConvShape { n: env.n, ..self.shape };
        if self.weight.trains(params) {
            let dw = self.weight.gradient(params, gradients);
            match &self.half {
                Some(half) => half.weight_gradient(env, &shape, x, dz, dw, scratch),
                None => conv_backward_weight(env.ctx, &shape, x, dz, dw, scratch, false),
            }
            self.weight.finish(params, gradients);
        }
        bias_gradient(env, params, self.bias, dz, gradients, scratch);
        match &self.half {
            _ if to == Dx::Skip => {}
            Some(half) => half.input_gradient(env, &shape, dz, to, dx, scratch),
            None => {
                let add = to == Dx::Accumulate;
                conv_backward_input(env.ctx, &shape, dz, &self.transposed, dx, scratch, add);
            }
        }
    }
}

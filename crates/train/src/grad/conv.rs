//! Convolution with any kernel, stride, dilation and groups.

use edgecut_kernels::column_sums::column_sums_scratch_len;
use edgecut_kernels::conv::{
    ConvWeights, conv, conv_backward_input, conv_backward_input_scratch_len, conv_backward_weight,
    conv_backward_weight_scratch_len, conv_scratch_len,
};
use edgecut_kernels::{Activation, ConvShape, Epilogue};

use super::weight::{Weight, bias_gradient};
use super::{Dx, Env};
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
}

impl Convolution {
    pub fn new(shape: ConvShape, weight: Weight, bias: Option<ParamId>) -> Convolution {
        let (packed, transposed) = (ConvWeights::default(), ConvWeights::default());
        Convolution { shape, weight, bias, packed, transposed }
    }

    pub fn is_pointwise(&self) -> bool {
        self.shape.is_pointwise()
    }

    pub fn scratch_len(&self, threads: usize) -> usize {
        conv_scratch_len(&self.shape, threads)
            .max(conv_backward_input_scratch_len(&self.shape, threads))
            .max(conv_backward_weight_scratch_len(&self.shape))
            .max(column_sums_scratch_len(self.shape.out_pixels(), self.shape.cout))
    }

    pub fn prepare(&mut self, params: &Params) {
        let weight = self.weight.update(params);
        self.packed.repack(&self.shape, weight);
        self.transposed.repack_for_input_gradient(&self.shape, weight);
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
            conv_backward_weight(env.ctx, &shape, x, dz, dw, scratch, false);
            self.weight.finish(params, gradients);
        }
        bias_gradient(env, params, self.bias, dz, gradients, scratch);
        if to != Dx::Skip {
            let accumulate = to == Dx::Accumulate;
            conv_backward_input(env.ctx, &shape, dz, &self.transposed, dx, scratch, accumulate);
        }
    }
}

//! Depthwise convolution.

use edgecut_kernels::column_sums::column_sums_scratch_len;
use edgecut_kernels::depthwise::{
    DepthwiseWeights, depthwise, depthwise_backward_input, depthwise_backward_weight,
    depthwise_backward_weight_scratch_len,
};
use edgecut_kernels::{Activation, ConvShape, Epilogue};

use super::weight::{Weight, bias_gradient};
use super::{Dx, Env};
use crate::params::{ParamId, Params};

/// `z[n, oh, ow, c]`: each channel of x filtered by its own kernel, plus an optional bias.
#[derive(Debug)]
pub(crate) struct Depthwise {
    shape: ConvShape,
    weight: Weight,
    bias: Option<ParamId>,
    packed: DepthwiseWeights,
    /// Packed for the gradient of the input.
    reversed: DepthwiseWeights,
}

impl Depthwise {
    pub fn new(shape: ConvShape, weight: Weight, bias: Option<ParamId>) -> Depthwise {
        let (packed, reversed) = (DepthwiseWeights::default(), DepthwiseWeights::default());
        Depthwise { shape, weight, bias, packed, reversed }
    }

    pub fn scratch_len(&self) -> usize {
        depthwise_backward_weight_scratch_len(&self.shape)
            .max(column_sums_scratch_len(self.shape.out_pixels(), self.shape.cout))
    }

    pub fn macs(&self) -> usize {
        self.shape.macs()
    }

    /// Both packings of the weights.
    pub fn held_len(&self) -> usize {
        2 * self.shape.weight_len()
    }

    pub fn prepare(&mut self, params: &Params) {
        let weight = self.weight.update(params);
        self.packed.repack(&self.shape, weight);
        self.reversed.repack_for_input_gradient(&self.shape, weight);
    }

    pub fn forward(&self, env: &Env, params: &Params, x: &[f32], z: &mut [f32]) {
        let shape = ConvShape { n: env.n, ..self.shape };
        let bias = self.bias.map(|b| &params.values[params.range(b)]);
        depthwise(env.ctx, &shape, x, &self.packed, z, &Epilogue::biased(bias, Activation::None));
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
            depthwise_backward_weight(env.ctx, &shape, x, dz, dw, scratch, false);
            self.weight.finish(params, gradients);
        }
        bias_gradient(env, params, self.bias, dz, gradients, scratch);
        if to != Dx::Skip {
            let accumulate = to == Dx::Accumulate;
            depthwise_backward_input(env.ctx, &shape, dz, &self.reversed, dx, accumulate);
        }
    }
}

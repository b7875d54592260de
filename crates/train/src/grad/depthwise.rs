//! Depthwise convolution.

use edgecut_kernels::column_sums::{column_sums, column_sums_scratch_len};
use edgecut_kernels::depthwise::{
    depthwise, depthwise_backward_input, depthwise_backward_weight,
    depthwise_backward_weight_scratch_len,
};
use edgecut_kernels::{Activation, ConvShape, Epilogue};

use super::{Dx, Env};
use crate::params::{ParamId, Params};

/// `z[n, oh, ow, c]`: each channel of x filtered by its own kernel, plus an optional bias.
#[derive(Debug)]
pub(crate) struct Depthwise {
    shape: ConvShape,
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Depthwise {
    pub fn new(shape: ConvShape, weight: ParamId, bias: Option<ParamId>) -> Depthwise {
        Depthwise { shape, weight, bias }
    }

    pub fn scratch_len(&self) -> usize {
        depthwise_backward_weight_scratch_len(&self.shape)
            .max(column_sums_scratch_len(self.shape.out_pixels(), self.shape.cout))
    }

    pub fn forward(&self, env: &Env, params: &Params, x: &[f32], z: &mut [f32]) {
        let shape = ConvShape { n: env.n, ..self.shape };
        let weight = &params.values[params.range(self.weight)];
        let bias = self.bias.map(|b| &params.values[params.range(b)]);
        depthwise(env.ctx, &shape, x, weight, z, &Epilogue::biased(bias, Activation::None));
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
        let range = params.range(self.weight);
        let dw = &mut gradients[range.clone()];
        depthwise_backward_weight(env.ctx, &shape, x, dz, dw, scratch, false);
        if let Some(bias) = self.bias {
            let sums = &mut gradients[params.range(bias)];
            column_sums(env.ctx, dz, sums, scratch, false);
        }
        if to != Dx::Skip {
            let weight = &params.values[range];
            let accumulate = to == Dx::Accumulate;
            depthwise_backward_input(env.ctx, &shape, dz, weight, dx, accumulate);
        }
    }
}

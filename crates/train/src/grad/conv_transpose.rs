//! Transposed convolution: the input gradient of a convolution, and so its gradient is a
//! convolution.

use edgecut_kernels::column_sums::column_sums_scratch_len;
use edgecut_kernels::conv::{
    ConvWeights, conv, conv_backward_input, conv_backward_input_scratch_len, conv_backward_weight,
    conv_backward_weight_scratch_len, conv_scratch_len,
};
use edgecut_kernels::{ConvShape, Epilogue};

use super::weight::bias_gradient;
use super::{Dx, Env};
use crate::params::{ParamId, Params};

/// `z[n, h, w, m]` from `x[n, oh, ow, c]`, in the names of the convolution that turns z into x.
#[derive(Debug)]
pub(crate) struct Transposed {
    shape: ConvShape,
    weight: ParamId,
    bias: Option<ParamId>,
    /// Packed for the convolution.
    packed: ConvWeights,
    /// Packed for its input gradient.
    transposed: ConvWeights,
}

impl Transposed {
    pub fn new(shape: ConvShape, weight: ParamId, bias: Option<ParamId>) -> Transposed {
        let (packed, transposed) = (ConvWeights::default(), ConvWeights::default());
        Transposed { shape, weight, bias, packed, transposed }
    }

    pub fn scratch_len(&self, threads: usize) -> usize {
        conv_scratch_len(&self.shape, threads)
            .max(conv_backward_input_scratch_len(&self.shape, threads))
            .max(conv_backward_weight_scratch_len(&self.shape))
            .max(column_sums_scratch_len(
                self.shape.n * self.shape.h * self.shape.w,
                self.shape.cin,
            ))
    }

    pub fn macs(&self) -> usize {
        self.shape.macs()
    }

    /// Both packings of the weights.
    pub fn held_len(&self) -> usize {
        2 * self.shape.weight_len()
    }

    pub fn prepare(&mut self, params: &Params) {
        let weight = &params.values[params.range(self.weight)];
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
        if let Some(bias) = self.bias {
            let bias = &params.values[params.range(bias)];
            env.ctx.pool.for_each_chunk_mut(z, shape.w * bias.len(), |_, row| {
                row.chunks_exact_mut(bias.len()).for_each(|pixel| pixel.copy_from_slice(bias));
            });
        }
        let add = self.bias.is_some();
        conv_backward_input(env.ctx, &shape, x, &self.transposed, z, scratch, add);
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
        if params.trains(self.weight) {
            let dw = &mut gradients[params.range(self.weight)];
            conv_backward_weight(env.ctx, &shape, dz, x, dw, scratch, false);
        }
        bias_gradient(env, params, self.bias, dz, gradients, scratch);
        if to != Dx::Skip {
            let epilogue = Epilogue { accumulate: to == Dx::Accumulate, ..Epilogue::default() };
            conv(env.ctx, &shape, dz, &self.packed, dx, scratch, &epilogue);
        }
    }
}

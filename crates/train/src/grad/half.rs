//! Products of a layer in bfloat16: operands rounded to 8 significant bits, sums in float32.
//!
//! Parameters, activations and gradients stay float32, so the optimiser adds up steps that are
//! smaller than a bfloat16 can tell apart; a step, not a sum of steps, is what rounding disturbs.
//! Evaluation computes in float32, as whoever runs the trained model does.

use edgecut_kernels::bf16::{
    Weights, conv, conv_backward_input, conv_backward_input_scratch_len, conv_backward_weight,
    conv_backward_weight_scratch_len, conv_scratch_len, trains,
};
use edgecut_kernels::{Activation, ConvShape, Epilogue};

use super::{Dx, Env};

/// The products of one layer, and its weights, packed for them.
#[derive(Debug)]
pub(crate) struct Half {
    /// For a full batch.
    shape: ConvShape,
    packed: Weights,
    /// Packed for the gradient of the input.
    transposed: Weights,
}

impl Half {
    /// For a layer of this shape, where bfloat16 is worth it.
    pub fn new(shape: ConvShape) -> Option<Half> {
        let (packed, transposed) = (Weights::default(), Weights::default());
        trains(&shape).then_some(Half { shape, packed, transposed })
    }

    pub fn scratch_len(&self, threads: usize) -> usize {
        conv_scratch_len(&self.shape, threads)
            .max(conv_backward_input_scratch_len(&self.shape, threads))
            .max(conv_backward_weight_scratch_len(&self.shape, threads))
    }

    pub fn prepare(&mut self, weight: &[f32]) {
        self.packed.repack(&self.shape, weight);
        self.transposed.repack_for_input_gradient(&self.shape, weight);
    }

    /// The layer for `shape`, which has as many images as the batch.
    pub fn forward(
        &self,
        env: &Env,
        shape: &ConvShape,
        x: &[f32],
        bias: Option<&[f32]>,
        z: &mut [f32],
        scratch: &mut [f32],
    ) {
        let epilogue = Epilogue::biased(bias, Activation::None);
        conv(env.ctx, shape, x, &self.packed, z, scratch, &epilogue);
    }

    pub fn input_gradient(
        &self,
        env: &Env,
        shape: &ConvShape,
        dz: &[f32],
        to: Dx,
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        let add = to == Dx::Accumulate;
        conv_backward_input(env.ctx, shape, dz, &self.transposed, dx, scratch, add);
    }

    pub fn weight_gradient(
        &self,
        env: &Env,
        shape: &ConvShape,
        x: &[f32],
        dz: &[f32],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        conv_backward_weight(env.ctx, shape, x, dz, dw, scratch);
    }
}

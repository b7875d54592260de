//! What a layer is that the compiler neither fuses nor places specially.

use std::fmt::Debug;

use super::{Env, Reads};
use crate::params::Params;

/// What a forward pass works with.
pub(crate) struct Forward<'a> {
    pub env: &'a Env<'a>,
    pub params: &'a Params,
    pub reads: &'a Reads<'a>,
    pub scratch: &'a mut [f32],
}

/// What a backward pass works with.
pub(crate) struct Backward<'a> {
    pub env: &'a Env<'a>,
    pub params: &'a Params,
    pub reads: &'a Reads<'a>,
    /// The output of the forward pass, or nothing if that is not kept.
    pub z: &'a [f32],
    /// Its gradient.
    pub dz: &'a [f32],
    /// Which input's gradient is wanted.
    pub index: usize,
    /// Gradients of the parameters.
    pub gradients: &'a mut [f32],
    pub scratch: &'a mut [f32],
}

/// A function of activations that treats each image alike, and gives the same output again for the
/// same inputs.
pub(crate) trait Operator: Debug + Send + Sync {
    /// Short name for tables.
    fn kind(&self) -> &'static str;

    /// Floats of scratch memory that the passes over a full batch need.
    fn scratch_len(&self) -> usize {
        0
    }

    /// Whether a gradient of the output gives one of the inputs.
    fn passes_gradient(&self) -> bool {
        true
    }

    /// Whether the backward pass looks at the inputs.
    fn reads_again(&self) -> bool {
        true
    }

    /// Whether the backward pass looks at the output.
    fn keeps_output(&self) -> bool {
        false
    }

    /// Computes the output `z`.
    fn forward(&mut self, cx: Forward, z: &mut [f32]);

    /// Computes the gradients of trained parameters (with index 0) and, where it is wanted, that of
    /// input `cx.index`, which replaces the content of `dx`.
    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>);
}

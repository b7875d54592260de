//! Transposed convolution and resampling.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use edgecut_kernels::conv::{ConvWeights, conv_backward_input, conv_backward_input_scratch_len};
use edgecut_kernels::resample::{Taps, resample};
use edgecut_kernels::{Blob, ConvShape};

use crate::plan::Slot;
use crate::step::Env;

/// The input gradient of a convolution that turns `y` into `x`.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConvTranspose {
    pub x: Slot,
    pub y: Slot,
    /// Geometry of that convolution.
    pub shape: ConvShape,
    pub weights: Arc<ConvWeights>,
    pub bias: Option<Blob<f32>>,
}

impl ConvTranspose {
    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.bias.as_ref().map_or(0, Blob::bytes)
    }

    pub fn scratch_bytes(&self, threads: usize) -> usize {
        4 * conv_backward_input_scratch_len(&self.shape, threads)
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write::<f32>(self.y));
        if let Some(bias) = &self.bias {
            let row = self.shape.w * bias.len();
            env.ctx.pool.for_each_chunk_mut(y, row, |_, y| {
                y.chunks_exact_mut(bias.len()).for_each(|pixel| pixel.copy_from_slice(bias));
            });
        }
        let scratch = env.scratch(self.scratch_bytes(env.ctx.pool.threads()) / 4);
        let add = self.bias.is_some();
        conv_backward_input(env.ctx, &self.shape, x, &self.weights, y, scratch, add);
    }
}

/// Linear or cubic resampling of height and width.
#[derive(Serialize, Deserialize)]
pub(crate) struct Resample {
    pub x: Slot,
    pub y: Slot,
    /// `[h, w, channels]` of the input.
    pub image: [usize; 3],
    pub rows: Taps,
    pub columns: Taps,
}

impl Resample {
    pub fn weight_bytes(&self) -> usize {
        self.rows.bytes() + self.columns.bytes()
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        resample(env.ctx, self.image, &self.rows, &self.columns, x, y);
    }
}

//! Transposed convolution and resampling.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use edgecut_kernels::conv::{ConvWeights, conv_backward_input, conv_backward_input_scratch_len};
use edgecut_kernels::resample::{Taps, resample};
use edgecut_kernels::{Blob, ConvShape};

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product, valid};

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
    pub fn check(&self, c: &mut Check) -> Checked {
        let s = &self.shape;
        valid(s)?;
        let weights = self.weights.fit_input_gradient(s);
        ensure(weights, || format!("the weights are not those of {s:?}"))?;
        let bias = self.bias.as_ref().is_none_or(|bias| bias.len() == s.cin);
        ensure(bias, || "one bias a channel".into())?;
        c.read::<f32>(self.x, s.out_len())?;
        c.write::<f32>(self.y, s.in_len())
    }

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
    pub fn check(&self, c: &mut Check) -> Checked {
        let [h, w, channels] = self.image;
        let taps = self.rows.fit(h) && self.columns.fit(w);
        ensure(taps, || format!("a tap lies outside of {h} x {w}"))?;
        let (from, line) = (product(&self.image)?, product(&[self.columns.len(), channels])?);
        let (to, len) = (product(&[self.rows.len(), line])?, c.len::<f32>(self.x)?);
        ensure(from > 0 && to > 0 && len.is_multiple_of(from), || format!("no images in {len}"))?;
        c.read::<f32>(self.x, len)?;
        c.write::<f32>(self.y, product(&[len / from, to])?)
    }

    pub fn weight_bytes(&self) -> usize {
        self.rows.bytes() + self.columns.bytes()
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        resample(env.ctx, self.image, &self.rows, &self.columns, x, y);
    }
}

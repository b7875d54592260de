//! Steps that join the elements along one dimension: reductions, softmax, normalisation.

use serde::{Deserialize, Serialize};

use edgecut_kernels::Blob;
use edgecut_kernels::layer_norm::layer_norm;
use edgecut_kernels::reduce::{Reduction, reduce};
use edgecut_kernels::softmax::softmax_along;

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product};

/// `[outer, len, inner]` to `[outer, inner]`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reduce {
    pub x: Slot,
    pub y: Slot,
    pub kind: Reduction,
    pub len: usize,
    pub inner: usize,
}

impl Reduce {
    pub fn check(&self, c: &mut Check) -> Checked {
        let len = c.len::<f32>(self.y)?;
        let whole = self.inner > 0 && self.len > 0 && len.is_multiple_of(self.inner);
        ensure(whole, || format!("no whole rows of {} in {len}", self.inner))?;
        c.read::<f32>(self.x, product(&[len, self.len])?)?;
        c.write::<f32>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        reduce(env.ctx, self.kind, self.len, self.inner, env.read(self.x), env.write(self.y));
    }
}

/// exp(x) / sum(exp(x)) along the middle of `[outer, len, inner]`, or its logarithm.
#[derive(Serialize, Deserialize)]
pub(crate) struct Softmax {
    pub x: Slot,
    pub y: Slot,
    pub len: usize,
    pub inner: usize,
    pub log: bool,
}

impl Softmax {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (len, size) = (c.len::<f32>(self.x)?, product(&[self.len, self.inner])?);
        let whole = size > 0 && len.is_multiple_of(size);
        ensure(whole, || format!("no whole matrices of {size} in {len}"))?;
        c.read::<f32>(self.x, len)?;
        c.write::<f32>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        softmax_along(env.ctx, self.len, self.inner, self.log, x, y);
    }
}

/// Rows of the length of `scale`, normalised.
#[derive(Serialize, Deserialize)]
pub(crate) struct LayerNorm {
    pub x: Slot,
    pub y: Slot,
    pub epsilon: f32,
    pub scale: Blob<f32>,
    pub bias: Option<Blob<f32>>,
}

impl LayerNorm {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (len, columns) = (c.len::<f32>(self.x)?, self.scale.len());
        let bias = self.bias.as_ref().is_none_or(|bias| bias.len() == columns);
        let whole = columns > 0 && len.is_multiple_of(columns);
        ensure(bias && whole, || format!("{columns} scales for {len} elements"))?;
        c.read::<f32>(self.x, len)?;
        c.write::<f32>(self.y, len)
    }

    pub fn weight_bytes(&self) -> usize {
        self.scale.bytes() + self.bias.as_ref().map_or(0, Blob::bytes)
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        layer_norm(env.ctx, self.epsilon, &self.scale, self.bias.as_deref(), x, y);
    }
}

//! Pooling steps.

use serde::{Deserialize, Serialize};

use edgecut_kernels::pool2d::{self, Divisor};
use edgecut_kernels::{ConvShape, quant};

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product, valid};

/// Pooling over windows.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pool {
    pub x: Slot,
    pub y: Slot,
    pub shape: ConvShape,
    pub kind: PoolKind,
}

/// What is computed of a window.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum PoolKind {
    Max,
    MaxBytes,
    Average(Divisor),
}

impl Pool {
    pub fn check(&self, c: &mut Check) -> Checked {
        let s = &self.shape;
        valid(s)?;
        ensure(s.is_depthwise(), || "pooling has one group a channel".into())?;
        match self.kind {
            PoolKind::MaxBytes => {
                c.read::<u8>(self.x, s.in_len())?;
                c.write::<u8>(self.y, s.out_len())
            }
            PoolKind::Max | PoolKind::Average(_) => {
                c.read::<f32>(self.x, s.in_len())?;
                c.write::<f32>(self.y, s.out_len())
            }
        }
    }

    pub fn run(&self, env: &mut Env) {
        let (ctx, shape) = (env.ctx, &self.shape);
        match self.kind {
            PoolKind::MaxBytes => quant::max_pool(ctx, shape, env.read(self.x), env.write(self.y)),
            PoolKind::Max => {
                pool2d::max_pool(ctx, shape, env.read(self.x), env.write(self.y), None);
            }
            PoolKind::Average(divisor) => {
                pool2d::average_pool(ctx, shape, divisor, env.read(self.x), env.write(self.y));
            }
        }
    }
}

/// Mean over all pixels of each image.
#[derive(Serialize, Deserialize)]
pub(crate) struct GlobalAverage {
    pub x: Slot,
    pub y: Slot,
    pub pixels: usize,
    pub channels: usize,
}

impl GlobalAverage {
    pub fn check(&self, c: &mut Check) -> Checked {
        let len = c.len::<f32>(self.y)?;
        let whole = self.channels > 0 && self.pixels > 0 && len.is_multiple_of(self.channels);
        ensure(whole, || format!("no whole pixels of {} in {len}", self.channels))?;
        c.read::<f32>(self.x, product(&[len, self.pixels])?)?;
        c.write::<f32>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        pool2d::global_average_pool(env.ctx, self.channels, self.pixels, x, y);
    }
}

//! Pooling over windows, and over all pixels.

use edgecut_kernels::ConvShape;
use edgecut_kernels::pool2d::{
    Divisor, average_pool, average_pool_backward, global_average_pool,
    global_average_pool_backward, max_pool, max_pool_backward,
};

use super::{Dx, Env};

/// `z[n, oh, ow, c]`: the largest element of each window.
#[derive(Debug)]
pub(crate) struct MaxPool {
    shape: ConvShape,
    /// Where each was found.
    argmax: Vec<u32>,
}

impl MaxPool {
    pub fn new(shape: ConvShape) -> MaxPool {
        MaxPool { argmax: vec![0; shape.out_len()], shape }
    }

    pub fn held_len(&self) -> usize {
        self.argmax.len()
    }

    pub fn forward(&mut self, env: &Env, x: &[f32], z: &mut [f32]) {
        let shape = ConvShape { n: env.n, ..self.shape };
        let argmax = env.training.then_some(&mut self.argmax[..z.len()]);
        max_pool(env.ctx, &shape, x, z, argmax);
    }

    pub fn backward(&self, env: &Env, dz: &[f32], to: Dx, dx: &mut [f32]) {
        if to != Dx::Skip {
            let shape = ConvShape { n: env.n, ..self.shape };
            let argmax = &self.argmax[..dz.len()];
            max_pool_backward(env.ctx, &shape, dz, argmax, dx, to == Dx::Accumulate);
        }
    }
}

/// `z[n, oh, ow, c]`: the mean of each window.
#[derive(Debug)]
pub(crate) struct AveragePool {
    shape: ConvShape,
    divisor: Divisor,
}

impl AveragePool {
    /// `padding` is that at the bottom and right where padding counts in the mean.
    pub fn new(shape: ConvShape, padding: Option<[usize; 2]>) -> AveragePool {
        let divisor =
            padding.map_or(Divisor::Data, |[bottom, right]| Divisor::Padded { bottom, right });
        AveragePool { shape, divisor }
    }

    pub fn forward(&self, env: &Env, x: &[f32], z: &mut [f32]) {
        let shape = ConvShape { n: env.n, ..self.shape };
        average_pool(env.ctx, &shape, self.divisor, x, z);
    }

    pub fn backward(&self, env: &Env, dz: &[f32], to: Dx, dx: &mut [f32]) {
        if to != Dx::Skip {
            let shape = ConvShape { n: env.n, ..self.shape };
            average_pool_backward(env.ctx, &shape, self.divisor, dz, dx, to == Dx::Accumulate);
        }
    }
}

/// `z[n, c]`: the mean over all pixels.
#[derive(Debug)]
pub(crate) struct GlobalAveragePool {
    pub pixels: usize,
    pub c: usize,
}

impl GlobalAveragePool {
    pub fn forward(&self, env: &Env, x: &[f32], z: &mut [f32]) {
        global_average_pool(env.ctx, self.c, self.pixels, x, z);
    }

    pub fn backward(&self, env: &Env, dz: &[f32], to: Dx, dx: &mut [f32]) {
        if to != Dx::Skip {
            let accumulate = to == Dx::Accumulate;
            global_average_pool_backward(env.ctx, self.c, self.pixels, dz, dx, accumulate);
        }
    }
}

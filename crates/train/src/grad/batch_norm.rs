//! BatchNorm with the clamping activation or the residual addition behind it.

use std::ops::Range;

use edgecut_kernels::batch_norm::{
    Norm as Affine, Statistics, batch_norm, batch_norm_backward, batch_norm_scratch_len,
    batch_norm_statistics, inverse_std, update_running,
};

use super::{Dx, Env, Reads};
use crate::params::{ParamId, Params};
use crate::plan::Extent;

/// `z = clamp((x - mean) / sqrt(var + epsilon) * scale + shift)` or, without a clamp, the same
/// plus a second input. Mean and variance are those of the batch in training, the running ones
/// otherwise.
#[derive(Debug)]
pub(crate) struct Norm {
    rows: usize,
    pixels: usize,
    scale: ParamId,
    shift: ParamId,
    running_mean: ParamId,
    running_var: ParamId,
    epsilon: f32,
    /// Share of the running statistics that a step replaces.
    rate: f32,
    pub clamp: Option<(f32, f32)>,
    /// Whether input 1 is added.
    pub residual: bool,
    /// Whether the running statistics are used in training too, and stay as they are.
    frozen: bool,
    /// Takes the gradients of scale and shift where these are not trained.
    unused: Vec<f32>,
    mean: Vec<f32>,
    var: Vec<f32>,
    inverse_std: Vec<f32>,
}

impl Norm {
    /// For `batch` images of `extent`; `momentum` is the share of the running statistics that a
    /// step keeps, or all of them where they are `frozen`.
    pub fn new(
        batch: usize,
        extent: Extent,
        [scale, shift]: [ParamId; 2],
        [running_mean, running_var]: [ParamId; 2],
        epsilon: f32,
        momentum: f32,
        frozen: bool,
    ) -> Norm {
        let channels = || vec![0.0; extent.c];
        Norm {
            rows: batch * extent.pixels(),
            pixels: extent.pixels(),
            scale,
            shift,
            running_mean,
            running_var,
            epsilon,
            rate: 1.0 - momentum,
            clamp: None,
            residual: false,
            frozen,
            unused: vec![],
            mean: channels(),
            var: channels(),
            inverse_std: channels(),
        }
    }

    pub fn scratch_len(&self) -> usize {
        batch_norm_scratch_len(self.rows, self.mean.len())
    }

    fn affine<'a>(&'a self, params: &'a Params) -> Affine<'a> {
        Affine {
            mean: &self.mean,
            inverse_std: &self.inverse_std,
            gamma: &params.values[params.range(self.scale)],
            beta: &params.values[params.range(self.shift)],
            clamp: self.clamp,
        }
    }

    pub fn forward(
        &mut self,
        env: &Env,
        params: &mut Params,
        reads: &Reads,
        z: &mut [f32],
        scratch: &mut [f32],
    ) {
        if !env.again {
            self.measure(env, params, reads.get(0), scratch);
        }
        let residual = self.residual.then(|| reads.get(1));
        batch_norm(env.ctx, reads.get(0), &self.affine(params), residual, z);
    }

    /// Sets mean and variance, and moves the running ones.
    fn measure(&mut self, env: &Env, params: &mut Params, x: &[f32], scratch: &mut [f32]) {
        let (at_mean, at_var) = (params.range(self.running_mean), params.range(self.running_var));
        if env.training && !self.frozen {
            let rows = env.n * self.pixels;
            batch_norm_statistics(env.ctx, x, &mut self.mean, &mut self.var, scratch);
            let [mean, var] = disjoint(&mut params.stats, at_mean, at_var);
            update_running(self.rate, rows, &self.mean, &self.var, mean, var);
        } else {
            self.mean.copy_from_slice(&params.stats[at_mean]);
            self.var.copy_from_slice(&params.stats[at_var]);
        }
        inverse_std(&self.var, self.epsilon, &mut self.inverse_std);
    }

    /// The gradients of scale and shift, and that of the first input; the second one's is `dz`.
    pub fn backward(
        &mut self,
        env: &Env,
        params: &Params,
        gradients: &mut [f32],
        x: &[f32],
        dz: &[f32],
        to: Dx,
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        debug_assert_eq!(to, Dx::Write);
        let channels = self.mean.len();
        self.unused.resize(2 * channels, 0.0);
        let mut unused = std::mem::take(&mut self.unused);
        let [d_gamma, d_beta] = match [self.scale, self.shift].map(|p| params.trains(p)) {
            [true, true] => disjoint(gradients, params.range(self.scale), params.range(self.shift)),
            trained => {
                let (gamma, beta) = unused.split_at_mut(channels);
                let own = [params.range(self.scale), params.range(self.shift)];
                match trained {
                    [true, _] => [&mut gradients[own[0].clone()], beta],
                    [_, true] => [gamma, &mut gradients[own[1].clone()]],
                    _ => [gamma, beta],
                }
            }
        };
        let affine = self.affine(params);
        let statistics = if self.frozen { Statistics::Running } else { Statistics::Batch };
        batch_norm_backward(env.ctx, dz, x, &affine, statistics, dx, d_gamma, d_beta, scratch);
        self.unused = unused;
    }
}

fn disjoint(values: &mut [f32], a: Range<usize>, b: Range<usize>) -> [&mut [f32]; 2] {
    values.get_disjoint_mut([a, b]).expect("parameters do not overlap")
}

//! Linear layer: rows times a matrix, plus an optional bias.

use edgecut_kernels::column_sums::column_sums_scratch_len;
use edgecut_kernels::gemm::{PackedB, gemm, gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{Activation, Epilogue};

use super::weight::{Weight, bias_gradient};
use super::{Dx, Env};
use crate::params::{ParamId, Params};

/// `z[n, m] = factor * x[n, k] W[k, m] + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    /// Most images.
    batch: usize,
    /// Rows of an image.
    rows: usize,
    /// Gemm's alpha.
    factor: f32,
    k: usize,
    m: usize,
    weight: Weight,
    bias: Option<ParamId>,
    packed: PackedB,
    transposed: PackedB,
    /// The weights times the factor, where that is not 1.
    scaled: Vec<f32>,
}

impl Linear {
    /// For `batch` images of `rows` rows each.
    pub fn new(
        [batch, rows, k, m]: [usize; 4],
        weight: Weight,
        bias: Option<ParamId>,
        factor: f32,
    ) -> Linear {
        let (packed, transposed, scaled) = (PackedB::new(), PackedB::new(), vec![]);
        Linear { batch, rows, factor, k, m, weight, bias, packed, transposed, scaled }
    }

    pub fn scratch_len(&self) -> usize {
        let rows = self.batch * self.rows;
        gemm_at_b_scratch_len(rows, self.k, self.m).max(column_sums_scratch_len(rows, self.m))
    }

    pub fn prepare(&mut self, params: &Params) {
        let mut weight = self.weight.update(params);
        if self.factor != 1.0 {
            self.scaled.clear();
            self.scaled.extend(weight.iter().map(|w| self.factor * w));
            weight = &self.scaled;
        }
        self.packed.repack(self.k, self.m, weight, self.m, 1);
        self.transposed.repack(self.m, self.k, weight, 1, self.m);
    }

    pub fn forward(&self, env: &Env, params: &Params, x: &[f32], z: &mut [f32]) {
        let bias = self.bias.map(|b| &params.values[params.range(b)]);
        let epilogue = Epilogue::biased(bias, Activation::None);
        gemm(env.ctx, env.n * self.rows, x, self.k, &self.packed, z, self.m, &epilogue);
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
        let (k, m, n) = (self.k, self.m, env.n * self.rows);
        if self.weight.trains(params) {
            let dw = self.weight.gradient(params, gradients);
            gemm_at_b(env.ctx, n, x, k, k, dz, m, m, dw, m, scratch, false);
            if self.factor != 1.0 {
                dw.iter_mut().for_each(|d| *d *= self.factor);
            }
            self.weight.finish(params, gradients);
        }
        bias_gradient(env, params, self.bias, dz, gradients, scratch);
        if to != Dx::Skip {
            let epilogue = Epilogue { accumulate: to == Dx::Accumulate, ..Epilogue::default() };
            gemm(env.ctx, n, dz, m, &self.transposed, dx, k, &epilogue);
        }
    }
}

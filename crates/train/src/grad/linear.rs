//! Linear layer: rows times a matrix, plus an optional bias.

use edgecut_kernels::column_sums::{column_sums, column_sums_scratch_len};
use edgecut_kernels::gemm::{PackedB, gemm, gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{Activation, Epilogue};

use super::{Dx, Env};
use crate::params::{ParamId, Params};

/// `z[n, m] = x[n, k] W[k, m] + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    /// Most rows.
    batch: usize,
    k: usize,
    m: usize,
    weight: ParamId,
    bias: Option<ParamId>,
    packed: PackedB,
    transposed: PackedB,
}

impl Linear {
    pub fn new(batch: usize, k: usize, m: usize, weight: ParamId, bias: Option<ParamId>) -> Linear {
        let (packed, transposed) = (PackedB::new(), PackedB::new());
        Linear { batch, k, m, weight, bias, packed, transposed }
    }

    pub fn scratch_len(&self) -> usize {
        gemm_at_b_scratch_len(self.batch, self.k, self.m)
            .max(column_sums_scratch_len(self.batch, self.m))
    }

    pub fn prepare(&mut self, params: &Params) {
        let weight = &params.values[params.range(self.weight)];
        self.packed.repack(self.k, self.m, weight, self.m, 1);
        self.transposed.repack(self.m, self.k, weight, 1, self.m);
    }

    pub fn forward(&self, env: &Env, params: &Params, x: &[f32], z: &mut [f32]) {
        let bias = self.bias.map(|b| &params.values[params.range(b)]);
        let epilogue = Epilogue::biased(bias, Activation::None);
        gemm(env.ctx, env.n, x, self.k, &self.packed, z, self.m, &epilogue);
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
        let (k, m, n) = (self.k, self.m, env.n);
        let dw = &mut gradients[params.range(self.weight)];
        gemm_at_b(env.ctx, n, x, k, k, dz, m, m, dw, m, scratch, false);
        if let Some(bias) = self.bias {
            let sums = &mut gradients[params.range(bias)];
            column_sums(env.ctx, dz, sums, scratch, false);
        }
        if to != Dx::Skip {
            let epilogue = Epilogue { accumulate: to == Dx::Accumulate, ..Epilogue::default() };
            gemm(env.ctx, n, dz, m, &self.transposed, dx, k, &epilogue);
        }
    }
}

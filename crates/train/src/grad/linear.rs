//! Linear layer: rows times a matrix, plus an optional bias.

use edgecut_kernels::column_sums::column_sums_scratch_len;
use edgecut_kernels::gemm::{PackedB, gemm, gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{Activation, ConvShape, Epilogue};

use super::weight::{Weight, bias_gradient};
use super::{Dx, Env, Half};
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
    /// What training computes in instead.
    half: Option<Box<Half>>,
}

impl Linear {
    /// For `batch` images of `rows` rows each.
    pub fn new(
        [batch, rows, k, m]: [usize; 4],
        weight: Weight,
        bias: Option<ParamId>,
        factor: f32,
        in_half: bool,
    ) -> Linear {
        let (packed, transposed, scaled) = (PackedB::new(), PackedB::new(), vec![]);
        let half = pixels(batch * rows, k, m).filter(|_| in_half).and_then(Half::new);
        let half = half.map(Box::new);
        Linear { batch, rows, factor, k, m, weight, bias, packed, transposed, scaled, half }
    }

    pub fn scratch_len(&self, threads: usize) -> usize {
        let rows = self.batch * self.rows;
        gemm_at_b_scratch_len(rows, self.k, self.m)
            .max(column_sums_scratch_len(rows, self.m))
            .max(self.half.as_ref().map_or(0, |half| half.scratch_len(threads)))
    }

    pub fn macs(&self) -> usize {
        self.batch * self.rows * self.k * self.m
    }

    /// Both packings of the weights.
    pub fn held_len(&self) -> usize {
        2 * self.k * self.m
    }

    pub fn prepare(&mut self, params: &Params, training: bool) {
        let mut weight = self.weight.update(params);
        if self.factor != 1.0 {
            self.scaled.clear();
            self.scaled.extend(weight.iter().map(|w| self.factor * w));
            weight = &self.scaled;
        }
        if let Some(half) = self.half.as_mut().filter(|_| training) {
            return half.prepare(weight);
        }
        self.packed.repack(self.k, self.m, weight, self.m, 1);
        self.transposed.repack(self.m, self.k, weight, 1, self.m);
    }

    pub fn forward(
        &self,
        env: &Env,
        params: &Params,
        x: &[f32],
        z: &mut [f32],
        scratch: &mut [f32],
    ) {
        let bias = self.bias.map(|b| &params.values[params.range(b)]);
        let half = self.half.as_ref().filter(|_| env.training);
        if let Some((half, shape)) = half.zip(self.pixels(env)) {
            return half.forward(env, &shape, x, bias, z, scratch);
        }
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
            match self.half.as_ref().zip(self.pixels(env)) {
                Some((half, shape)) => half.weight_gradient(env, &shape, x, dz, dw, scratch),
                None => gemm_at_b(env.ctx, n, x, k, k, dz, m, m, dw, m, scratch, false),
            }
            if self.factor != 1.0 {
                dw.iter_mut().for_each(|d| *d *= self.factor);
            }
            self.weight.finish(params, gradients);
        }
        bias_gradient(env, params, self.bias, dz, gradients, scratch);
        match self.half.as_ref().zip(self.pixels(env)) {
            _ if to == Dx::Skip => {}
            Some((half, shape)) => half.input_gradient(env, &shape, dz, to, dx, scratch),
            None => {
                let epilogue = Epilogue { accumulate: to == Dx::Accumulate, ..Epilogue::default() };
                gemm(env.ctx, n, dz, m, &self.transposed, dx, k, &epilogue);
            }
        }
    }

    /// All rows of a batch, as pixels.
    fn pixels(&self, env: &Env) -> Option<ConvShape> {
        pixels(env.n * self.rows, self.k, self.m)
    }
}

/// The pointwise convolution that multiplies so many rows.
fn pixels(rows: usize, k: usize, m: usize) -> Option<ConvShape> {
    ConvShape::new([1, 1, rows, k], m, [1, 1], [1, 1], [0; 4])
}

//! Normalisation of runs of elements to mean 0 and variance 1: layer, instance and group norm.

use super::operator::{Backward, Forward, Operator};
use super::spread::Spread;
use crate::params::{ParamId, Params};

/// `z = (x - mean) / sqrt(variance + epsilon) * scale + bias` for each run of `size` elements.
#[derive(Debug)]
pub(crate) struct RowNorm {
    batch: usize,
    size: usize,
    epsilon: f32,
    scale: ParamId,
    bias: Option<ParamId>,
    /// The parameter of each element of an image.
    parameter: Spread,
    /// The same, as a list.
    places: Vec<u32>,
}

/// Mean of a run, and one over its standard deviation.
type Moments = (f64, f64);

impl RowNorm {
    /// `places` tells which of `len` parameters each element of an image has.
    pub fn new(
        batch: usize,
        size: usize,
        epsilon: f32,
        (scale, bias): (ParamId, Option<ParamId>),
        (places, len): (Vec<u32>, usize),
    ) -> RowNorm {
        let parameter = Spread::new(places.clone(), len);
        RowNorm { batch, size, epsilon, scale, bias, parameter, places }
    }

    fn moments(&self, run: &[f32]) -> Moments {
        let count = run.len() as f64;
        let mean = run.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let squares = run.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        (mean, 1.0 / (squares / count + f64::from(self.epsilon)).sqrt())
    }

    /// Parameters of the elements of a run, by its number in the batch.
    fn places(&self, run: usize) -> &[u32] {
        let runs = self.places.len() / self.size;
        &self.places[run % runs * self.size..][..self.size]
    }

    fn input_gradient(&self, scale: &[f32], run: usize, x: &[f32], dz: &[f32], dx: &mut [f32]) {
        let ((mean, factor), places) = (self.moments(x), self.places(run));
        let unit = |i: usize| (f64::from(x[i]) - mean) * factor;
        let scaled = |i: usize| f64::from(dz[i]) * f64::from(scale[places[i] as usize]);
        let count = x.len() as f64;
        let sum = (0..x.len()).map(scaled).sum::<f64>() / count;
        let product = (0..x.len()).map(|i| scaled(i) * unit(i)).sum::<f64>() / count;
        for (i, dx) in dx.iter_mut().enumerate() {
            *dx = (factor * (scaled(i) - sum - unit(i) * product)) as f32;
        }
    }

    fn parameter_gradients(&self, cx: Backward, params: &Params) {
        let (ctx, dz, x) = (cx.env.ctx, cx.dz, cx.reads.get(0));
        if let Some(bias) = self.bias.filter(|&b| params.trains(b)) {
            let sums = &mut cx.gradients[params.range(bias)];
            self.parameter.fold_shared(ctx, dz, sums, cx.scratch);
        }
        if params.trains(self.scale) {
            let (products, rest) = cx.scratch.split_at_mut(dz.len());
            ctx.pool.for_each_chunk_mut(products, self.size, |run, products| {
                let range = run * self.size..(run + 1) * self.size;
                let (x, dz) = (&x[range.clone()], &dz[range]);
                let (mean, factor) = self.moments(x);
                for ((p, &x), &dz) in products.iter_mut().zip(x).zip(dz) {
                    *p = (f64::from(dz) * (f64::from(x) - mean) * factor) as f32;
                }
            });
            let sums = &mut cx.gradients[params.range(self.scale)];
            self.parameter.fold_shared(ctx, products, sums, rest);
        }
    }
}

impl Operator for RowNorm {
    fn kind(&self) -> &'static str {
        "norm"
    }

    fn scratch_len(&self) -> usize {
        self.batch * self.places.len() + self.parameter.scratch_len(self.batch)
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let x = cx.reads.get(0);
        let scale = &cx.params.values[cx.params.range(self.scale)];
        let bias = self.bias.map(|b| &cx.params.values[cx.params.range(b)]);
        cx.env.ctx.pool.for_each_chunk_mut(z, self.size, |run, z| {
            let x = &x[run * self.size..][..z.len()];
            let ((mean, factor), places) = (self.moments(x), self.places(run));
            for ((z, &x), &at) in z.iter_mut().zip(x).zip(places) {
                let unit = (f64::from(x) - mean) * factor;
                let shift = bias.map_or(0.0, |bias| f64::from(bias[at as usize]));
                *z = (unit * f64::from(scale[at as usize]) + shift) as f32;
            }
        });
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let (params, x, dz) = (cx.params, cx.reads.get(0), cx.dz);
        if let Some(dx) = dx {
            let scale = &params.values[params.range(self.scale)];
            cx.env.ctx.pool.for_each_chunk_mut(dx, self.size, |run, dx| {
                let range = run * self.size..(run + 1) * self.size;
                self.input_gradient(scale, run, &x[range.clone()], &dz[range], dx);
            });
        }
        self.parameter_gradients(cx, params);
    }
}

//! Constants as activations, for operators that read them like any other value.

use super::operator::{Backward, Forward, Operator};
use edgecut_kernels::column_sums::{column_sums, column_sums_scratch_len};

use crate::params::ParamId;

/// The same numbers for each image.
#[derive(Debug)]
pub(crate) struct Constant {
    batch: usize,
    values: Vec<f32>,
    /// Where they are trained.
    param: Option<ParamId>,
}

impl Constant {
    /// `values` as they are, or those of a parameter as many.
    pub fn new(batch: usize, values: Vec<f32>, param: Option<ParamId>) -> Constant {
        Constant { batch, values, param }
    }
}

impl Operator for Constant {
    fn kind(&self) -> &'static str {
        "constant"
    }

    fn scratch_len(&self) -> usize {
        column_sums_scratch_len(self.batch, self.values.len())
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let values = match self.param {
            Some(param) => &cx.params.values[cx.params.range(param)],
            None => &self.values,
        };
        z.chunks_exact_mut(values.len().max(1)).for_each(|image| image.copy_from_slice(values));
    }

    fn backward(&mut self, cx: Backward, _: Option<&mut [f32]>) {
        if let Some(param) = self.param.filter(|&p| cx.params.trains(p)) {
            let sums = &mut cx.gradients[cx.params.range(param)];
            column_sums(cx.env.ctx, cx.dz, sums, cx.scratch, false);
        }
    }
}

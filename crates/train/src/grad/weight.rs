//! Weights of a layer, as they are or as the codes of a quantised model will be.

use edgecut_kernels::column_sums::column_sums;
use edgecut_kernels::quant::Steps;

use super::Env;
use crate::params::{ParamId, Params};
use crate::qat::LEAST_SCALE;

/// A matrix whose last dimension is the output channels.
#[derive(Debug)]
pub(crate) struct Weight {
    id: ParamId,
    rounding: Option<Rounding>,
    /// The rounded weights.
    rounded: Vec<f32>,
}

/// Rounding with a learned scale for each output channel, or one for all.
#[derive(Clone, Debug)]
pub(crate) struct Rounding {
    /// The scales.
    pub scales: ParamId,
    /// Smallest and largest code, less the zero point: for each scale, or once for all.
    pub codes: Vec<[f32; 2]>,
}

impl Weight {
    pub fn new(id: ParamId, rounding: Option<Rounding>) -> Weight {
        Weight { id, rounding, rounded: vec![] }
    }

    /// Whether a gradient is wanted.
    pub fn trains(&self, params: &Params) -> bool {
        params.trains(self.id)
            || self.rounding.as_ref().is_some_and(|rounding| params.trains(rounding.scales))
    }

    /// The weights that the layer multiplies with.
    pub fn update<'a>(&'a mut self, params: &'a Params) -> &'a [f32] {
        let own = &params.values[params.range(self.id)];
        let Some(rounding) = &self.rounding else { return own };
        let scales = &params.values[params.range(rounding.scales)];
        let steps = rounding.steps(scales);
        self.rounded.clear();
        self.rounded.extend(own.iter().zip(steps.iter().cycle()).map(|(w, s)| s.apply(*w)));
        &self.rounded
    }

    /// Where the gradient of what the layer multiplies with goes.
    pub fn gradient<'a>(&self, params: &Params, gradients: &'a mut [f32]) -> &'a mut [f32] {
        &mut gradients[params.range(self.id)]
    }

    /// Turns that gradient into those of the weights and of the scales. Scales are few and all weights
    /// of a channel push them, so theirs are divided by sqrt(weights x largest code), as in LSQ;
    /// that is half of the range where it is not symmetric.
    pub fn finish(&self, params: &Params, gradients: &mut [f32]) {
        let Some(rounding) = &self.rounding else { return };
        let (own, range) = (params.range(self.id), params.range(rounding.scales));
        let steps = rounding.steps(&params.values[range.clone()]);
        let mut sums = vec![0.0f64; steps.len()];
        let pairs = params.values[own.clone()].iter().zip(&mut gradients[own.clone()]);
        for (i, (&w, d)) in pairs.enumerate() {
            let channel = i % steps.len();
            let (weight, scale) = steps[channel].gradient(w, *d);
            *d = weight;
            sums[channel] += f64::from(scale);
        }
        let each = (own.len() / steps.len()).max(1) as f64;
        for ((g, sum), step) in gradients[range].iter_mut().zip(sums).zip(&steps) {
            let largest = f64::from(step.high - step.low) / 2.0;
            *g = (sum / (each * largest).sqrt()) as f32;
        }
    }
}

impl Rounding {
    fn steps(&self, scales: &[f32]) -> Vec<Steps> {
        let step = |(&scale, &[low, high]): (&f32, &[f32; 2])| Steps {
            scale: scale.max(LEAST_SCALE),
            low,
            high,
        };
        scales.iter().zip(self.codes.iter().cycle()).map(step).collect()
    }
}

/// The gradient of a bias, if it is trained: the sums of the columns of `dz`.
pub(crate) fn bias_gradient(
    env: &Env,
    params: &Params,
    bias: Option<ParamId>,
    dz: &[f32],
    gradients: &mut [f32],
    scratch: &mut [f32],
) {
    if let Some(bias) = bias.filter(|&bias| params.trains(bias)) {
        column_sums(env.ctx, dz, &mut gradients[params.range(bias)], scratch, false);
    }
}

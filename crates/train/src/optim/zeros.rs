//! Weights that stay zero.

use crate::params::{Kind, Params};

/// `gradients`, but 0 for weights that are exactly 0, in `masked`. Their momentum then stays 0, too,
/// and zero does not decay, so that no mask has to be kept: a weight that is zero once is zero for
/// good. One that became zero by chance would be, too, which no training has to fear.
pub(crate) fn without_zeros<'a>(
    params: &Params,
    gradients: &[f32],
    masked: &'a mut Vec<f32>,
) -> &'a [f32] {
    masked.clear();
    masked.extend_from_slice(gradients);
    for (_, range, _) in params.rates().filter(|(kind, ..)| *kind == Kind::Weight) {
        let weights = &params.values[range.clone()];
        for (gradient, weight) in masked[range].iter_mut().zip(weights) {
            if *weight == 0.0 {
                *gradient = 0.0;
            }
        }
    }
    masked
}

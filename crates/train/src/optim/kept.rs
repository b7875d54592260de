//! What stays of the weights as they are.

use super::{Shared, without_zeros};
use crate::config::TrainConfig;
use crate::error::{Result, TrainError};
use crate::params::Params;

/// A constraint on weights, kept by what their gradients are made.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// All may change.
    Nothing,
    /// Weights that are zero stay zero; room for gradients.
    Zeros(Vec<f32>),
    /// Weights that are equal stay equal.
    Palettes(Shared),
}

impl Kept {
    /// What `config` asks for, of weights as they are in the beginning.
    pub fn of(config: &TrainConfig, params: &Params) -> Result<Kept> {
        if !config.keep_palette {
            return Ok(if config.keep_zeros { Kept::Zeros(vec![]) } else { Kept::Nothing });
        }
        let shared = Shared::of(params);
        match shared.is_empty() {
            true => Err(TrainError::config("keep_palette", "no layer's weights share few values")),
            false => Ok(Kept::Palettes(shared)),
        }
    }

    /// `gradients`, changed so that a step along them keeps it.
    pub fn gradients<'a>(&'a mut self, params: &Params, gradients: &'a [f32]) -> &'a [f32] {
        match self {
            Kept::Nothing => gradients,
            Kept::Zeros(masked) => without_zeros(params, gradients, masked),
            Kept::Palettes(shared) => shared.average(gradients),
        }
    }
}

//! Channels that shrink together while the rest of the network learns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::params::Params;

/// Group lasso: the sum over channels of the Euclidean norm of everything that goes with a channel,
/// times the root of its size, as a penalty (Yuan and Lin 2006; on channels, Wen et al. 2016,
/// arXiv:1608.03665; on coupled ones, Fang et al. 2023, arXiv:2301.12900).
///
/// It acts by its proximal step behind each step of the optimiser, so that channels become zero and
/// not merely small: a channel whose weights have the root mean square r is multiplied by
/// `max(0, 1 - rate * strength / r)`. A weight may belong to two channels, of what it makes and of
/// what it reads; their steps then follow each other, which is the proximal step of the sum where
/// groups are nested (Jenatton et al. 2011) and close to it for the small steps of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupLasso {
    /// What the root mean square of a channel loses for each unit of learning rate.
    pub strength: f32,
    /// The channels.
    pub channels: Vec<Vec<Part>>,
}

/// What belongs to a channel of one constant: all elements at some indices of a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the constant.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The dimension.
    pub dim: usize,
    /// The indices.
    pub indices: Vec<usize>,
}

impl GroupLasso {
    /// Checks the strength.
    ///
    /// # Errors
    /// Where it is no number from 0 to 1.
    pub(crate) fn validate(&self) -> Result<()> {
        match (0.0..=1.0).contains(&self.strength) {
            true => Ok(()),
            false => {
                let problem = format!("{}; must be 0 to 1", self.strength);
                Err(TrainError::config("group_lasso", problem))
            }
        }
    }
}

impl Part {
    /// Places of its elements in the constant.
    fn elements(&self) -> impl Iterator<Item = usize> {
        let inner: usize = self.shape[self.dim + 1..].iter().product();
        let outer: usize = self.shape[..self.dim].iter().product();
        let extent = self.shape[self.dim];
        (0..outer).flat_map(move |o| {
            let runs = self.indices.iter().map(move |i| (o * extent + i) * inner);
            runs.flat_map(move |first| first..first + inner)
        })
    }
}

/// [`GroupLasso`] on the flat array of parameters.
#[derive(Clone, Debug)]
pub(crate) struct Shrinkage {
    strength: f32,
    /// Positions of the elements of each channel.
    channels: Vec<Vec<u32>>,
}

impl Shrinkage {
    /// Parts that are not trained, as those of frozen layers, stay out of it.
    ///
    /// # Errors
    /// A constant of another size than its parameter, or nothing that is trained.
    pub fn new(params: &Params, lasso: &GroupLasso) -> Result<Shrinkage> {
        let wrong = |problem: String| TrainError::config("group_lasso", problem);
        let mut known: BTreeMap<&str, Vec<Vec<u32>>> = BTreeMap::new();
        let mut channels = vec![];
        for parts in &lasso.channels {
            let mut channel = vec![];
            for part in parts {
                let places =
                    known.entry(&part.name).or_insert_with(|| params.positions(&part.name));
                let len: usize = part.shape.iter().product();
                if places.iter().any(|places| places.len() != len) {
                    return Err(wrong(format!("'{}' is no {len} weights", part.name)));
                }
                for places in places {
                    channel.extend(part.elements().map(|at| places[at]));
                }
            }
            channels.push(channel);
        }
        if channels.iter().all(|channel| channel.is_empty()) {
            return Err(wrong("no channel that could shrink is trained".into()));
        }
        Ok(Shrinkage { strength: lasso.strength, channels })
    }

    /// The proximal step behind an optimiser's step at the rate `lr`: one channel after the other, so
    /// that no thread changes a bit.
    pub fn apply(&self, values: &mut [f32], lr: f32) {
        let less = f64::from(lr * self.strength);
        for channel in &self.channels {
            let square = |&at: &u32| f64::from(values[at as usize]).powi(2);
            let mean = channel.iter().map(square).sum::<f64>() / channel.len().max(1) as f64;
            if mean > 0.0 {
                let factor = (1.0 - less / mean.sqrt()).max(0.0) as f32;
                channel.iter().for_each(|&at| values[at as usize] *= factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_those_at_the_indices() {
        let part = |dim, indices| Part { name: String::new(), shape: vec![2, 3, 2], dim, indices };
        let elements = |part: Part| part.elements().collect::<Vec<_>>();
        assert_eq!(elements(part(1, vec![0, 2])), [0, 1, 4, 5, 6, 7, 10, 11]);
        assert_eq!(elements(part(0, vec![1])), [6, 7, 8, 9, 10, 11]);
        assert_eq!(elements(part(2, vec![1])), [1, 3, 5, 7, 9, 11]);
    }

    #[test]
    fn root_mean_squares_fall_by_the_step_and_end_at_zero() {
        let channels = vec![vec![0, 1], vec![2, 3]];
        let shrinkage = Shrinkage { strength: 0.5, channels };
        let mut values = [3.0, -4.0, 0.02, 0.02, 7.0];
        shrinkage.apply(&mut values, 0.1);
        let rms = (12.5f32).sqrt();
        let factor = (rms - 0.05) / rms;
        assert!((values[0] - 3.0 * factor).abs() < 1e-6 && (values[1] + 4.0 * factor).abs() < 1e-6);
        assert_eq!(values[2..], [0.0, 0.0, 7.0]);
        shrinkage.apply(&mut values, 0.1);
        assert_eq!(values[2], 0.0);
    }
}

//! What a channel is worth.

mod activations;
mod losses;
mod weights;

use std::sync::Arc;

use edgecut_graph::rng::Rng;
use edgecut_kernels::Pool;
use serde::{Deserialize, Serialize};

use super::Channels;
use crate::{CompressError, Control, Images, Result};
use weights::Weights;

/// How the worth of a channel is estimated. Each counts the whole coupled group: all weights that
/// go with the channel, in whichever layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// Sum of the magnitudes of its weights (Li et al., arXiv:1608.08710).
    L1,
    /// Root of the sum of their squares, as DepGraph's group norm (Fang et al., arXiv:2301.12900).
    #[default]
    L2,
    /// Magnitude of BatchNorm's factor (network slimming, Liu et al., arXiv:1708.06519).
    BnScale,
    /// Squares of its weights over those of all channels of the group that are worth as much or
    /// more (Lee et al., arXiv:2010.07611).
    Lamp,
    /// Distance from the other channels' weights: those near the geometric median are replaceable
    /// (He et al., arXiv:1811.00250).
    Fpgm,
    /// Change of the loss without it to first order: magnitude of the sum of weights times
    /// gradients, image by image (Molchanov et al., arXiv:1906.10771).
    Taylor,
    /// Change of the loss without it to second order at a minimum: squares of weights times those of
    /// gradients, Fisher's estimate of the Hessian's diagonal (optimal brain damage, LeCun et al.
    /// 1989).
    Hessian,
    /// Mean magnitude of what it holds.
    Activation,
    /// Nothing: a seeded draw, to compare with.
    Random,
}

impl Importance {
    /// Whether images are needed.
    pub fn needs_images(self) -> bool {
        self == Importance::Activation || self.needs_labels()
    }

    /// Whether the images need classes.
    pub fn needs_labels(self) -> bool {
        matches!(self, Importance::Taylor | Importance::Hessian)
    }
}

/// What importances may look at beside the weights.
pub struct Evidence<'a> {
    /// Images as the graph's input.
    pub images: Option<&'a dyn Images>,
    /// Seed of [`Importance::Random`].
    pub seed: u64,
    /// Threads.
    pub pool: &'a Arc<Pool>,
    /// When to stop.
    pub control: &'a Control<'a>,
}

impl Evidence<'_> {
    fn images(&self) -> Result<&dyn Images> {
        self.images.filter(|images| !images.is_empty()).ok_or(CompressError::NoImages)
    }
}

impl Channels {
    /// The worth of each channel, by group. Comparable between groups: in units of the loss for
    /// [`Importance::Taylor`] and [`Importance::Hessian`], of BatchNorm's factor for
    /// [`Importance::BnScale`], else relative to the mean of the group.
    ///
    /// # Errors
    /// Where data is needed and missing, the graph does not train, or has no BatchNorm.
    pub fn scores(&self, importance: Importance, evidence: &Evidence) -> Result<Vec<Vec<f64>>> {
        match importance {
            Importance::L1 => Weights::of(self)?.norms(1),
            Importance::L2 => Weights::of(self)?.norms(2),
            Importance::BnScale => Weights::of(self)?.batch_norm_scales(),
            Importance::Lamp => Weights::of(self)?.lamp(),
            Importance::Fpgm => Weights::of(self)?.distances(),
            Importance::Taylor => losses::taylor(self, evidence),
            Importance::Hessian => losses::hessian(self, evidence),
            Importance::Activation => activations::magnitudes(self, evidence),
            Importance::Random => {
                let mut rng = Rng::keyed(&[evidence.seed, 0x7072_756e]);
                let draw = |group: &super::Group| {
                    group.channels.iter().map(|_| f64::from(rng.range(0.0, 1.0))).collect()
                };
                Ok(self.groups.iter().map(draw).collect())
            }
        }
    }
}

/// `scores` of one group, so that their mean is 1.
fn relative(mut scores: Vec<f64>) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    if mean > 0.0 {
        scores.iter_mut().for_each(|score| *score /= mean);
    }
    scores
}

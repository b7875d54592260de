//! Importances that the loss's gradients give.
//!
//! Without a channel, the weights that read it are as good as zero. To first order the loss changes
//! by the sum of those weights times their gradients, to second order by half the sum of their
//! squares times the Hessian's diagonal, for which Fisher's estimate takes the mean square of the
//! gradients of single images.

use super::Evidence;
use super::weights::{Weights, add, sums};
use crate::gradients::{Gradients, each_image};
use crate::prune::{Channels, Group, Role};
use crate::{CompressError, Result};

/// Mean over the images of the magnitude of the sum of weights times gradients.
pub(super) fn taylor(channels: &Channels, evidence: &Evidence) -> Result<Vec<Vec<f64>>> {
    mean(channels, evidence, |w, g| w * g, f64::abs)
}

/// Mean over the images of half the sum of the squares of weights times gradients.
pub(super) fn hessian(channels: &Channels, evidence: &Evidence) -> Result<Vec<Vec<f64>>> {
    mean(channels, evidence, |w, g| 0.5 * (w * g) * (w * g), |change| change)
}

/// For each channel, the mean over the images of `whole` of the sum of `part` of its weights and
/// their gradients.
fn mean(
    channels: &Channels,
    evidence: &Evidence,
    part: impl Fn(f64, f64) -> f64,
    whole: impl Fn(f64) -> f64,
) -> Result<Vec<Vec<f64>>> {
    let images = evidence.images()?;
    let share = 1.0 / images.len() as f64;
    let weights = Weights::of(channels)?;
    let mut scores: Vec<Vec<f64>> =
        channels.groups.iter().map(|group| vec![0.0; group.channels.len()]).collect();
    let (graph, threads, control) = (&channels.graph, evidence.pool.threads(), evidence.control);
    each_image(graph, images, threads, control, |gradients| {
        for (group, scores) in channels.groups.iter().zip(&mut scores) {
            let changes = changes(channels, &weights, gradients, group, &part)?;
            scores.iter_mut().zip(changes).for_each(|(score, c)| *score += share * whole(c));
        }
        Ok(())
    })?;
    Ok(scores)
}

/// For each channel of `group`, the sum of `part` of the weights that count and their gradients.
fn changes(
    channels: &Channels,
    weights: &Weights,
    gradients: &Gradients,
    group: &Group,
    part: impl Fn(f64, f64) -> f64,
) -> Result<Vec<f64>> {
    let mut totals = vec![0.0; group.channels.len()];
    let roles = counted(group);
    for (at, member) in group.members.iter().enumerate() {
        if !roles.contains(&member.role) {
            continue;
        }
        let tensor = weights.tensor(member);
        let gradient = gradients.get(&member.value).filter(|g| g.len() == tensor.len());
        let Some(gradient) = gradient else {
            let value = channels.graph.value(member.value).name.clone();
            return Err(CompressError::NoGradient { value });
        };
        let of = |at: usize, w: f32| part(w.into(), gradient[at].into());
        let sums = sums(&tensor.to_f32(), tensor.shape(), member.dim, of);
        add(&mut totals, &group.channels, at, &sums);
    }
    Ok(totals)
}

/// Roles whose weights say what is lost with a channel: what reads it. Where nothing stored reads
/// it, as the products of queries and keys, what makes it.
fn counted(group: &Group) -> &'static [Role] {
    match group.members.iter().any(|member| member.role == Role::Reads) {
        true => &[Role::Reads],
        false => &[Role::Makes, Role::Shift],
    }
}

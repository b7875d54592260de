//! Importances that what channels hold gives.

use edgecut_graph::ValueId;

use super::{Evidence, relative};
use crate::Result;
use crate::probe::Probe;
use crate::prune::flow::Axis;
use crate::prune::{Channels, Role};

/// The result of a layer, and for whom it is watched.
struct Watched {
    value: ValueId,
    /// Extent of the channels, and elements of each that lie side by side.
    len: usize,
    inner: usize,
    /// Group, and place of the member that makes the channels.
    group: usize,
    member: usize,
}

/// Mean magnitude of each channel over images and positions, of all layers that make it, relative
/// to the mean of its group.
pub(super) fn magnitudes(channels: &Channels, evidence: &Evidence) -> Result<Vec<Vec<f64>>> {
    let watched = watched(channels);
    let values: Vec<ValueId> = watched.iter().map(|w| w.value).collect();
    let mut sums: Vec<Vec<f64>> = watched.iter().map(|w| vec![0.0; w.len]).collect();
    let images = evidence.images()?;
    let probe = Probe { images, pool: evidence.pool, control: evidence.control };
    probe.run(&channels.graph, &values, &mut |_, place, elements| {
        let Watched { len, inner, .. } = watched[place];
        let elements_of_each = elements.len() / len.max(1);
        for (line, chunk) in elements.chunks(inner.max(1)).enumerate() {
            let sum: f64 = chunk.iter().map(|v| f64::from(v.abs())).sum();
            sums[place][line % len] += sum / elements_of_each.max(1) as f64;
        }
        Ok(())
    })?;
    let mut scores: Vec<Vec<f64>> =
        channels.groups.iter().map(|group| vec![0.0; group.channels.len()]).collect();
    for (watched, sums) in watched.iter().zip(&sums) {
        let group = &channels.groups[watched.group];
        super::weights::add(&mut scores[watched.group], &group.channels, watched.member, sums);
    }
    Ok(scores.into_iter().map(relative).collect())
}

/// Results of the layers that make channels, where a dimension has the same indices as the weight.
fn watched(channels: &Channels) -> Vec<Watched> {
    let (graph, space) = (&channels.graph, &channels.flow.space);
    let mut all = vec![];
    for (group, of) in channels.groups.iter().enumerate() {
        for (member, made) in of.members.iter().enumerate().filter(|(_, m)| m.role == Role::Makes) {
            let value = graph.nodes[made.node].output();
            let same = |a: Axis, b: Axis| {
                a.len() == b.len()
                    && a.indices().zip(b.indices()).all(|(a, b)| space.class(a) == space.class(b))
            };
            let axis = space.of(made.value)[made.dim];
            let Some(dim) = space.of(value).iter().position(|&other| same(axis, other)) else {
                continue;
            };
            let shape = graph.value(value).shape.with_symbols(1);
            let inner = shape[dim + 1..].iter().product();
            all.push(Watched { value, len: shape[dim], inner, group, member });
        }
    }
    all
}

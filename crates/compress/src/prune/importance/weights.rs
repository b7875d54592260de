//! Importances that weights alone give.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use edgecut_graph::{Graph, Op, Tensor, ValueId, interpret};

use super::relative;
use crate::prune::{Channel, Channels, Group, Member, Role};
use crate::{CompressError, Result};

/// The stored tensors of all groups, dequantised and rearranged as the layers see them.
pub(super) struct Weights<'a> {
    channels: &'a Channels,
    tensors: BTreeMap<ValueId, Tensor>,
}

impl<'a> Weights<'a> {
    pub fn of(channels: &'a Channels) -> Result<Weights<'a>> {
        let mut weights = Weights { channels, tensors: BTreeMap::new() };
        let producers = channels.graph.producers();
        for member in channels.groups.iter().flat_map(|group| &group.members) {
            if let Entry::Vacant(place) = weights.tensors.entry(member.value) {
                place.insert(stored(&channels.graph, &producers, member.value)?);
            }
        }
        Ok(weights)
    }

    /// The elements of a member's tensor.
    pub fn tensor(&self, member: &Member) -> &Tensor {
        &self.tensors[&member.value]
    }

    /// Sum of `f` of the elements at each index of a member's dimension.
    pub fn sums(&self, member: &Member, f: impl Fn(usize, f32) -> f64) -> Vec<f64> {
        let tensor = self.tensor(member);
        sums(&tensor.to_f32(), tensor.shape(), member.dim, f)
    }

    /// For each channel of `group`, the sum of `f` over its weights in the roles `roles`.
    fn totals(&self, group: &Group, roles: &[Role], f: impl Fn(f32) -> f64) -> Vec<f64> {
        let mut totals = vec![0.0; group.channels.len()];
        for (at, member) in group.members.iter().enumerate() {
            if roles.contains(&member.role) {
                let sums = self.sums(member, |_, w| f(w));
                add(&mut totals, &group.channels, at, &sums);
            }
        }
        totals
    }

    pub fn norms(&self, power: i32) -> Result<Vec<Vec<f64>>> {
        let each = |group: &Group| {
            let weights = [Role::Makes, Role::Reads];
            let totals = self.totals(group, &weights, |w| f64::from(w.abs()).powi(power));
            relative(totals.into_iter().map(|t| t.powf(1.0 / f64::from(power))).collect())
        };
        Ok(self.channels.groups.iter().map(each).collect())
    }

    /// Groups without BatchNorm are worth what their norms are, in units of the network's mean
    /// factor.
    pub fn batch_norm_scales(&self) -> Result<Vec<Vec<f64>>> {
        let nodes = &self.channels.graph.nodes;
        let scales = |group: &Group| -> Option<Vec<f64>> {
            let mut totals = vec![0.0; group.channels.len()];
            let mut count = 0;
            for (at, member) in group.members.iter().enumerate() {
                let norm = matches!(nodes[member.node].op, Op::BatchNorm { .. });
                if norm && member.role == Role::Scale {
                    let sums = self.sums(member, |_, w| f64::from(w.abs()));
                    add(&mut totals, &group.channels, at, &sums);
                    count += 1;
                }
            }
            totals.iter_mut().for_each(|total| *total /= f64::from(count));
            (count > 0).then_some(totals)
        };
        let found: Vec<Option<Vec<f64>>> = self.channels.groups.iter().map(scales).collect();
        let all: Vec<f64> = found.iter().flatten().flatten().copied().collect();
        if all.is_empty() {
            return Err(CompressError::Setting {
                field: "importance",
                value: "bnscale".into(),
                expected: "one that needs no BatchNorm, which this model has none of: l2, taylor",
            });
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let norms = self.norms(2)?;
        let scaled = |norms: Vec<f64>| norms.into_iter().map(|n| n * mean).collect();
        Ok(found.into_iter().zip(norms).map(|(s, n)| s.unwrap_or_else(|| scaled(n))).collect())
    }

    pub fn lamp(&self) -> Result<Vec<Vec<f64>>> {
        let each = |group: &Group| {
            let squares = self.totals(group, &[Role::Makes, Role::Reads], |w| f64::from(w).powi(2));
            let mut order: Vec<usize> = (0..squares.len()).collect();
            order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]));
            let mut scores = vec![0.0; squares.len()];
            let mut above = 0.0;
            for at in order {
                above += squares[at];
                scores[at] = if above > 0.0 { squares[at] / above } else { 0.0 };
            }
            scores
        };
        Ok(self.channels.groups.iter().map(each).collect())
    }

    pub fn distances(&self) -> Result<Vec<Vec<f64>>> {
        let each = |group: &Group| {
            let mut totals = vec![0.0; group.channels.len()];
            for (at, member) in group.members.iter().enumerate() {
                if member.role == Role::Makes {
                    let tensor = self.tensor(member);
                    let sums = distances(&tensor.to_f32(), tensor.shape(), member.dim);
                    add(&mut totals, &group.channels, at, &sums);
                }
            }
            relative(totals)
        };
        Ok(self.channels.groups.iter().map(each).collect())
    }
}

/// Adds to each channel what `sums` says of its indices of member `at`.
pub(super) fn add(totals: &mut [f64], channels: &[Channel], at: usize, sums: &[f64]) {
    for (total, channel) in totals.iter_mut().zip(channels) {
        *total += channel.indices[at].iter().map(|&index| sums[index]).sum::<f64>();
    }
}

/// Sum of `f` over the elements at each index of dimension `dim`.
pub(super) fn sums(
    values: &[f32],
    shape: &[usize],
    dim: usize,
    f: impl Fn(usize, f32) -> f64,
) -> Vec<f64> {
    let inner: usize = shape[dim + 1..].iter().product();
    let mut sums = vec![0.0; shape[dim]];
    for (at, &w) in values.iter().enumerate() {
        sums[at / inner % shape[dim]] += f(at, w);
    }
    sums
}

/// For each index of dimension `dim`, the sum of the Euclidean distances of its elements to those
/// of every other.
fn distances(values: &[f32], shape: &[usize], dim: usize) -> Vec<f64> {
    let (len, inner) = (shape[dim], shape[dim + 1..].iter().product::<usize>());
    let mut rows: Vec<Vec<f32>> = vec![vec![]; len];
    for (line, chunk) in values.chunks(inner.max(1)).enumerate() {
        rows[line % len].extend_from_slice(chunk);
    }
    let mut sums = vec![0.0; len];
    for a in 0..len {
        for b in a + 1..len {
            let square: f32 = rows[a].iter().zip(&rows[b]).map(|(x, y)| (x - y) * (x - y)).sum();
            let distance = f64::from(square).sqrt();
            sums[a] += distance;
            sums[b] += distance;
        }
    }
    sums
}

/// A tensor that depends on constants alone.
fn stored(graph: &Graph, producers: &[Option<usize>], id: ValueId) -> Result<Tensor> {
    if let Some(tensor) = graph.constant(id) {
        return Ok(tensor.clone());
    }
    // Where nothing computes it either, the interpreter says that an input is missing.
    let Some(producer) = producers[id.index()] else { return Ok(Tensor::zeros([0])?) };
    let node = &graph.nodes[producer];
    let inputs = node.inputs.iter().map(|input| input.map(|id| stored(graph, producers, id)));
    let inputs: Vec<Option<Tensor>> = inputs.map(Option::transpose).collect::<Result<_>>()?;
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
    let at = node.outputs.iter().position(|&output| output == id).unwrap_or(0);
    Ok(interpret::run_node(graph, node, &inputs)?.swap_remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_distances_of_indices() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(sums(&values, &[2, 3], 0, |_, w| w.into()), [6.0, 15.0]);
        assert_eq!(sums(&values, &[2, 3], 1, |_, w| w.into()), [5.0, 7.0, 9.0]);
        assert_eq!(distances(&[0.0, 3.0, 0.0, 4.0], &[2, 2], 1), [5.0, 5.0]);
    }
}

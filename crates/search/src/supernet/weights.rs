//! Weights that many networks share, and which part of them a network has.

use std::collections::BTreeMap;

use edgecut_graph::Graph;
use edgecut_train::optim::Group;
use edgecut_train::params::{Kind, Params};
use edgecut_train::plan::TrainPlan;

use crate::error::{Result, SearchError};

/// Parameters at their largest, by the name of the constant, in ONNX's order. Statistics of BatchNorm
/// are not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedWeights {
    entries: BTreeMap<String, Entry>,
    /// All values; those that weight decay applies to come first.
    pub values: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    shape: Vec<usize>,
    kind: Kind,
    start: usize,
}

impl Entry {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl SharedWeights {
    /// The weights of `networks` at their largest, with the values that they have there.
    ///
    /// # Errors
    /// Networks that cannot be trained; a weight that none of them has as a whole, or that is of
    /// different kinds.
    pub fn new(networks: &[Graph]) -> Result<SharedWeights> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for graph in networks {
            let plan = TrainPlan::new(graph, 1)?;
            for (name, kind, _) in learned(plan.params()) {
                let shape = shape(graph, name)?;
                let new = Entry { shape: shape.clone(), kind, start: 0 };
                let entry = entries.entry(name.to_string()).or_insert(new);
                if entry.kind != kind || entry.shape.len() != shape.len() {
                    let (one, other) = (say(&entry.shape), say(&shape));
                    let problem = format!("is {one} in one network and {other} in another");
                    return Err(SearchError::weight(name, problem));
                }
                entry.shape.iter_mut().zip(shape).for_each(|(most, own)| *most = own.max(*most));
            }
        }
        let mut end = 0;
        for decays in [true, false] {
            for entry in entries.values_mut().filter(|e| (e.kind == Kind::Weight) == decays) {
                entry.start = end;
                end += entry.len();
            }
        }
        let mut weights = SharedWeights { entries, values: vec![0.0; end] };
        weights.fill(networks)?;
        Ok(weights)
    }

    /// Takes each weight from the first network that has all of it.
    fn fill(&mut self, networks: &[Graph]) -> Result<()> {
        for (name, entry) in &self.entries {
            let mut whole = networks.iter().filter_map(|graph| {
                let tensor = graph.constant(graph.find_value(name)?)?;
                (tensor.shape() == entry.shape).then(|| tensor.to_f32())
            });
            let Some(values) = whole.next() else {
                let problem = format!("no network has all of its {}", say(&entry.shape));
                return Err(SearchError::weight(name, problem));
            };
            self.values[entry.start..][..values.len()].copy_from_slice(&values);
        }
        Ok(())
    }

    /// How the optimiser treats them.
    pub(super) fn groups(&self) -> Vec<Group> {
        let group = |entry: &Entry| {
            let decay = if entry.kind == Kind::Weight { 1.0 } else { 0.0 };
            Group { range: entry.start..entry.start + entry.len(), lr: 1.0, decay }
        };
        let mut groups: Vec<Group> = self.entries.values().map(group).collect();
        groups.sort_by_key(|group| group.range.start);
        groups
    }

    /// Names and shapes, in the order of names.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), &entry.shape[..]))
    }

    /// For each of the values of `params`, which belong to `graph`, its position in
    /// [`SharedWeights::values`].
    ///
    /// # Errors
    /// A weight that these are not the largest of, by name.
    pub(super) fn positions(&self, graph: &Graph, params: &Params) -> Result<Vec<u32>> {
        let mut positions = vec![u32::MAX; params.values.len()];
        for (name, kind, _) in learned(params) {
            let own = shape(graph, name)?;
            let entry = self.entries.get(name).filter(|entry| entry.kind == kind);
            let slice = entry.and_then(|entry| entry.slice(&own)).ok_or_else(|| {
                let problem = format!("{} is no part of a shared weight", say(&own));
                SearchError::weight(name, problem)
            })?;
            for reader in params.positions(name) {
                reader.iter().zip(&slice).for_each(|(&at, &from)| positions[at as usize] = from);
            }
        }
        Ok(positions)
    }
}

impl Entry {
    /// Positions of a part of this shape, in ONNX's order: the first channels, and of filters the
    /// middle. None where it does not fit.
    fn slice(&self, part: &[usize]) -> Option<Vec<u32>> {
        if part.len() != self.shape.len() || part.iter().zip(&self.shape).any(|(p, s)| p > s) {
            return None;
        }
        let mut places = vec![0];
        for (dim, (&own, &all)) in part.iter().zip(&self.shape).enumerate() {
            let filter = dim >= 2 && part.len() == 4;
            let first = if filter { (all - own) / 2 } else { 0 };
            let row = |&place: &usize| (place * all + first..).take(own);
            places = places.iter().flat_map(row).collect();
        }
        Some(places.into_iter().map(|place| (self.start + place) as u32).collect())
    }
}

/// What is trained.
fn learned(params: &Params) -> impl Iterator<Item = (&str, Kind, std::ops::Range<usize>)> {
    params.names().filter(|(_, kind, _)| *kind != Kind::Statistic)
}

fn say(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn shape(graph: &Graph, name: &str) -> Result<Vec<usize>> {
    let tensor = graph.find_value(name).and_then(|id| graph.constant(id));
    let tensor = tensor.ok_or_else(|| SearchError::weight(name, "is no constant of the graph"))?;
    Ok(tensor.shape().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First channels and the middle of the filter, by hand: [1, 2, 1, 3] of [2, 3, 3, 5] at 100.
    #[test]
    fn parts_are_first_channels_and_middles_of_filters() {
        let entry = Entry { shape: vec![2, 3, 3, 5], kind: Kind::Weight, start: 100 };
        let expected = [106, 107, 108, 121, 122, 123];
        assert_eq!(entry.slice(&[1, 2, 1, 3]).unwrap(), expected);
        assert_eq!(entry.slice(&[2, 3, 3, 5]).unwrap(), (100..190).collect::<Vec<u32>>());
        assert!(entry.slice(&[3, 1, 1, 1]).is_none() && entry.slice(&[1, 1, 1]).is_none());
        let line = Entry { shape: vec![4, 6], ..entry };
        assert_eq!(line.slice(&[2, 2]).unwrap(), [100, 101, 106, 107]);
    }
}

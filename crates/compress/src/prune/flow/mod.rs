//! Channel flow: for every operator, how the indices of its dimensions map from inputs to outputs.
//!
//! Every index of every dimension of every value is in a class of indices that live and die
//! together. Most operators join classes: an addition those of its operands, a convolution the rows
//! of its weight with the channels that it makes and the columns with those that it reads. Where
//! one dimension becomes several or the reverse (attention heads, windows, groups), it is a
//! [`Grid`] of lines. What an operator mixes, what it changes in a way that has no rule, and what
//! the caller sees is pinned.
//!
//! Weights are values like all others, so that a transposed, reshaped or dequantised weight needs
//! no rule of its own, and no architecture is ever looked for.

mod arrange;
mod elementwise;
mod grid;
mod index;
mod norm;
mod operator;
mod product;
mod reshape;
mod space;
mod tracer;

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Node, Result, ValueId};

pub(crate) use grid::Grid;
pub(crate) use space::{Axis, Pin, Space};
pub(crate) use tracer::Tracer;

/// What a dimension of a stored tensor means to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Each index makes a channel: rows of a weight.
    Makes,
    /// Each index reads a channel: columns of a weight.
    Reads,
    /// A factor of each channel, such as BatchNorm's scale.
    Scale,
    /// What is added to each channel, such as a bias.
    Shift,
    /// Anything else with a number for each channel, such as a running variance.
    Statistic,
}

/// A dimension of a stored tensor, or of one computed from stored ones alone, that a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The tensor.
    pub value: ValueId,
    /// Its dimension.
    pub dim: usize,
    /// What it means.
    pub role: Role,
    /// Place in the graph of the node that reads it.
    pub node: usize,
}

/// The indices of a graph, and how they hang together.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub space: Space,
    /// Grids of which more than one side can shrink.
    pub grids: Vec<Grid>,
    /// Dimensions of stored tensors, in order of the nodes.
    pub members: Vec<Member>,
    /// Inner dimension of a node that its groups are.
    pub groups: BTreeMap<usize, Axis>,
}

impl Flow {
    /// Follows the indices through `graph`.
    pub fn trace(graph: &Graph) -> Result<Flow> {
        let stored = stored(graph);
        let mut space = Space::new(graph)?;
        let (mut grids, mut members, mut groups) = (vec![], vec![], BTreeMap::new());
        pin_interface(graph, &mut space);
        for index in 0..graph.nodes.len() {
            let state = (&mut space, &mut grids);
            let mut tracer = Tracer::new((graph, index), state, &mut members, &stored);
            if let Some(axis) = operator::trace(&mut tracer)? {
                groups.insert(index, axis);
            }
            tracer.finish();
        }
        let grids = grid::settle(&mut space, grids);
        Ok(Flow { space, grids, members, groups })
    }
}

/// What the caller sees stays as it is.
fn pin_interface(graph: &Graph, space: &mut Space) {
    let inputs = graph.inputs.iter().map(|&id| (id, "is the model's input"));
    let outputs = graph.outputs.iter().map(|&id| (id, "is the model's output"));
    for (id, why) in inputs.chain(outputs) {
        for axis in space.of(id).to_vec() {
            axis.indices().for_each(|index| {
                space.pin(index, &Pin { node: None, why });
            });
        }
    }
}

/// Whether each value is a constant or depends on constants alone.
fn stored(graph: &Graph) -> Vec<bool> {
    let mut stored: Vec<bool> = graph.values().iter().map(|v| v.constant.is_some()).collect();
    let all = |node: &Node, stored: &[bool]| {
        node.inputs.iter().flatten().all(|input| stored[input.index()])
    };
    for node in &graph.nodes {
        let derived = all(node, &stored);
        node.outputs.iter().for_each(|output| stored[output.index()] |= derived);
    }
    stored
}

//! Attributes and positions that count indices.

use edgecut_graph::infer::infer_node;
use edgecut_graph::{Cut, Data, Graph, Node, Op, ReshapeDim, Result, Tensor, ValueId};

use super::Kept;
use crate::prune::Channels;
use crate::prune::flow::Axis;

/// `node`, which is node `index` of the graph of `channels`, for the indices that are left: one
/// node, or a few in a row of which the last has its outputs.
pub(super) fn rewrite(
    channels: &Channels,
    kept: &Kept,
    graph: &mut Graph,
    (index, mut node): (usize, Node),
) -> Result<Vec<Node>> {
    let of = |id: ValueId| channels.flow.space.of(id);
    let (x, y) = (node.inputs.first().copied().flatten(), node.output());
    let x: &[Axis] = x.map_or(&[], of);
    let y = of(y);
    let groups = channels.flow.groups.get(&index).map(|axis| kept.of(*axis).len());
    match &mut node.op {
        Op::Conv(conv) | Op::ConvInteger(conv) => conv.groups = groups.unwrap_or(1),
        Op::ConvTranspose(conv) => conv.groups = groups.unwrap_or(1),
        Op::GroupNorm { groups: count, .. } | Op::ChannelShuffle { groups: count } => {
            *count = groups.unwrap_or(1)
        }
        Op::Reshape { dims } => {
            for (dim, axis) in dims.iter_mut().zip(y) {
                if let ReshapeDim::Fixed(extent) = dim {
                    *extent = kept.of(*axis).len();
                }
            }
        }
        Op::Expand { shape } => {
            let first = y.len() - shape.len();
            for (extent, axis) in shape.iter_mut().zip(&y[first..]) {
                if *extent != 1 {
                    *extent = kept.of(*axis).len();
                }
            }
        }
        Op::Pad { before, after, .. } => {
            for dim in 0..y.len() {
                let inside = before[dim]..y[dim].len() - after[dim];
                let left = kept.of(y[dim]);
                before[dim] = left.iter().filter(|&&i| i < inside.start).count();
                after[dim] = left.iter().filter(|&&i| i >= inside.end).count();
            }
        }
        Op::Gather { axis } => {
            let axis = x[*axis];
            recount(kept, graph, &mut node, axis)?;
        }
        Op::Slice { cuts } => {
            let cuts = std::mem::take(cuts);
            return slices(kept, graph, node, (x, y), &cuts);
        }
        _ => {}
    }
    Ok(vec![node])
}

/// Positions along `axis`, of which some indices went. Those that are computed refer to dimensions
/// that keep all of theirs.
fn recount(kept: &Kept, graph: &mut Graph, node: &mut Node, axis: Axis) -> Result<()> {
    let id = node.input(1)?;
    let left = kept.of(axis);
    let Some(tensor) = graph.constant(id).filter(|_| left.len() < axis.len()) else {
        return Ok(());
    };
    let mut numbers = vec![];
    for position in tensor.to_i64()? {
        let old = position.rem_euclid(axis.len() as i64) as usize;
        let new = left.binary_search(&old).map_err(|_| node.error("looks up what went: a defect"));
        numbers.push(new? as i64);
    }
    let data: Data = match tensor.data() {
        Data::I32(_) => numbers.into_iter().map(|n| n as i32).collect::<Vec<_>>().into(),
        _ => numbers.into(),
    };
    let tensor = Tensor::new(tensor.shape(), data)?;
    let name = graph.unique_name(&format!("{}.positions", node.name));
    node.inputs[1] = Some(graph.add_constant(name, tensor));
    Ok(())
}

/// Cuts for what is left: a Slice where what it kept is still evenly spaced, and a Gather for each
/// dimension where it is not.
fn slices(
    kept: &Kept,
    graph: &mut Graph,
    node: Node,
    (x, y): (&[Axis], &[Axis]),
    cuts: &[Cut],
) -> Result<Vec<Node>> {
    let (mut even, mut uneven) = (vec![], vec![]);
    for cut in cuts {
        let left = kept.of(x[cut.axis]);
        let taken = kept.of(y[cut.axis]).into_iter();
        let positions: Result<Vec<usize>, usize> =
            taken.map(|j| left.binary_search(&(cut.start + j * cut.step))).collect();
        let positions = positions.map_err(|_| node.error("cuts out what went: a defect"))?;
        match evenly(&positions) {
            Some((start, step)) => {
                even.push(Cut { axis: cut.axis, start, len: positions.len(), step });
            }
            None => uneven.push((cut.axis, positions)),
        }
    }
    let mut row = Row { node, nodes: vec![] };
    if !even.is_empty() || uneven.is_empty() {
        row.push(graph, Op::Slice { cuts: even }, None, uneven.is_empty())?;
    }
    let count = uneven.len();
    for (at, (axis, positions)) in uneven.into_iter().enumerate() {
        let name = graph.unique_name(&format!("{}.positions", row.node.name));
        let positions: Vec<i64> = positions.into_iter().map(|p| p as i64).collect();
        let positions = graph.add_constant(name, Tensor::vector(positions));
        row.push(graph, Op::Gather { axis }, Some(positions), at + 1 == count)?;
    }
    Ok(row.nodes)
}

/// Nodes one after the other in place of one.
struct Row {
    node: Node,
    nodes: Vec<Node>,
}

impl Row {
    /// Appends `op` on what the row has computed so far, and `other`; the `last` one takes name and
    /// outputs of the node that the row replaces.
    fn push(
        &mut self,
        graph: &mut Graph,
        op: Op,
        other: Option<ValueId>,
        last: bool,
    ) -> Result<()> {
        let before = self.nodes.last().map_or_else(|| self.node.input(0), |n| Ok(n.output()))?;
        let inputs = [Some(before)].into_iter().chain(other.map(Some)).collect();
        let name = if last {
            self.node.name.clone()
        } else {
            format!("{}.{}", self.node.name, self.nodes.len())
        };
        let mut node = Node { name, op, inputs, outputs: vec![] };
        if last {
            node.outputs.clone_from(&self.node.outputs);
        } else {
            for (dtype, shape) in infer_node(graph, &node)? {
                let name = graph.unique_name(&node.name);
                node.outputs.push(graph.add_value(name, dtype, shape));
            }
        }
        self.nodes.push(node);
        Ok(())
    }
}

/// Start and step of evenly spaced positions.
fn evenly(positions: &[usize]) -> Option<(usize, usize)> {
    let start = positions.first().copied().unwrap_or(0);
    let step = positions.get(1).map_or(1, |second| second - start);
    let even = positions.windows(2).all(|pair| pair[1] - pair[0] == step);
    even.then_some((start, step))
}

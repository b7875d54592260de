//! Channels that must be scaled together.
//!
//! Between two layers a channel may be measured in other units: the layer before divides by a
//! factor, the layer behind multiplies by it. What lies between must be homogeneous, `f(x / s) =
//! f(x) / s` for positive s, and say which channel goes where. So every channel of every value is
//! an element of a union-find, operators join elements, and whatever else reads or makes a channel
//! blocks it. Concatenation, slices and channel shuffles are just maps of indices.

use edgecut_graph::{Binary, Graph, Node, Op, PadMode, Unary, ValueId};

use crate::placement::is_weighted;
use crate::{Result, weights};

/// Channels of the values of a graph, joined where one factor scales them.
pub(super) struct Streams {
    /// By value index: number of the first channel of the value, and how many it has.
    places: Vec<(usize, usize)>,
    parent: Vec<usize>,
    /// By channel: whether nothing may scale it; counts at the root.
    blocked: Vec<bool>,
    /// By value index: another value some channel of which is joined to one of this.
    tensors: Vec<usize>,
}

impl Streams {
    pub fn of(graph: &Graph) -> Result<Streams> {
        let mut places = vec![];
        let mut total = 0;
        for value in graph.values() {
            let channels = match value.constant {
                Some(_) => 0,
                None => value.shape.dims().get(1).and_then(|dim| dim.fixed()).unwrap_or(0),
            };
            places.push((total, channels));
            total += channels;
        }
        let mut streams = Streams {
            tensors: (0..places.len()).collect(),
            places,
            parent: (0..total).collect(),
            blocked: vec![false; total],
        };
        graph.inputs.iter().chain(&graph.outputs).for_each(|&id| streams.block(id));
        let consumers = graph.consumers();
        for node in &graph.nodes {
            if !streams.scalable_layer(graph, node, &consumers)? && !streams.joined(graph, node)? {
                let values = node.inputs.iter().flatten().chain(&node.outputs);
                values.for_each(|&id| streams.block(id));
            }
        }
        Ok(streams)
    }

    /// Number of the channel `c` of `id`, the same for all that scale together; `None` where
    /// nothing may scale it.
    pub fn stream(&self, id: ValueId, c: usize) -> Option<usize> {
        let (first, channels) = self.places[id.index()];
        let root = root(&self.parent, first + c);
        (c < channels && !self.blocked[root]).then_some(root)
    }

    /// Number of the set of values whose streams are decided together.
    pub fn component(&self, id: ValueId) -> usize {
        root(&self.tensors, id.index())
    }

    /// Number of streams, used or not.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether `node` is a layer whose channels can be scaled by its weights.
    fn scalable_layer(&self, graph: &Graph, node: &Node, consumers: &[Vec<usize>]) -> Result<bool> {
        if !is_weighted(&node.op) || weights::obstacle(graph, node)?.is_some() {
            return Ok(false);
        }
        let private = |id: &ValueId| consumers[id.index()].len() == 1;
        let flat = matches!(node.op, Op::Conv(_)) || graph.value(node.input(0)?).shape.rank() == 2;
        Ok(flat && node.inputs[1..].iter().flatten().all(private))
    }

    /// Joins the channels of what `node` reads and makes; false where it is not homogeneous.
    fn joined(&mut self, graph: &Graph, node: &Node) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let (from, to) = (self.places[x.index()].1, self.places[y.index()].1);
        match &node.op {
            Op::Concat { axis: 1 } => {
                let mut at = 0;
                for &input in node.inputs.iter().flatten() {
                    let channels = self.places[input.index()].1;
                    (0..channels).for_each(|c| self.join((input, c), (y, at + c)));
                    at += channels;
                }
                return Ok(at == to);
            }
            Op::Slice { cuts } => {
                let cut = cuts.iter().find(|cut| cut.axis == 1);
                let at = |c: usize| cut.map_or(c, |cut| cut.start + c * cut.step);
                (0..to).for_each(|c| self.join((x, at(c)), (y, c)));
                return Ok(true);
            }
            Op::ChannelShuffle { groups } => {
                let width = from / groups;
                (0..from).for_each(|c| self.join((x, c), (y, c % width * groups + c / width)));
                return Ok(true);
            }
            Op::Binary(op) => return self.joined_binary(graph, node, *op),
            op if !is_homogeneous(op) => return Ok(false),
            // One element a channel before and after: whatever the shape, channels stay in order.
            Op::Flatten { .. } | Op::Reshape { .. } | Op::Squeeze { .. } => {
                let single = |id: ValueId| {
                    graph.value(id).shape.with_symbols(1).iter().skip(2).product::<usize>() == 1
                };
                if !single(x) || !single(y) {
                    return Ok(false);
                }
            }
            _ => {}
        }
        if from != to || node.outputs.len() != 1 {
            return Ok(false);
        }
        (0..from).for_each(|c| self.join((x, c), (y, c)));
        Ok(true)
    }

    /// Sums scale all alike; of a product only one factor may.
    fn joined_binary(&mut self, graph: &Graph, node: &Node, op: Binary) -> Result<bool> {
        let (a, b, y) = (node.input(0)?, node.input(1)?, node.output());
        let channels = self.places[y.index()].1;
        let spreads = |id: ValueId| {
            graph.constant(id).is_none() && graph.value(id).shape == graph.value(y).shape
        };
        let joined = match op {
            Binary::Add | Binary::Sub if spreads(a) && spreads(b) => vec![a, b],
            Binary::Mul if spreads(a) => {
                self.block(b);
                vec![a]
            }
            Binary::Mul if spreads(b) => {
                self.block(a);
                vec![b]
            }
            _ => return Ok(false),
        };
        for input in joined {
            (0..channels).for_each(|c| self.join((input, c), (y, c)));
        }
        Ok(true)
    }

    fn join(&mut self, (a, i): (ValueId, usize), (b, j): (ValueId, usize)) {
        let number = |id: ValueId, c: usize| self.places[id.index()].0 + c;
        let (a_root, b_root) = (root(&self.parent, number(a, i)), root(&self.parent, number(b, j)));
        let (first, last) = (a_root.min(b_root), a_root.max(b_root));
        self.parent[last] = first;
        self.blocked[first] |= self.blocked[last];
        let (a, b) = (root(&self.tensors, a.index()), root(&self.tensors, b.index()));
        self.tensors[a.max(b)] = a.min(b);
    }

    fn block(&mut self, id: ValueId) {
        let (first, channels) = self.places[id.index()];
        for channel in first..first + channels {
            let root = root(&self.parent, channel);
            self.blocked[root] = true;
        }
    }
}

fn root(parent: &[usize], mut at: usize) -> usize {
    while parent[at] != at {
        at = parent[at];
    }
    at
}

/// Operators with `f(x / s) = f(x) / s` that keep channels in place. A clamp counts: factors here
/// are at most 1, so that its bounds stay beyond what calibration saw of the channel.
fn is_homogeneous(op: &Op) -> bool {
    match op {
        Op::Unary(Unary::Clip { min, max }) => *min <= 0.0 && *max > 0.0,
        Op::Pad { mode, before, after } => {
            *mode == PadMode::Constant(0.0) && before.get(1) == Some(&0) && after.get(1) == Some(&0)
        }
        Op::Resize(resize) => resize.axes.iter().all(|axis| axis.axis > 1),
        op => matches!(
            op,
            Op::Unary(Unary::Relu | Unary::LeakyRelu { .. })
                | Op::MaxPool(_)
                | Op::AveragePool(_)
                | Op::GlobalAveragePool
                | Op::Flatten { .. }
                | Op::Reshape { .. }
                | Op::Squeeze { .. }
        ),
    }
}

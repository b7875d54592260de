//! Which nodes become integer arithmetic, where values are rounded to bytes, and which share one
//! scale.
//!
//! Decided on the float graph. Ranges matter only where values are concatenated: before they are
//! known, everything counts as fitting, so that calibration sees what may be quantised.

mod chain;
mod groups;
mod kinds;

use edgecut_graph::{Binary, DType, Graph, Node, Op, ValueId};
use serde::{Deserialize, Serialize};

use chain::Context;
pub(crate) use groups::Groups;
pub(crate) use kinds::{is_weighted, keeps_scale, reads_bytes};

use crate::weights;
use crate::{Range, Result};

/// Where results are rounded to bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Where a fused step ends: a layer with the residual addition and the activation behind it
    /// rounds once. What our runtime and OpenVINO compute fastest.
    #[default]
    Fused,
    /// Behind every operator, as ONNX Runtime and TensorFlow Lite need it to compute in integers.
    /// Clamps are left to saturation.
    EveryOperator,
}

/// Concatenated values whose ranges differ by more than this factor do not share a scale: beyond
/// it the narrowest would lose two of its eight bits.
const MAX_RATIO: f32 = 4.0;

/// The range of a value, once it is known.
pub(crate) type Ranges<'a> = &'a dyn Fn(ValueId) -> Option<Range>;

/// How a node is computed in the quantised graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Products with constant weights: Conv, Gemm, MatMul.
    Weighted,
    /// Bytes to bytes, each value with its own scale: sums, products, pooling, functions.
    Integer,
    /// Bytes to bytes of the same scale: what moves or selects elements.
    SameScale,
    /// Part of the step of an earlier node.
    Absorbed,
    /// Float, with the reason.
    Float(String),
}

/// The decisions for one graph.
pub(crate) struct Roles {
    /// By node index.
    pub roles: Vec<Role>,
    /// By node index: the nodes behind it that its step computes too.
    pub chain: Vec<Vec<usize>>,
    /// By value index: whether the value exists as bytes.
    pub quantised: Vec<bool>,
    groups: Groups,
    /// By value index: whether its own range matters to its group.
    ranged: Vec<bool>,
    /// By value index: quantised on demand, for an integer node, though a float node computes it.
    demanded: Vec<bool>,
    /// By value index: whether a step computes it that was decided already.
    ready: Vec<bool>,
}

impl Roles {
    /// Decides for `graph`, as [`crate::prepare`] returns it. Nodes named in `excluded` stay
    /// float; a layer and the activation after it are one.
    pub fn of(
        graph: &Graph,
        placement: Placement,
        excluded: &[String],
        ranges: Ranges,
    ) -> Result<Roles> {
        let values = graph.values().len();
        let mut roles = Roles {
            roles: vec![Role::Float(String::new()); graph.nodes.len()],
            chain: vec![vec![]; graph.nodes.len()],
            quantised: vec![false; values],
            groups: Groups::new(values),
            ranged: vec![false; values],
            demanded: vec![false; values],
            ready: vec![false; values],
        };
        graph.inputs.iter().for_each(|input| roles.ready[input.index()] = true);
        let consumers = graph.consumers();
        let tail = tail(graph, &consumers);
        let context = Context { graph, placement, excluded, ranges, consumers, tail };
        for index in 0..graph.nodes.len() {
            if roles.roles[index] != Role::Absorbed {
                roles.decide(&context, index)?;
            }
        }
        Ok(roles)
    }

    fn decide(&mut self, context: &Context, index: usize) -> Result<()> {
        let graph = context.graph;
        let node = &graph.nodes[index];
        let chain = context.chain(index, &self.ready);
        let mut step = std::iter::once(index).chain(chain.iter().copied());
        let role = match step.any(|i| context.excluded.contains(&graph.nodes[i].name)) {
            true => Role::Float("excluded by name".into()),
            false => self.role(context, node)?,
        };
        let computes = matches!(role, Role::Weighted | Role::Integer);
        let chain = if computes { chain } else { vec![] };
        for input in byte_inputs(graph, node, &role, &chain)? {
            self.demanded[input.index()] |= !self.quantised[input.index()];
            if role == Role::SameScale {
                self.groups.join(input, node.output());
            }
        }
        match role {
            Role::Weighted | Role::Integer => self.finish(context, index, chain),
            Role::SameScale => self.quantised[node.output().index()] = true,
            Role::Absorbed | Role::Float(_) => {}
        }
        node.outputs.iter().for_each(|output| self.ready[output.index()] = true);
        self.roles[index] = role;
        Ok(())
    }

    /// Marks the result of a step.
    fn finish(&mut self, context: &Context, index: usize, chain: Vec<usize>) {
        let graph = context.graph;
        let node = &graph.nodes[index];
        let result = chain.last().map_or(node, |&last| &graph.nodes[last]).output();
        for &absorbed in &chain {
            self.roles[absorbed] = Role::Absorbed;
            self.ready[graph.nodes[absorbed].output().index()] = true;
        }
        self.chain[index] = chain;
        // The last layer returns real numbers: rounding logits to 256 steps makes ties.
        let last = match node.op {
            Op::Gemm(_) | Op::MatMul => true,
            Op::Conv(conv) => context.placement == Placement::Fused && conv.groups == 1,
            _ => false,
        };
        let quantised = !(last && context.tail[result.index()]);
        self.quantised[result.index()] = quantised;
        self.ranged[result.index()] = quantised;
    }

    fn role(&self, context: &Context, node: &Node) -> Result<Role> {
        let (graph, ends) = (context.graph, context.tail[node.output().index()]);
        let is_quantised = |id: &ValueId| self.quantised[id.index()];
        let mut computed =
            node.inputs.iter().flatten().copied().filter(|&id| graph.constant(id).is_none());
        let all = computed.clone().all(|id| is_quantised(&id));
        let unquantised = || Role::Float("an input is not quantised".into());
        let when = |ready: bool, role: Role| if ready { role } else { unquantised() };
        Ok(match &node.op {
            op if is_weighted(op) => match weights::obstacle(graph, node)? {
                Some(reason) => Role::Float(reason),
                None => Role::Weighted,
            },
            Op::Binary(op) => match kinds::binary_obstacle(graph, node)? {
                Some(reason) => Role::Float(reason),
                None if *op == Binary::Add => {
                    when(computed.any(|id| is_quantised(&id)), Role::Integer)
                }
                None => when(all, Role::Integer),
            },
            Op::AveragePool(_) | Op::GlobalAveragePool if ends => {
                Role::Float("the last layer returns real numbers".into())
            }
            Op::AveragePool(_) | Op::GlobalAveragePool => when(all, Role::Integer),
            Op::Concat { .. } if all && ends && differ(node, context.ranges, |_| true) => {
                Role::Float("it joins outputs of different ranges".into())
            }
            Op::Concat { .. }
                if all && differ(node, context.ranges, |id| self.keeps(context, id)) =>
            {
                Role::Integer
            }
            op if keeps_scale(op) => when(all && node.outputs.len() == 1, Role::SameScale),
            op if kinds::has_table(op) => when(all, Role::Integer),
            op => Role::Float(format!("{} has no integer form here", op.name())),
        })
    }

    /// Whether a value that is concatenated gains by a scale of its own: somebody else reads it, or
    /// what it was taken from. Alone the result of a step rounds to the scale of all anyway.
    fn keeps(&self, context: &Context, id: ValueId) -> bool {
        !self.ranged[id.index()] || context.consumers[id.index()].len() > 1
    }

    /// The group of values that share `id`'s scale, as the index of one of them.
    pub fn group(&self, id: ValueId) -> usize {
        self.groups.of(id)
    }

    /// Values whose range decides the scale of their group: results of integer nodes, and what
    /// integer nodes read from elsewhere.
    pub fn decides(&self, id: ValueId) -> bool {
        self.ranged[id.index()] || self.demanded[id.index()]
    }
}

/// What the step of `node` reads as bytes.
fn byte_inputs(graph: &Graph, node: &Node, role: &Role, chain: &[usize]) -> Result<Vec<ValueId>> {
    let mut inputs = match role {
        Role::Weighted => vec![node.input(0)?],
        Role::Integer | Role::SameScale => {
            let inputs = node.inputs.iter().flatten().copied();
            inputs.filter(|&id| reads_bytes(graph, node, id)).collect()
        }
        Role::Absorbed | Role::Float(_) => vec![],
    };
    let mut result = node.output();
    for &index in chain {
        let absorbed = &graph.nodes[index];
        inputs.extend(absorbed.inputs.iter().flatten().copied().filter(|&id| id != result));
        result = absorbed.output();
    }
    Ok(inputs)
}

/// Whether the known ranges of a node's inputs are too different for one scale, as far as they keep
/// one of their own.
fn differ(node: &Node, ranges: Ranges, keeps: impl Fn(ValueId) -> bool) -> bool {
    let inputs = || node.inputs.iter().flatten().copied();
    let widths: Option<Vec<f32>> = inputs().map(|id| ranges(id).map(Range::width)).collect();
    let Some(widths) = widths else { return false };
    let widest = widths.iter().copied().fold(0.0, f32::max);
    let narrow = |width: f32| width > 0.0 && widest > MAX_RATIO * width;
    inputs().zip(widths).any(|(id, width)| narrow(width) && keeps(id))
}

/// Values that calibration looks at: whatever a node computes, except what only the clamp after it
/// reads. It holds for every placement and every choice of excluded nodes.
pub(crate) fn observed(graph: &Graph) -> Vec<ValueId> {
    let consumers = graph.consumers();
    let clamped = |id: ValueId| match consumers[id.index()][..] {
        [reader] if !graph.is_output(id) => graph.nodes[reader].op.clamp_bounds().is_some(),
        _ => false,
    };
    let values = graph.nodes.iter().flat_map(|node| node.outputs.iter().copied());
    values.filter(|&id| graph.value(id).dtype == DType::F32 && !clamped(id)).collect()
}

/// Whether a value reaches the outputs of the graph through nothing but elementwise operators and
/// changes of shape, by value index.
fn tail(graph: &Graph, consumers: &[Vec<usize>]) -> Vec<bool> {
    let mut tail: Vec<bool> = graph.value_ids().map(|id| graph.is_output(id)).collect();
    let transparent = |op: &Op| kinds::moves(op) || matches!(op, Op::Softmax { .. } | Op::Unary(_));
    for node in graph.nodes.iter().rev() {
        for output in node.outputs.iter().map(|id| id.index()) {
            let readers = consumers[output].iter().map(|&reader| &graph.nodes[reader]);
            let mut readers = readers.peekable();
            let read = readers.peek().is_some();
            let ends = readers.all(|r| transparent(&r.op) && tail[r.output().index()]);
            tail[output] = ends && (read || tail[output]);
        }
    }
    tail
}

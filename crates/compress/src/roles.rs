//! Which nodes become integer arithmetic, and which values share one scale.
//!
//! Decided on the float graph alone, before any range is known, so that calibration observes just
//! the values that will be quantised.

use edgecut_graph::{Binary, DType, Graph, Node, Op, ValueId};

use crate::Result;
use crate::weights;

/// How a node is computed in the quantised graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Products with constant weights: Conv, Gemm, MatMul.
    Weighted,
    /// Bytes to bytes, each value with its own scale: Add, average pooling, clamps.
    Integer,
    /// Bytes to bytes of the same scale: what moves or selects elements.
    SameScale,
    /// A clamp that the quantisation of its input's producer takes over.
    Absorbed,
    /// Float, with the reason.
    Float(String),
}

/// The decisions for one graph.
pub(crate) struct Roles {
    /// By node index.
    pub roles: Vec<Role>,
    /// By node index: the clamp whose output is this node's result.
    pub clamp: Vec<Option<usize>>,
    /// By value index: whether the value exists as bytes.
    pub quantised: Vec<bool>,
    /// By value index: another value that shares its scale; the root points to itself.
    parent: Vec<usize>,
    /// By value index: whether its own range matters to its group.
    ranged: Vec<bool>,
    /// By value index: quantised on demand, for an integer node, though a float node computes it.
    demanded: Vec<bool>,
}

impl Roles {
    /// Decides for `graph`, as [`crate::prepare`] returns it. Nodes named in `excluded` stay
    /// float; a layer and the clamp after it are one.
    pub fn of(graph: &Graph, excluded: &[String]) -> Result<Roles> {
        let values = graph.values().len();
        let mut roles = Roles {
            roles: vec![Role::Float(String::new()); graph.nodes.len()],
            clamp: vec![None; graph.nodes.len()],
            quantised: vec![false; values],
            parent: (0..values).collect(),
            ranged: vec![false; values],
            demanded: vec![false; values],
        };
        let consumers = graph.consumers();
        let tail = tail(graph, &consumers);
        for index in 0..graph.nodes.len() {
            if roles.roles[index] != Role::Absorbed {
                roles.decide(graph, index, excluded, &consumers, &tail)?;
            }
        }
        Ok(roles)
    }

    fn decide(
        &mut self,
        graph: &Graph,
        index: usize,
        excluded: &[String],
        consumers: &[Vec<usize>],
        tail: &[bool],
    ) -> Result<()> {
        let node = &graph.nodes[index];
        let clamp = clamp_after(graph, index, consumers);
        let names = [Some(&node.name), clamp.map(|c| &graph.nodes[c].name)];
        let role = match names.iter().flatten().any(|name| excluded.contains(name)) {
            true => Role::Float("excluded by name".into()),
            false => self.role(graph, node, tail)?,
        };
        let inputs: Vec<ValueId> = match role {
            Role::Weighted => vec![node.input(0)?],
            Role::Integer | Role::SameScale => node.inputs.iter().flatten().copied().collect(),
            Role::Absorbed | Role::Float(_) => vec![],
        };
        for input in inputs {
            self.demanded[input.index()] |= !self.quantised[input.index()];
            if role == Role::SameScale {
                self.join(input, node.output());
            }
        }
        match role {
            Role::Weighted | Role::Integer => self.finish(graph, index, clamp, tail),
            Role::SameScale => self.quantised[node.output().index()] = true,
            Role::Absorbed | Role::Float(_) => {}
        }
        self.roles[index] = role;
        Ok(())
    }

    /// Marks the result of an integer node, which is that of the clamp after it where there is one.
    fn finish(&mut self, graph: &Graph, index: usize, clamp: Option<usize>, tail: &[bool]) {
        let mut result = graph.nodes[index].output();
        if let Some(clamp) = clamp {
            result = graph.nodes[clamp].output();
            self.clamp[index] = Some(clamp);
            self.roles[clamp] = Role::Absorbed;
        }
        // The last layer returns real numbers: rounding logits to 256 steps makes ties.
        let linear = matches!(graph.nodes[index].op, Op::Gemm(_) | Op::MatMul);
        let quantised = !(linear && tail[result.index()]);
        self.quantised[result.index()] = quantised;
        self.ranged[result.index()] = quantised;
    }

    fn role(&self, graph: &Graph, node: &Node, tail: &[bool]) -> Result<Role> {
        let is_quantised = |id: &Option<ValueId>| id.is_some_and(|id| self.quantised[id.index()]);
        let all = node.inputs.iter().all(is_quantised);
        let unquantised = || Role::Float("an input is not quantised".into());
        Ok(match &node.op {
            Op::Conv(_) | Op::Gemm(_) | Op::MatMul => match weights::obstacle(graph, node)? {
                Some(reason) => Role::Float(reason),
                None => Role::Weighted,
            },
            Op::Binary(Binary::Add) => match add_obstacle(graph, node)? {
                Some(reason) => Role::Float(reason),
                None if node.inputs.iter().any(is_quantised) => Role::Integer,
                None => unquantised(),
            },
            Op::AveragePool(_) | Op::GlobalAveragePool if tail[node.output().index()] => {
                Role::Float("the last layer returns real numbers".into())
            }
            op if op.clamp_bounds().is_some() && all => Role::Integer,
            Op::AveragePool(_) | Op::GlobalAveragePool if all => Role::Integer,
            op if keeps_scale(op) && all => Role::SameScale,
            op if keeps_scale(op) => unquantised(),
            Op::AveragePool(_) | Op::GlobalAveragePool => unquantised(),
            op if op.clamp_bounds().is_some() => unquantised(),
            op => Role::Float(format!("{} has no integer form here", op.name())),
        })
    }

    fn root(&self, id: ValueId) -> usize {
        let mut at = id.index();
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.root(a), self.root(b));
        // Towards the earlier value: roots do not depend on the order of joining.
        self.parent[a.max(b)] = a.min(b);
    }

    /// The group of values that share `id`'s scale, as the index of one of them.
    pub fn group(&self, id: ValueId) -> usize {
        self.root(id)
    }

    /// Values whose range decides the scale of their group: results of integer nodes, and what
    /// integer nodes read from elsewhere.
    pub fn decides(&self, id: ValueId) -> bool {
        self.ranged[id.index()] || self.demanded[id.index()]
    }
}

/// Values that calibration looks at: whatever a node computes, except what only the clamp after it
/// reads. It holds for every choice of excluded nodes.
pub(crate) fn observed(graph: &Graph) -> Result<Vec<ValueId>> {
    let roles = Roles::of(graph, &[])?;
    let results = graph.nodes.iter().zip(&roles.clamp).filter(|(_, clamp)| clamp.is_none());
    let values = results.flat_map(|(node, _)| node.outputs.iter().copied());
    Ok(values.filter(|&id| graph.value(id).dtype == DType::F32).collect())
}

/// Whether a value reaches the outputs of the graph through nothing but elementwise operators and
/// changes of shape, by value index.
fn tail(graph: &Graph, consumers: &[Vec<usize>]) -> Vec<bool> {
    let mut tail: Vec<bool> = graph.value_ids().map(|id| graph.is_output(id)).collect();
    let transparent = |op: &Op| {
        let moves = keeps_scale(op) && !matches!(op, Op::MaxPool(_));
        moves || matches!(op, Op::Softmax { .. } | Op::Unary(_))
    };
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

/// The clamp that alone reads the result of the node at `index`.
fn clamp_after(graph: &Graph, index: usize, consumers: &[Vec<usize>]) -> Option<usize> {
    let result = graph.nodes[index].output();
    match consumers[result.index()][..] {
        [reader] if !graph.is_output(result) => {
            graph.nodes[reader].op.clamp_bounds().map(|_| reader)
        }
        _ => None,
    }
}

/// Operators that move or select elements.
fn keeps_scale(op: &Op) -> bool {
    matches!(
        op,
        Op::MaxPool(_)
            | Op::Concat { .. }
            | Op::Reshape { .. }
            | Op::Flatten { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Squeeze { .. }
            | Op::Unsqueeze { .. }
    )
}

/// Why an Add stays float, if it does.
fn add_obstacle(graph: &Graph, node: &Node) -> Result<Option<String>> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let constant = graph.constant(a).is_some() || graph.constant(b).is_some();
    let same = graph.value(a).shape == graph.value(b).shape;
    Ok(match (constant, same) {
        (true, _) => Some("one operand is a constant".into()),
        (false, false) => Some("its operands differ in shape".into()),
        (false, true) => None,
    })
}

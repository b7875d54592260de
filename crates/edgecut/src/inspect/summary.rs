//! The facts about a model: ports, operators, sizes, memory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use edgecut_graph::cost::{Cost, NodeCost};
use edgecut_graph::{Graph, Node, Op, ValueId};
use serde::Serialize;

use crate::work::interface::quantisation;
use crate::work::model::Model;

/// What `--json` prints.
#[derive(Serialize)]
pub struct Summary {
    /// File as given.
    pub path: PathBuf,
    /// Name in the file.
    pub name: String,
    /// Size of the file.
    pub file_bytes: u64,
    /// Inputs in order.
    pub inputs: Vec<Port>,
    /// Outputs in order.
    pub outputs: Vec<Port>,
    /// As [`Cost::parameters`].
    pub parameters: u64,
    /// As [`Cost::macs`].
    pub macs: u64,
    /// As [`Cost::weight_bytes`].
    pub weight_bytes: u64,
    /// As [`Cost::peak_activation_bytes`].
    pub peak_activation_bytes: u64,
    /// The node that runs while most activations are alive; the first of them.
    pub peak: Option<String>,
    /// Size of symbolic extents.
    pub batch: usize,
    /// Totals by operator.
    pub operators: BTreeMap<&'static str, Kind>,
    /// Facts stored in the file.
    pub metadata: BTreeMap<String, String>,
    /// Every node, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeCost>>,
}

/// An input or output.
#[derive(Serialize, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: String,
    /// Extents.
    pub shape: String,
    /// What codes stand for, where the model says it: `0.0078125 * (q - 128)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<String>,
}

impl Port {
    /// `input uint8 [1, 3, 224, 224] = 0.0078125 * (q - 128)`
    pub fn text(&self) -> String {
        let meaning = self.quantisation.iter().map(|q| format!(" = {q}")).collect::<String>();
        format!("{} {} {}{meaning}", self.name, self.dtype, self.shape)
    }
}

/// All nodes of one operator.
#[derive(Default, Serialize, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// How many.
    pub nodes: u64,
    /// Their parameters.
    pub parameters: u64,
    /// Their multiply-adds.
    pub macs: u64,
}

impl Summary {
    /// The facts about `model`, whose cost is `cost`.
    pub fn new(model: &Model, cost: &Cost, nodes: bool) -> Summary {
        let graph = &model.graph;
        Summary {
            path: model.path.clone(),
            name: graph.name.clone(),
            file_bytes: model.file_bytes,
            inputs: ports(graph, &graph.inputs),
            outputs: ports(graph, &graph.outputs),
            parameters: cost.parameters,
            macs: cost.macs,
            weight_bytes: cost.weight_bytes,
            peak_activation_bytes: cost.peak_activation_bytes,
            peak: cost.nodes.iter().rev().max_by_key(|n| n.live_bytes).map(|n| n.name.clone()),
            batch: cost.batch,
            operators: kinds(cost),
            metadata: graph.metadata.clone(),
            nodes: nodes.then(|| cost.nodes.clone()),
        }
    }
}

/// Name, type and shape of values.
pub fn ports(graph: &Graph, ids: &[ValueId]) -> Vec<Port> {
    let port = |&id: &ValueId| {
        let value = graph.value(id);
        let (dtype, shape) = (value.dtype.to_string(), value.shape.to_string());
        let quantisation = quantisation(graph, id).map(|(scale, zero)| {
            format!("{scale} * (q {} {})", if zero < 0 { '+' } else { '-' }, zero.abs())
        });
        Port { name: value.name.clone(), dtype, shape, quantisation }
    };
    ids.iter().map(port).collect()
}

fn kinds(cost: &Cost) -> BTreeMap<&'static str, Kind> {
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    for node in &cost.nodes {
        let kind = kinds.entry(node.op).or_default();
        kind.nodes += 1;
        kind.parameters += node.parameters;
        kind.macs += node.macs;
    }
    kinds
}

/// The attributes that a reader looks for, in a few characters: `3x3 /2, depthwise`.
pub fn detail(graph: &Graph, node: &Node) -> String {
    let window = |w: &edgecut_graph::Window| {
        let [h, k] = w.kernel;
        let stride = match w.strides {
            [1, 1] => String::new(),
            [a, b] if a == b => format!(" /{a}"),
            [a, b] => format!(" /{a},{b}"),
        };
        format!("{h}x{k}{stride}")
    };
    match &node.op {
        Op::Conv(conv) => {
            let channels = node.input(0).ok().and_then(|x| {
                graph.value(x).shape.dims().get(1).and_then(edgecut_graph::Dim::fixed)
            });
            let kind = match conv.groups {
                1 => String::new(),
                g if Some(g) == channels => ", depthwise".into(),
                g => format!(", {g} groups"),
            };
            format!("{}{kind}", window(&conv.window))
        }
        Op::ConvTranspose(conv) => window(&conv.window),
        Op::MaxPool(pool) | Op::AveragePool(pool) => window(&pool.window),
        Op::Concat { axis } | Op::Softmax { axis } | Op::Gather { axis } => format!("axis {axis}"),
        Op::Transpose { perm } => join(perm),
        Op::Unary(edgecut_graph::Unary::Clip { min, max }) => format!("{min} to {max}"),
        Op::ChannelShuffle { groups } => format!("{groups} groups"),
        Op::Reduce { axes, .. } => format!("axes {}", join(axes)),
        _ => String::new(),
    }
}

fn join(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// `32x112x112`
pub fn extents(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".into();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

//! What differs between two models: sizes, ports, operators, nodes, weights, quantisation, and what
//! they compute.

mod align;
mod outputs;
mod show;
mod weights;

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Node, Op};
use serde::Serialize;

pub use outputs::Outputs;
use weights::{Requantised, Weights};

use super::summary::{Kind, Summary, extents};
use crate::errors::Result;
use crate::work::model::Model;

/// What differs from the first model (a) to the second (b).
#[derive(Serialize)]
pub struct Diff {
    a: String,
    b: String,
    sizes: Vec<Size>,
    /// Inputs and outputs that differ, as text; none of both where only one model has it.
    ports: Vec<[Option<String>; 2]>,
    /// Operators whose numbers differ.
    operators: BTreeMap<&'static str, [Kind; 2]>,
    /// Nodes that have a counterpart: the same operator, attributes and output shape in order.
    paired: usize,
    /// Nodes that only a has.
    removed: Vec<Apart>,
    /// Nodes that only b has.
    added: Vec<Apart>,
    /// Stored operands of paired nodes.
    weights: Weights,
    /// Paired quantisation nodes of activations whose parameters differ.
    requantised: Vec<Requantised>,
    outputs: Outputs,
}

#[derive(Serialize)]
struct Size {
    what: &'static str,
    a: u64,
    b: u64,
    #[serde(skip)]
    bytes: bool,
}

/// A node without counterpart.
#[derive(Serialize)]
struct Apart {
    name: String,
    op: &'static str,
    shape: String,
    /// Whether it quantises or dequantises: there are too many of those to list.
    #[serde(skip)]
    quantisation: bool,
}

impl Diff {
    /// Compares two models.
    ///
    /// # Errors
    /// Where running one on generated inputs fails.
    pub fn new((a, model_a): (&Summary, &Model), (b, model_b): (&Summary, &Model)) -> Result<Diff> {
        let (graph_a, graph_b) = (&model_a.graph, &model_b.graph);
        let size = |what, a, b, bytes| Size { what, a, b, bytes };
        let nodes = |s: &Summary| s.operators.values().map(|k| k.nodes).sum();
        let pairs = align::align(graph_a, graph_b);
        let (weights, requantised) = weights::compare((graph_a, graph_b), &pairs);
        Ok(Diff {
            a: a.path.display().to_string(),
            b: b.path.display().to_string(),
            sizes: vec![
                size("file", a.file_bytes, b.file_bytes, true),
                size("nodes", nodes(a), nodes(b), false),
                size("parameters", a.parameters, b.parameters, false),
                size("multiply-adds", a.macs, b.macs, false),
                size("weights", a.weight_bytes, b.weight_bytes, true),
                size("peak activations", a.peak_activation_bytes, b.peak_activation_bytes, true),
            ],
            ports: ports(a, b),
            operators: operators(a, b),
            paired: pairs.len(),
            removed: apart(graph_a, pairs.iter().map(|p| p.0)),
            added: apart(graph_b, pairs.iter().map(|p| p.1)),
            weights,
            requantised,
            outputs: outputs::compare(graph_a, graph_b)?,
        })
    }
}

/// Operators whose numbers differ.
fn operators(a: &Summary, b: &Summary) -> BTreeMap<&'static str, [Kind; 2]> {
    let of = |s: &Summary, op: &str| s.operators.get(op).copied().unwrap_or_default();
    let names = a.operators.keys().chain(b.operators.keys());
    let pairs = names.map(|&op| (op, [of(a, op), of(b, op)]));
    pairs.filter(|(_, [a, b])| a != b).collect()
}

fn ports(a: &Summary, b: &Summary) -> Vec<[Option<String>; 2]> {
    let mut differing = vec![];
    for (what, x, y) in [("input", &a.inputs, &b.inputs), ("output", &a.outputs, &b.outputs)] {
        for i in 0..x.len().max(y.len()) {
            let text = |p: &super::summary::Port| format!("{what} {}", p.text());
            let pair = [x.get(i).map(text), y.get(i).map(text)];
            if pair[0] != pair[1] {
                differing.push(pair);
            }
        }
    }
    differing
}

/// Nodes of `graph` that are not among `paired`, which ascends.
fn apart(graph: &Graph, paired: impl Iterator<Item = usize>) -> Vec<Apart> {
    let mut alone = vec![true; graph.nodes.len()];
    paired.for_each(|i| alone[i] = false);
    let describe = |node: &Node| Apart {
        name: node.name.clone(),
        op: node.op.name(),
        shape: extents(&graph.value(node.output()).shape.with_symbols(1)),
        quantisation: matches!(node.op, Op::Quantize { .. } | Op::Dequantize { .. }),
    };
    let nodes = graph.nodes.iter().zip(alone).filter(|(_, alone)| *alone);
    nodes.map(|(node, _)| describe(node)).collect()
}

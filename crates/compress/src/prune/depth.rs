//! Layers that a network can do without: one side of a sum, such as the branch of a residual block.

use std::collections::BTreeSet;

use edgecut_graph::cost::cost;
use edgecut_graph::{Binary, Graph, Op, ValueId, passes};
use serde::Serialize;

use crate::{CompressError, Result};

/// One side of a sum of two values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Branch {
    /// Name of the node that adds.
    pub sum: String,
    /// Nodes that nothing else needs.
    pub nodes: usize,
    /// Their multiply-adds.
    pub macs: u64,
}

/// The branches of `graph` that hold layers: of each sum of two computed values the side with more
/// multiply-adds that nothing else needs. What is left of a residual block is its input.
///
/// # Errors
/// Where the graph is not valid.
pub fn branches(graph: &Graph) -> Result<Vec<Branch>> {
    let macs: Vec<u64> = cost(graph, 1)?.nodes.iter().map(|node| node.macs).collect();
    let sums = graph.nodes.iter().enumerate();
    let found = sums.filter_map(|(at, _)| {
        let (nodes, _) = branch(graph, &macs, at)?;
        let macs = nodes.iter().map(|&node| macs[node]).sum();
        Some(Branch { sum: graph.nodes[at].name.clone(), nodes: nodes.len(), macs })
    });
    Ok(found.filter(|branch| branch.macs > 0).collect())
}

/// `graph` without the branch at the sum of this name, whose other side takes its place.
///
/// # Errors
/// Where there is none.
pub fn without(graph: &Graph, sum: &str) -> Result<Graph> {
    let macs: Vec<u64> = cost(graph, 1)?.nodes.iter().map(|node| node.macs).collect();
    let at = graph.nodes.iter().position(|node| node.name == sum);
    let found = at.and_then(|at| Some((at, branch(graph, &macs, at)?.1)));
    let Some((at, kept)) = found else {
        return Err(CompressError::UnknownNode { name: sum.into(), hint: String::new() });
    };
    let mut graph = graph.clone();
    let output = graph.nodes[at].output();
    graph.replace_uses(output, kept);
    passes::simplify(&mut graph)?;
    graph.validate()?;
    Ok(graph)
}

/// Nodes that only the heavier side of the sum at `at` needs, and the value of the other side.
fn branch(graph: &Graph, macs: &[u64], at: usize) -> Option<(Vec<usize>, ValueId)> {
    let node = &graph.nodes[at];
    let [Some(a), Some(b)] = node.inputs[..] else { return None };
    let shape = |id: ValueId| &graph.value(id).shape;
    let same = |id: ValueId| shape(id) == shape(node.output()) && graph.constant(id).is_none();
    let adds = matches!(node.op, Op::Binary(Binary::Add)) && a != b;
    // A network's output keeps its name, which a value that others read cannot take.
    if !adds || !same(a) || !same(b) || graph.is_output(node.output()) {
        return None;
    }
    let weight = |nodes: &[usize]| nodes.iter().map(|&node| macs[node]).sum::<u64>();
    let (of_a, of_b) = (private(graph, at, a), private(graph, at, b));
    if weight(&of_a) > weight(&of_b) { Some((of_a, b)) } else { Some((of_b, a)) }
}

/// Nodes that are needed for `value` and for nothing but the node at `reader`.
fn private(graph: &Graph, reader: usize, value: ValueId) -> Vec<usize> {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let mut gone = BTreeSet::from([reader]);
    let mut found = vec![];
    // From the last node to the first: who reads a result comes behind who computes it.
    let mut next = BTreeSet::from_iter(producers[value.index()]);
    while let Some(node) = next.pop_last() {
        let outputs = &graph.nodes[node].outputs;
        let needed = outputs.iter().any(|&output| {
            let readers = &consumers[output.index()];
            graph.is_output(output) || readers.iter().any(|reader| !gone.contains(reader))
        });
        // The other side of the sum may be this very value.
        let other = graph.nodes[reader].inputs.iter().flatten().filter(|&&id| id != value);
        if needed || other.into_iter().any(|id| outputs.contains(id)) {
            continue;
        }
        gone.insert(node);
        found.push(node);
        let inputs = graph.nodes[node].inputs.iter().flatten();
        next.extend(inputs.filter_map(|input| producers[input.index()]));
    }
    found
}

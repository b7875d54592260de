//! The order in which nodes are imported: topological, and the file's own where that is free.
//!
//! ONNX asks writers for topological order; tools that edit graphs do not always keep it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::proto::GraphProto;
use crate::{GraphError, Result};

/// A name for a node: its own, or that of what it computes, or its operator and position.
pub(super) fn label(graph: &GraphProto, index: usize) -> String {
    let node = &graph.node[index];
    match node.name() {
        "" => match node.output.first().map(String::as_str) {
            None | Some("") => format!("{}_{index}", node.op_type()),
            Some(output) => output.to_string(),
        },
        name => name.to_string(),
    }
}

/// Indices of the nodes, each after those whose outputs it reads. `given` are the names that need
/// no node: inputs and initializers. Fails, naming a node, where a name is computed twice, is never
/// computed, or depends on itself.
pub(super) fn order<'a>(graph: &'a GraphProto, given: impl Fn(&str) -> bool) -> Result<Vec<usize>> {
    let malformed = |index: usize, problem: String| GraphError::Malformed {
        place: format!("node '{}'", label(graph, index)),
        problem,
    };
    let mut producer: HashMap<&'a str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if given(output) || producer.insert(output, index).is_some() {
                return Err(malformed(index, format!("output '{output}' is already defined")));
            }
        }
    }
    let mut missing = vec![0usize; graph.node.len()];
    let mut readers: Vec<Vec<usize>> = vec![vec![]; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        for input in node.input.iter().filter(|i| !i.is_empty() && !given(i)) {
            let Some(&from) = producer.get(input.as_str()) else {
                return Err(malformed(index, format!("reads '{input}', which nothing computes")));
            };
            missing[index] += 1;
            readers[from].push(index);
        }
    }
    let mut heap: BinaryHeap<Reverse<usize>> =
        (0..missing.len()).filter(|&i| missing[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(index)) = heap.pop() {
        order.push(index);
        for &reader in &readers[index] {
            missing[reader] -= 1;
            if missing[reader] == 0 {
                heap.push(Reverse(reader));
            }
        }
    }
    match missing.iter().position(|&m| m > 0) {
        Some(stuck) => Err(malformed(stuck, "is part of a cycle, or reads from one".into())),
        None => Ok(order),
    }
}

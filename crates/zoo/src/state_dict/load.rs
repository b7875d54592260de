//! Weights into a graph, by name.

use edgecut_graph::Graph;

use super::Weights;
use super::error::{Result, StateDictError, shown};

/// What [`load`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Names of the graph's tensors, all of which now have the file's values.
    pub assigned: Vec<String>,
    /// Names in the file that the graph has no tensor for. BatchNorm's `num_batches_tracked` is not
    /// among them: only training reads it.
    pub unused: Vec<String>,
}

/// Most names of a kind that an error lists.
const LISTED: usize = 4;

/// Gives every stored tensor of `graph` the value that `weights` has under its name. Fails, and
/// leaves the graph as it was, where one is missing, of another shape, or not of floats.
pub fn load(graph: &mut Graph, weights: &Weights) -> Result<Loaded> {
    let (mut found, mut missing, mut differing) = (vec![], vec![], vec![]);
    for id in graph.value_ids().filter(|&id| graph.constant(id).is_some()) {
        let value = graph.value(id);
        let Some(stored) = weights.tensors.get(&value.name) else {
            missing.push(value.name.clone());
            continue;
        };
        let (theirs, ours) = (stored.view.extents(), value.constant.as_ref().map(|t| t.shape()));
        match stored.view.kind.is_float() {
            true if Some(theirs) == ours => found.push((id, value.name.clone())),
            true => differing.push(format!(
                "{} is {theirs:?} in the file and {} in the network",
                value.name, value.shape
            )),
            false => differing.push(format!("{} is not of floats in the file", value.name)),
        }
    }
    let known = |name: &str| graph.values().iter().any(|v| v.constant.is_some() && v.name == name);
    let expected = |name: &str| name.ends_with("num_batches_tracked") || known(name);
    let unused: Vec<String> =
        weights.names().filter(|n| !expected(n)).map(str::to_string).collect();
    if !missing.is_empty() || !differing.is_empty() {
        let kinds =
            [("differing", differing), ("missing", missing), ("not in the network", unused)];
        let problems = kinds.iter().filter(|(_, names)| !names.is_empty());
        let problems: Vec<String> = problems.map(|(kind, names)| listed(kind, names)).collect();
        return Err(StateDictError::Mismatch {
            file: weights.file.clone(),
            graph: graph.name.clone(),
            problems: problems.join("; "),
        });
    }
    let mut assigned = Vec::with_capacity(found.len());
    for (id, name) in found {
        if let Some(tensor) = weights.tensor(&name) {
            graph.set_constant(id, tensor);
            assigned.push(name);
        }
    }
    Ok(Loaded { assigned, unused })
}

fn listed(kind: &str, names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(LISTED).map(|name| shown(name)).collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{kind}: {}{more}", first.join(", "))
}

//! Parts of a graph that are built on their own and put into another one.

use edgecut_graph::{Graph, Result, ValueId};

/// Adds the nodes of `part`, which has one input and reads `input` instead, to `graph`. Returns what its
/// output is there.
pub(crate) fn append(graph: &mut Graph, part: &Graph, input: ValueId) -> Result<ValueId> {
    let mut there: Vec<Option<ValueId>> = vec![None; part.values().len()];
    part.inputs.iter().for_each(|id| there[id.index()] = Some(input));
    for id in part.value_ids() {
        if let Some(tensor) = part.constant(id) {
            let name = graph.unique_name(&part.value(id).name);
            there[id.index()] = Some(graph.add_constant(name, tensor.clone()));
        }
    }
    for node in &part.nodes {
        let inputs: Vec<Option<ValueId>> =
            node.inputs.iter().map(|id| there[id.as_ref()?.index()]).collect();
        let output = graph.add_node(node.name.clone(), node.op.clone(), &inputs)?;
        there[node.output().index()] = Some(output);
    }
    Ok(part.outputs.iter().find_map(|id| there[id.index()]).unwrap_or(input))
}

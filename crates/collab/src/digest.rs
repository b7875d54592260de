//! A number for a model: two halves that were cut from the same one can tell.

use edgecut_graph::{Graph, ValueId};
use sha2::{Digest, Sha256};

/// SHA-256 over operators, connections, names, types, shapes and weights; not over metadata.
pub fn digest(graph: &Graph) -> [u8; 32] {
    let mut hash = Sha256::new();
    let name = |id: &ValueId| graph.value(*id).name.as_str();
    for node in &graph.nodes {
        text(&mut hash, &format!("{} {:?}", node.name, node.op));
        for input in &node.inputs {
            // An absent input differs from one whose name is empty.
            hash.update([u8::from(input.is_some())]);
            text(&mut hash, input.as_ref().map_or("", name));
        }
        node.outputs.iter().for_each(|v| text(&mut hash, name(v)));
    }
    for (kind, ids) in [("inputs", &graph.inputs), ("outputs", &graph.outputs)] {
        text(&mut hash, kind);
        ids.iter().for_each(|v| text(&mut hash, name(v)));
    }
    for value in graph.values() {
        text(&mut hash, &format!("{} {} {}", value.name, value.dtype, value.shape));
        if let Some(tensor) = &value.constant {
            hash.update(tensor.to_le_bytes());
        }
    }
    hash.finalize().into()
}

/// A digest in hexadecimal.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// With its length in front, so that no two lists of texts look alike.
fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

//! A number for a model: two halves that were cut from the same one can tell.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use edgecut_graph::{Graph, ValueId};
use sha2::{Digest, Sha256};

use crate::{CollabError, Result};

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

/// SHA-256 over the files of what a server serves, each under its name there, in hexadecimal.
///
/// Names are those in the folder of a version: `model.onnx`, which holds graph, weights and cut, and
/// the codecs beside it; what only configures the server is left out. The order does not count. Both
/// halves name the same pair of halves by it: the device sends it, the server compares.
///
/// # Errors
/// Where a file cannot be read.
pub fn files_digest(files: &[(&str, &Path)]) -> Result<String> {
    let mut files = files.to_vec();
    files.sort();
    let mut hash = Sha256::new();
    for (name, path) in files {
        text(&mut hash, name);
        hash.update(
            file_digest(path).map_err(|e| CollabError::File {
                path: path.to_path_buf(),
                problem: e.to_string(),
            })?,
        );
    }
    Ok(hex(&hash.finalize().into()))
}

fn file_digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// With its length in front, so that no two lists of texts look alike.
fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_with_name_and_content_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&a, b"weights").unwrap();
        std::fs::write(&b, b"codec").unwrap();
        let digest = |files: &[(&str, &Path)]| files_digest(files).unwrap();
        let both = digest(&[("model.onnx", &a), ("x.codec", &b)]);
        assert_eq!(both.len(), 64);
        assert_eq!(both, digest(&[("x.codec", &b), ("model.onnx", &a)]));
        assert_ne!(both, digest(&[("model.onnx", &b), ("x.codec", &a)]));
        assert_ne!(both, digest(&[("model.onnx", &a), ("y.codec", &b)]));
        assert_ne!(both, digest(&[("model.onnx", &a)]));
        let missing = files_digest(&[("model.onnx", &folder.path().join("c"))]).unwrap_err();
        assert!(missing.to_string().contains("c: "), "{missing}");
    }
}

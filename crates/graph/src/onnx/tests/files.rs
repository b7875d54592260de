//! Files on disk: external data, replacement, metadata.

use std::fs;
use std::path::Path;

use super::super::{export, import, to_bytes};
use super::*;

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) }
}

/// A model that adds two stored vectors of four elements, each in another file.
fn external(entries: [Vec<StringStringEntryProto>; 2]) -> Vec<u8> {
    let mut model = model(13).node("Add", "x a", "b1", &[]).node("Add", "b1 b", "y", &[]);
    for (name, external_data) in ["a", "b"].into_iter().zip(entries) {
        model.graph.initializer.push(TensorProto {
            dims: vec![4],
            data_type: Some(data_type::FLOAT),
            name: Some(name.into()),
            external_data,
            data_location: Some(1),
            ..TensorProto::default()
        });
    }
    model.proto().encode_to_vec()
}

fn read(
    folder: &Path,
    a: Vec<StringStringEntryProto>,
    b: Vec<StringStringEntryProto>,
) -> Result<Graph> {
    fs::write(folder.join("m.onnx"), external([a, b])).unwrap();
    import(&folder.join("m.onnx"))
}

#[test]
fn external_data_is_read_beside_the_model_only() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir_all(folder.join("sub")).unwrap();
    let bytes: Vec<u8> = (0..8).flat_map(|i| (i as f32).to_le_bytes()).collect();
    fs::write(folder.join("sub/w.bin"), &bytes).unwrap();
    fs::write(outer.path().join("secret"), &bytes).unwrap();
    let at = |location: &str, offset: &str| {
        vec![entry("location", location), entry("offset", offset), entry("length", "16")]
    };
    let first = || at("sub/w.bin", "0");
    let graph = read(&folder, first(), at("./sub/w.bin", "16")).unwrap();
    let b = graph.constant(graph.nodes[1].inputs[1].unwrap()).unwrap();
    assert_eq!(b.f32s().unwrap(), [4.0, 5.0, 6.0, 7.0]);
    assert_eq!(graph.name, "m");

    let absolute = outer.path().join("secret");
    let refused = [
        (at("../secret", "0"), "without '..'"),
        (at(absolute.to_str().unwrap(), "0"), "relative path"),
        (at("", "0"), "relative path"),
        (at("sub/none", "0"), "No such file"),
        (at("sub", "0"), "not a regular file"),
        (at("sub/w.bin", "20"), "truncated"),
        (at("sub/w.bin", "18446744073709551615"), "truncated"),
        (at("sub/w.bin", "-1"), "needs a number"),
        (vec![entry("location", "sub/w.bin"), entry("length", "8")], "8 external bytes, needs 16"),
    ];
    for (entries, part) in refused {
        let text = read(&folder, first(), entries).unwrap_err().to_string();
        assert!(text.contains(part) && text.contains("m.onnx"), "{text}");
    }
    // Each byte once: two tensors of the file's whole size do not both fit.
    fs::write(folder.join("sub/w.bin"), &bytes[..16]).unwrap();
    let error = read(&folder, first(), first()).unwrap_err();
    assert!(matches!(error.root(), GraphError::Limit { .. }), "{error}");
    let text = from_bytes("memory", &external([first(), first()])).unwrap_err().to_string();
    assert!(text.contains("from its path"), "{text}");
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("secret"), [0; 32]).unwrap();
    std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("w.bin")).unwrap();
    let entries = || vec![entry("location", "w.bin")];
    let text = read(&folder, entries(), entries()).unwrap_err().to_string();
    assert!(text.contains("outside the model's folder"), "{text}");
}

#[test]
fn export_replaces_a_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    fs::write(&path, b"old").unwrap();
    let mut graph = single(13, "Relu", &[]).graph();
    graph.metadata.insert("edgecut.classes".into(), "cat\ndog".into());
    export(&graph, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), to_bytes(&graph).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let again = import(&path).unwrap();
    assert_eq!(again.metadata, graph.metadata);
    let nowhere = folder.path().join("none/net.onnx");
    let text = export(&graph, &nowhere).unwrap_err().to_string();
    assert!(text.contains("none/net.onnx"), "{text}");
    let text = import(&nowhere).unwrap_err().to_string();
    assert!(text.contains("none/net.onnx") && text.contains("No such file"), "{text}");
    assert!(import(folder.path()).is_err());
}

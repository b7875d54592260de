//! Files on disk: external data, replacement, metadata.

use std::fs;
use std::path::Path;

use super::super::{export, export_external, import, to_bytes};
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
    // Each byte once: two tensors of more than the file's whole size share it or do not fit.
    fs::write(folder.join("sub/w.bin"), &bytes[..24]).unwrap();
    let graph = read(&folder, first(), first()).unwrap();
    let stored = |node: usize| graph.constant(graph.nodes[node].inputs[1].unwrap()).unwrap();
    assert_eq!(stored(0).f32s().unwrap().as_ptr(), stored(1).f32s().unwrap().as_ptr());
    let error = read(&folder, first(), at("sub/w.bin", "8")).unwrap_err();
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

#[test]
fn weights_beside_the_model_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let values: Vec<f32> = (0..300).map(|i| i as f32).collect();
    let model = model(13).fixed(&[2, 300]).stored("large", constant(&values, &[300]));
    let bytes = Tensor::new([2, 300], vec![7u8; 600]).unwrap();
    let model = model.stored("bytes", Tensor::vector((0..1500).map(|i| i as u8).collect()));
    let model = model.stored("small", bytes).output("bytes").output("small");
    let graph = model.node("Add", "x large", "y", &[]).graph();
    export_external(&graph, &path).unwrap();
    let proto = ModelProto::decode(fs::read(&path).unwrap().as_slice()).unwrap();
    let stored: Vec<(String, Vec<&str>)> = proto
        .graph
        .as_ref()
        .unwrap()
        .initializer
        .iter()
        .map(|t| (t.name().to_string(), t.external_data.iter().map(|e| e.value()).collect()))
        .collect();
    assert_eq!(
        stored,
        [
            ("large".to_string(), vec!["net.onnx.data", "0", "1200"]),
            ("bytes".to_string(), vec!["net.onnx.data", "4096", "1500"]),
            ("small".to_string(), vec![]),
        ]
    );
    assert_eq!(fs::metadata(folder.path().join("net.onnx.data")).unwrap().len(), 4096 + 1500);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    let again = import(&path).unwrap();
    assert_eq!(to_bytes(&again).unwrap(), to_bytes(&graph).unwrap());
}

#[test]
fn streamed_bytes_are_those_of_the_messages() {
    let values: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
    let model = model(13).fixed(&[40_000]).stored("large", constant(&values, &[40_000]));
    let mut graph = model.node("Add", "x large", "y", &[]).graph();
    graph.metadata.insert("key".into(), "value".into());
    let bytes = to_bytes(&graph).unwrap();
    assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap().encode_to_vec(), bytes);
}

#[test]
fn texts_about_the_model_are_kept() {
    let mut proto = single(13, "Relu", &[]).proto();
    proto.doc_string = Some("what it is".into());
    proto.metadata_props = vec![entry("license", "MIT")];
    let graph = from_bytes("model", &proto.encode_to_vec()).unwrap();
    assert_eq!(graph.metadata[super::super::DOC_STRING], "what it is");
    let again = ModelProto::decode(to_bytes(&graph).unwrap().as_slice()).unwrap();
    assert_eq!(again.doc_string(), "what it is");
    assert_eq!(again.metadata_props, proto.metadata_props);
}

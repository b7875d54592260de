//! `edgecut verify`.

mod common;

use std::path::PathBuf;

use common::{edgecut, refuse, scratch, succeed, text};
use edgecut_graph::{DType, Graph, Op, Shape, Tensor, onnx};

/// One product of bytes that can be anything and two weights.
fn model(name: &str, weights: [i8; 2]) -> PathBuf {
    let mut graph = Graph::new("net");
    let x = graph.add_input("x", DType::F32, Shape::fixed(&[1, 2]));
    let scale = graph.add_constant("scale", Tensor::scalar(0.1));
    let zero = graph.add_constant("zero", Tensor::new(vec![], vec![0u8]).unwrap());
    let parameters = [Some(scale), Some(zero)];
    let node = |graph: &mut Graph, name: &str, op: Op, inputs: &[Option<_>]| {
        graph.add_node(name, op, inputs).unwrap()
    };
    let (to_bytes, to_float) = (Op::Quantize { axis: 1 }, Op::Dequantize { axis: 1 });
    let bytes = node(&mut graph, "bytes", to_bytes, &[&[Some(x)], &parameters[..]].concat());
    let inputs = [&[Some(bytes)], &parameters[..]].concat();
    let float = node(&mut graph, "float", to_float.clone(), &inputs);
    let weights = graph.add_constant("w", Tensor::new(vec![2, 1], weights.to_vec()).unwrap());
    let w = node(&mut graph, "w_float", to_float, &[Some(weights), Some(scale)]);
    let y = node(&mut graph, "product", Op::MatMul, &[Some(float), Some(w)]);
    graph.outputs = vec![y];
    let path = scratch().join(name);
    onnx::export(&graph, &path).unwrap();
    path
}

#[test]
fn a_model_that_saturates_is_found_and_relaxed() {
    let (risky, safe) = (model("risky.onnx", [100, 90]), scratch().join("relaxed.onnx"));
    let output = edgecut(&["verify", text(&risky)]);
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    // 255 * (100 + 90)
    assert!(table.contains("1 at risk") && table.contains("48450"), "{table}");
    let said = succeed(&["verify", text(&risky), "--relax", text(&safe)]);
    // 100 + 90 - 32767 / 255
    assert!(said.contains("1 weights in 1 channels changed, by at most 62 steps"), "{said}");
    let table = succeed(&["verify", text(&safe)]);
    assert!(table.contains("38, 90") && table.contains("all 1 layers certified"), "{table}");
}

#[test]
fn a_certified_model_says_so_in_json_and_a_float_model_is_refused() {
    let safe = model("safe.onnx", [100, -90]);
    let said: serde_json::Value =
        serde_json::from_str(&succeed(&["verify", text(&safe), "--json"])).unwrap();
    assert_eq!(said["certified"], true);
    assert_eq!(said["layers"][0]["worst"]["sum"], 25500);
    let float = scratch().join("float.onnx");
    succeed(&["zoo", "mobilenet-v2-s28", "--out", text(&float)]);
    assert!(refuse(&["verify", text(&float)]).contains("no layer with int8 weights"));
}

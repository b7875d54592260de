//! Float operators of TensorFlow Lite against LiteRT, one model each.

use edgecut_graph::interpret::run;
use edgecut_graph::tflite::from_bytes;
use edgecut_testkit::{Python, assert_close};

#[test]
fn operators_agree_with_litert() {
    let Some(python) = Python::with(&["ai_edge_litert", "flatbuffers"]) else { return };
    let results = python.run(include_str!("peers/litert_operators.py"), &[], &[]).unwrap();
    let count = results.len() / 3;
    assert!(count >= 19, "{count}");
    for i in 0..count {
        let bytes = results[&format!("m{i}")].u8s().unwrap();
        let graph = from_bytes(&format!("case {i}"), bytes).unwrap();
        let own = run(&graph, &[results[&format!("x{i}")].clone()]).unwrap();
        assert_close(&own[0], &results[&format!("y{i}")], 1e-5, &format!("case {i}"));
    }
}

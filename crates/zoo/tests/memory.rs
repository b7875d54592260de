//! Memory of activations, against what ONNX Runtime plans for the same model.

use edgecut_graph::onnx;
use edgecut_runtime::{CompileOptions, compile};
use edgecut_testkit::Python;
use edgecut_zoo::{Options, find};

/// After its first run ONNX Runtime knows the life of every activation and lays them all out in one
/// block; the script reads the size of that block from the log of the second run. It holds neither
/// the input nor the output, which our arena does.
#[test]
fn mobilenet_v2_needs_a_third_of_onnx_runtimes_activations() {
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    let graph = find("mobilenet-v2").unwrap().build(&Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    onnx::export(&graph, &path).unwrap();
    let script = include_str!("peers/planned_memory.py");
    let planned = python.run(script, &[path.to_str().unwrap()], &[]).unwrap();
    let planned = planned["planned"].to_i64().unwrap()[0];
    let arena = compile(&graph, &CompileOptions::default()).unwrap().arena_bytes() as i64;
    println!(
        "arena {arena} bytes, ONNX Runtime plans {planned}: {:.2}",
        arena as f64 / planned as f64
    );
    assert!(3 * arena <= planned, "arena {arena}, planned {planned}");
}

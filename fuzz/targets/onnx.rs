//! ONNX: any bytes give an error or a valid graph; what is written from it reads back as the same
//! bytes.

#![no_main]

use edgecut_fuzz::check_model;
use edgecut_graph::onnx;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(graph) = check_model(|| onnx::from_bytes("fuzz", bytes), bytes.len()) else { return };
    let Ok(written) = onnx::to_bytes(&graph) else { return };
    let again = onnx::from_bytes("written", &written).expect("what is written can be read");
    assert!(onnx::to_bytes(&again).expect("and written again") == written);
});

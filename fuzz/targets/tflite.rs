//! TensorFlow Lite: any bytes give an error or a valid graph.

#![no_main]

use edgecut_fuzz::check_model;
use edgecut_graph::tflite;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check_model(|| tflite::from_bytes("fuzz", bytes), bytes.len());
});

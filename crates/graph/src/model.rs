//! Models of any format that edgecut reads and writes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Graph, Result, onnx, tflite};

/// Reads the model at `path`, as TensorFlow Lite where its bytes say so, else as ONNX.
///
/// # Errors
/// As [`onnx::import`] and [`tflite::import`]; they name the file.
pub fn open(path: &Path) -> Result<Graph> {
    if is_tflite(path) { tflite::import(path) } else { onnx::import(path) }
}

/// Whether bytes 4 to 8 are TensorFlow Lite's. What cannot be read is left to the importer, which
/// says why.
pub fn is_tflite(path: &Path) -> bool {
    let mut head = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && &head[4..] == b"TFL3"
}

//! edgecut's runtime on edgecut's int8 model.

use std::path::Path;
use std::sync::Arc;

use edgecut_graph::{Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::read_npy;

/// Runs `model` on every row of the array `inputs` and writes all outputs, input by input, float32,
/// little-endian.
pub fn run(model: &Path, inputs: &Path, out: &Path) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let graph = onnx::import(model).map_err(|e| text(&e))?;
    let batch = read_npy(inputs)?;
    let mut shape = batch.shape().to_vec();
    shape[0] = 1;
    let mut session =
        Model::new(graph, Arc::new(Pool::for_this_machine())).session(1).map_err(|e| text(&e))?;
    let mut bytes = vec![];
    let values = batch.f32s().map_err(|e| text(&e))?;
    for image in values.chunks_exact(shape.iter().product()) {
        let image = Tensor::new(shape.clone(), image.to_vec()).map_err(|e| text(&e))?;
        for output in session.infer(&[image]).map_err(|e| text(&e))? {
            bytes.extend(output.to_f32().iter().flat_map(|v| v.to_le_bytes()));
        }
    }
    std::fs::write(out, bytes).map_err(|e| format!("{}: {e}", out.display()))
}

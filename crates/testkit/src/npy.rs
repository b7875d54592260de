//! Tensors as `.npy` files. Problems are strings: only tests read them.

use std::path::Path;

use edgecut_graph::{Tensor, npy};

/// Writes `tensor` in row-major order, little-endian.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<(), String> {
    std::fs::write(path, npy::encode(tensor)).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads a tensor in row-major order. float64 is rounded to float32.
pub fn read_npy(path: &Path) -> Result<Tensor, String> {
    let file = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let array = npy::parse(&file).and_then(|array| array.to_tensor());
    array.map_err(|problem| format!("{}: {problem}", path.display()))
}

//! `.npy` arrays in and out, for checks against other tools.

use std::path::Path;

use edgecut_graph::{Tensor, npy};

use crate::errors::{Failure, Result};
use crate::files;

/// Reads an array of float32, float64 (rounded to float32), uint8, int8, int32, int64 or bool in C order.
pub fn read(path: &Path) -> Result<Tensor> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    let array = npy::parse(&bytes).and_then(|array| array.to_tensor());
    array.map_err(|problem| Failure::input(problem).at(path))
}

/// Writes an array, whole or not at all.
pub fn write(path: &Path, tensor: &Tensor) -> Result<()> {
    files::write(path, &npy::encode(tensor))
}

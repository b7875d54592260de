//! What a model's constants occupy.

use edgecut_graph::{DType, Graph};
use serde::Serialize;

/// Bytes of the constants that nodes read, by element type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WeightBytes {
    /// float32: weights, biases, scales.
    pub float: usize,
    /// 8-bit weights and zero points.
    pub int8: usize,
    /// int32 biases and everything else.
    pub other: usize,
}

impl WeightBytes {
    /// All bytes.
    pub fn total(&self) -> usize {
        self.float + self.int8 + self.other
    }
}

/// Counts the constants that nodes of `graph` read, each once.
pub fn weight_bytes(graph: &Graph) -> WeightBytes {
    let mut bytes = WeightBytes::default();
    let mut used = vec![false; graph.values().len()];
    for id in graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()) {
        used[id.index()] = true;
    }
    for (value, _) in graph.values().iter().zip(used).filter(|(_, used)| *used) {
        let Some(tensor) = &value.constant else { continue };
        match tensor.dtype() {
            DType::F32 => bytes.float += tensor.bytes(),
            DType::I8 | DType::U8 => bytes.int8 += tensor.bytes(),
            _ => bytes.other += tensor.bytes(),
        }
    }
    bytes
}

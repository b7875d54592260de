//! What quantisation did, for people and for `--json`.

use serde::Serialize;

use crate::{RangeMethod, WeightBytes};

/// Everything [`crate::quantize`] decided.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeReport {
    /// How activation ranges were chosen.
    pub method: RangeMethod,
    /// Images that calibration saw.
    pub calibration_images: usize,
    /// Quantised activations, in order of computation.
    pub activations: Vec<ActivationReport>,
    /// Layers with integer weights, in order of computation.
    pub layers: Vec<LayerReport>,
    /// Nodes that stay float.
    pub skipped: Vec<SkippedNode>,
    /// Bytes of the constants before.
    pub float_bytes: WeightBytes,
    /// Bytes of the constants after.
    pub int8_bytes: WeightBytes,
}

/// One quantised activation.
#[derive(Clone, Debug, Serialize)]
pub struct ActivationReport {
    /// Name of the value in the float graph.
    pub value: String,
    /// Lowest and highest real number that calibration chose, before 0.0 was included.
    pub low: f32,
    /// See `low`.
    pub high: f32,
    /// Distance of neighbouring bytes.
    pub scale: f32,
    /// The byte that stands for 0.0.
    pub zero_point: u8,
    /// Share of the values seen that the bytes cannot reach.
    pub saturated: f64,
}

/// One layer with integer weights.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name of the node.
    pub node: String,
    /// ONNX operator.
    pub op: &'static str,
    /// Output channels, each with its own weight scale.
    pub channels: usize,
    /// Width of its weights.
    pub bits: u8,
    /// Output channels whose weights are all 0.
    pub zero_channels: usize,
    /// Signal to quantisation noise of the weights in decibels; none where they are exact.
    pub weight_sqnr_db: Option<f64>,
    /// Signal to noise of the layer's result in decibels, when it alone is quantised; none where
    /// it was not measured.
    pub output_sqnr_db: Option<f64>,
}

/// A node that stays float.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedNode {
    /// Name of the node.
    pub node: String,
    /// ONNX operator.
    pub op: &'static str,
    /// Why.
    pub reason: String,
}

//! What a step has to do.

use edgecut_runtime::Plan;
use serde::{Deserialize, Serialize};

/// The work of one step of a plan, as far as time depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Kind of the step, such as `pointwise` or `depthwise.int8`.
    pub kind: String,
    /// Extents of its result in ONNX order.
    pub shape: Vec<usize>,
    /// Windows, strides, and what happens to sums before they are stored, such as `3x3/2 hard-swish`;
    /// empty where it does not matter or is not known.
    #[serde(default)]
    pub form: String,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes read and written, weights included.
    pub bytes: u64,
    /// Of them, weights.
    pub weight_bytes: u64,
}

impl Work {
    /// The work of every step of `plan`, in execution order.
    pub fn of(plan: &Plan) -> Vec<Work> {
        let work = |(index, step): (usize, &edgecut_runtime::StepInfo)| {
            let (kind, macs) = match &*step.kind {
                // No table of a device has zeros in it. A multiply-add of the sparse kernels loads an
                // operand, and takes about as long as 1.6 of the dense ones.
                "pointwise.sparse" => ("pointwise", step.macs * 8 / 5),
                kind => (kind, step.macs),
            };
            Work {
                kind: kind.to_string(),
                shape: step.shape.clone(),
                form: plan.step_form(index),
                macs,
                bytes: step.bytes,
                weight_bytes: (plan.step_weight_bytes(index) as u64).min(step.bytes),
            }
        };
        plan.steps().iter().enumerate().map(work).collect()
    }

    /// Places on logarithmic axes: multiply-adds, activations and weights in bytes, channels. How
    /// well a kernel does depends on these far more than on their proportion to its time.
    pub(crate) fn place(&self) -> [f64; 4] {
        let log = |n: u64| ((n + 1) as f64).log2();
        let channels = self.shape.get(1).or(self.shape.first()).map_or(1, |&c| c as u64);
        [log(self.macs), log(self.bytes - self.weight_bytes), log(self.weight_bytes), log(channels)]
    }
}

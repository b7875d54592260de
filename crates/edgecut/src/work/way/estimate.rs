//! What a float network will cost once it is quantised: it is, with ranges of a few pictures, since
//! no cost depends on them.

use std::sync::Arc;

use edgecut_compress::{Images, QuantizeConfig, calibrate, prepare, quantize};
use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, compile};

use super::candidate::Candidate;
use super::costs::Costs;
use super::device::Device;
use crate::errors::Result;
use crate::work::calibrate::Sample;

/// Pictures that ranges are taken from.
const PICTURES: usize = 2;

/// Estimates costs of what is pruned from one network.
pub struct Estimate<'a> {
    device: &'a Device,
    parent: &'a Candidate,
    config: QuantizeConfig,
    pictures: Vec<Tensor>,
    pool: &'a Arc<Pool>,
}

impl<'a> Estimate<'a> {
    /// For networks pruned from `parent`, quantised by `config`.
    pub fn new(
        device: &'a Device,
        parent: &'a Candidate,
        config: QuantizeConfig,
        sample: &Sample,
        pool: &'a Arc<Pool>,
    ) -> Result<Estimate<'a>> {
        let pictures = (0..sample.len().min(PICTURES)).map(|at| sample.read(at));
        let pictures = pictures.collect::<edgecut_compress::Result<Vec<Tensor>>>()?;
        Ok(Estimate { device, parent, config, pictures, pool })
    }

    /// The costs of `graph`. Its latency is that of the parent, times what the prediction, or without
    /// one the number of multiply-adds, becomes.
    pub fn costs(&self, graph: &Graph) -> Result<Costs> {
        let prepared = prepare(graph)?;
        let calibration = calibrate(&prepared, self.pictures.clone(), self.pool)?;
        let quantised = quantize(&prepared, &calibration, &self.config)?.graph;
        let plan = compile(&quantised, &CompileOptions::default())?;
        let predicted = self.device.predict(&plan)?;
        let ratio = match (predicted, self.parent.predicted_ms) {
            (Some(predicted), Some(before)) => predicted.ms / before.max(1e-9),
            _ => cost(graph, 1)?.macs as f64 / (self.parent.macs as f64).max(1.0),
        };
        Ok(Costs {
            latency_ms: self.parent.costs.latency_ms * ratio,
            memory: (plan.arena_bytes() + plan.weight_bytes()) as u64,
            size: onnx::to_bytes(&quantised)?.len() as u64,
            millijoules: predicted.map(|p| p.millijoules),
        })
    }
}

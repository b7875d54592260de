//! From a float graph and pictures to an int8 graph.

use std::cell::RefCell;
use std::sync::Arc;

use edgecut_compress::{
    Placement, QuantizeConfig, QuantizeReport, RangeMethod, calibrate, quantize,
};
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_train::data::open::SPLIT_SEED;
use edgecut_train::data::{Dataset, Loader, LoaderOptions, Preprocess, Subset};

use super::classify::{batch_for, to_nchw};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress::Counter;
use crate::settings::{Method, QuantizeSettings, Target};

/// What the ranges of activations are taken from.
pub struct Pictures<'a> {
    /// Pictures; training ones, never test ones.
    pub set: &'a Arc<dyn Dataset>,
    /// How they become the input.
    pub preprocess: &'a Preprocess,
    /// How many, and how ranges are chosen.
    pub settings: &'a QuantizeSettings,
}

/// An int8 model.
pub struct Quantised {
    /// The graph, with QuantizeLinear and DequantizeLinear nodes.
    pub graph: Graph,
    /// Ranges, scales, errors of the weights, what stays float.
    pub report: QuantizeReport,
}

impl Quantised {
    /// What a person may want to know.
    pub fn remarks(&self) -> Vec<String> {
        let report = &self.report;
        let (layers, activations) = (report.layers.len(), report.activations.len());
        let mut lines = vec![format!(
            "{layers} layers with int8 weights, {activations} activations, calibrated on {} pictures",
            report.calibration_images
        )];
        let known = report.layers.iter().filter_map(|l| Some((l.weight_sqnr_db?, &l.node)));
        if let Some((decibels, node)) = known.min_by(|a, b| a.0.total_cmp(&b.0)) {
            lines.push(format!(
                "largest rounding error of weights: '{node}', {decibels:.1} dB below the signal"
            ));
        }
        let stays = |s: &edgecut_compress::SkippedNode| {
            format!("'{}' ({}) stays float: {}", s.node, s.op, s.reason)
        };
        lines.extend(report.skipped.iter().map(stays));
        lines
    }
}

/// Quantises `graph`. A seeded sample of the pictures is used; the result is the same on any
/// number of threads.
pub fn to_int8(
    global: &Global,
    graph: &Graph,
    pictures: &Pictures,
    pool: &Arc<Pool>,
) -> Result<Quantised> {
    let settings = pictures.settings;
    let count = settings.images.min(pictures.set.len());
    let sample: Arc<dyn Dataset> =
        Arc::new(Subset::sample(pictures.set.clone(), SPLIT_SEED, count));
    let batch = batch_for(graph, pictures.preprocess);
    let mut options = LoaderOptions::evaluation(batch.size);
    options.drop_last = batch.fixed;
    let mut loader = Loader::new(sample, pictures.preprocess, &options)?;
    let mut bar = Counter::new(global, "calibrate", count as u64);
    // An iterator cannot fail: the error waits here until calibration has seen its end.
    let failure: RefCell<Option<Failure>> = RefCell::new(None);
    let mut seen = 0;
    let batches = std::iter::from_fn(|| match next(&mut loader, pictures.preprocess) {
        Ok(tensor) => {
            seen += tensor.as_ref().map_or(0, |t| t.shape()[0]);
            bar.set(seen as u64, || "pictures".into());
            tensor
        }
        Err(error) => {
            *failure.borrow_mut() = Some(error);
            None
        }
    });
    let calibration = calibrate(graph, batches, pool);
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let config = QuantizeConfig {
        method: method(settings),
        placement: placement(settings.runtime),
        exclude: settings.exclude.clone(),
    };
    let quantised = quantize(graph, &calibration?, &config)?;
    Ok(Quantised { graph: quantised.graph, report: quantised.report })
}

fn method(settings: &QuantizeSettings) -> RangeMethod {
    match settings.method {
        Method::Minmax => RangeMethod::MinMax,
        Method::Percentile => RangeMethod::Percentile(settings.percentile.into()),
        Method::Mse => RangeMethod::Mse,
    }
}

fn placement(runtime: Target) -> Placement {
    match runtime {
        Target::Edgecut | Target::Openvino => Placement::Fused,
        Target::Onnxruntime | Target::Tflite => Placement::EveryOperator,
    }
}

/// The next pictures as `[n, c, h, w]`.
fn next(loader: &mut Loader, preprocess: &Preprocess) -> Result<Option<Tensor>> {
    let Some(batch) = loader.next_batch()? else { return Ok(None) };
    let [h, w, c] = preprocess.shape();
    let mut values = vec![0f32; batch.n * c * h * w];
    to_nchw(batch, [h, w, c], &mut values);
    Ok(Some(Tensor::new(vec![batch.n, c, h, w], values)?))
}

//! From a float graph and pictures to an int8 graph.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgecut_compress::{
    Activations, BiasCorrection, Bits, CompressError, Control, Found, Images, Limits, Placement,
    QuantizeConfig, RangeMethod, Recipe, Rounding, WeightRange, portfolio, quantize_with,
};
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_train::data::open::SPLIT_SEED;
use edgecut_train::data::transform::Transform;
use edgecut_train::data::{Dataset, Image, Preprocess, Subset};

use crate::cli::Global;
use crate::errors::Result;
use crate::interrupt;
use crate::progress::Counter;
use crate::settings::{Correction, Method, QuantizeSettings, Round, Target};

/// What the ranges of activations are taken from.
pub struct Pictures<'a> {
    /// Pictures; training ones, never test ones.
    pub set: &'a Arc<dyn Dataset>,
    /// How they become the input.
    pub preprocess: &'a Preprocess,
    /// How many, and how ranges are chosen.
    pub settings: &'a QuantizeSettings,
}

/// What a person may want to know of a quantised model.
pub fn remarks(found: &Found) -> Vec<String> {
    let report = &found.quantized.report;
    let (layers, activations) = (report.layers.len(), report.activations.len());
    let mut lines = vec![format!(
        "{layers} layers with integer weights, {activations} activations, calibrated on {} pictures",
        report.calibration_images
    )];
    lines.push(format!("method: {}", found.recipe.describe()));
    let score = &found.score;
    let agreement = score
        .agreement
        .map_or(String::new(), |a| format!("same answer as float on {:.1} %, ", 100.0 * a));
    lines.push(format!(
        "{agreement}{:.1} dB above the error, on {} pictures held out",
        score.sqnr_db, score.images
    ));
    let known = report.layers.iter().filter_map(|l| Some((l.output_sqnr_db?, &l.node)));
    if let Some((decibels, node)) = known.min_by(|a, b| a.0.total_cmp(&b.0)) {
        lines
            .push(format!("largest error of a layer: '{node}', {decibels:.1} dB below the signal"));
    }
    let stays = |s: &edgecut_compress::SkippedNode| {
        format!("'{}' ({}) stays float: {}", s.node, s.op, s.reason)
    };
    lines.extend(report.skipped.iter().map(stays));
    if let Some(mixed) = &found.mixed {
        let width = |bits: u8| mixed.layers.iter().filter(|layer| layer.bits == bits).count();
        let drop = mixed.drop.map_or(String::new(), |d| format!(", {d:.2} % of answers differ"));
        let time = mixed.latency_ms.map_or(String::new(), |ms| format!(", {ms:.2} ms measured"));
        lines.push(format!(
            "{} layers in float, {} in 8 bits, {} in 4 bits{time}{drop}",
            width(32),
            width(8),
            width(4)
        ));
        let kept = mixed.layers.iter().filter(|layer| layer.bits == 32);
        lines.extend(kept.map(|layer| format!("'{}' stays float: {}", layer.node, layer.reason)));
        if mixed.latency_ms.is_some() {
            let int4 = mixed.layers.iter().filter(|layer| layer.bits == 4);
            lines.extend(int4.map(|layer| format!("'{}': {}", layer.node, layer.reason)));
        }
    }
    if found.stopped {
        let tried = found.trials.len();
        lines.push(format!(
            "stopped early: the best of {tried} combinations tried; more --time tries more"
        ));
    }
    lines
}

/// Quantises `graph`, within `limits` where the method is auto. A seeded sample of the pictures is used; the result is the same on any
/// number of threads, unless time ends the search.
pub fn to_int8(
    global: &Global,
    graph: &Graph,
    pictures: &Pictures,
    limits: Limits,
    pool: &Arc<Pool>,
) -> Result<Found> {
    interrupt::listen();
    let settings = pictures.settings;
    let images = Sample::new(pictures.set, pictures.preprocess, settings.images)?;
    let began = Instant::now();
    let bar = RefCell::new(Counter::new(global, "quantise", settings.time));
    let say = |what: &str| {
        bar.borrow_mut().set(began.elapsed().as_secs().min(settings.time), || what.to_string());
    };
    let limit = Duration::from_secs(settings.time);
    let auto = settings.method == Method::Auto;
    let deadline = auto.then(|| began.checked_add(limit)).flatten();
    let control = Control { stop: &interrupt::asked, deadline, say: &say };
    let recipe = recipe(settings);
    check_names(graph, settings)?;
    Ok(match auto {
        true => portfolio(graph, &images, &recipe, limits, pool, &control)?,
        false => quantize_with(graph, &images, &recipe, pool, &control)?,
    })
}

/// The combination that the settings name, or where the search begins.
pub fn recipe(settings: &QuantizeSettings) -> Recipe {
    let config = QuantizeConfig {
        method: match settings.method {
            Method::Minmax => RangeMethod::MinMax,
            // As it was typed: 99.9, not the float32 beside it.
            Method::Percentile => RangeMethod::Percentile(
                settings.percentile.to_string().parse().unwrap_or(settings.percentile.into()),
            ),
            Method::Mse | Method::Auto => RangeMethod::Mse,
            Method::Entropy => RangeMethod::Entropy,
        },
        placement: match settings.runtime {
            Target::Edgecut | Target::Openvino => Placement::Fused,
            Target::Onnxruntime | Target::Tflite => Placement::EveryOperator,
        },
        exclude: settings.exclude.clone(),
        activations: if settings.weights_only { Activations::Float } else { Activations::Bytes },
        weights: if settings.saturate { WeightRange::Mse } else { WeightRange::Max },
        bits: if settings.bits == 4 { Bits::Four } else { Bits::Eight },
        int4: settings.int4.clone(),
        ..QuantizeConfig::default()
    };
    Recipe {
        config,
        equalise: settings.equalize,
        bias: match settings.bias_correction {
            Correction::None => BiasCorrection::None,
            Correction::Fast => BiasCorrection::Fast,
            Correction::Full => BiasCorrection::Full,
        },
        rounding: match settings.rounding {
            Round::Nearest => Rounding::Nearest,
            Round::Learned => Rounding::Learned,
        },
    }
}

/// Names of nodes that do not exist are a mistake.
fn check_names(graph: &Graph, settings: &QuantizeSettings) -> Result<()> {
    let names = settings.exclude.iter().chain(&settings.int4);
    Ok(edgecut_compress::check_names(graph, names)?)
}

/// Pictures as the graph's input, read when they are needed.
pub struct Sample {
    set: Subset,
    shape: [usize; 3],
    /// Buffers.
    state: Mutex<(Transform, Image)>,
}

impl Sample {
    /// At most `count` pictures of `set`, chosen by a seed.
    pub fn new(set: &Arc<dyn Dataset>, preprocess: &Preprocess, count: usize) -> Result<Sample> {
        Ok(Sample {
            set: Subset::sample(set.clone(), SPLIT_SEED, count.min(set.len())),
            shape: preprocess.shape(),
            state: Mutex::new((Transform::new(preprocess)?, Image::default())),
        })
    }
}

impl Images for Sample {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn read(&self, index: usize) -> edgecut_compress::Result<Tensor> {
        let failed = |e: edgecut_train::data::DataError| CompressError::Image(e.to_string());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (transform, image) = &mut *state;
        self.set.read(index, image).map_err(failed)?;
        let [h, w, c] = self.shape;
        let mut values = vec![0f32; c * h * w];
        transform.apply_nchw(image, &mut values).map_err(failed)?;
        Ok(Tensor::new(vec![1, c, h, w], values)?)
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.set.label(index))
    }
}

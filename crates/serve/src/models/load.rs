//! A file into a model that is ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use edgecut_collab::codec::Codec;
use edgecut_graph::{DType, Graph, model, onnx, tflite};
use edgecut_kernels::Pool;
use edgecut_runtime::{Packed, Plan};
use edgecut_train::data::transform::METADATA_KEY;
use edgecut_train::data::{Channels, Preprocess};

use super::config::Config;
use super::find::Found;
use super::model::Model;
use super::plans::Plans;
use crate::error::{Result, ServeError};
use crate::schedule::LaneLimits;

/// Largest file of a codec.
const MAX_CODEC_BYTES: u64 = 64 << 20;

/// What holds for models whose configuration says nothing else.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Threads that take batches.
    pub workers: usize,
    /// Threads that compute a batch.
    pub threads: usize,
    /// Most pictures that are computed together.
    pub max_batch: usize,
    /// Longest wait for a batch to fill.
    pub max_delay: Duration,
    /// Most requests that wait.
    pub max_queue: usize,
    /// How long a request may wait that says nothing about it.
    pub timeout: Option<Duration>,
    /// How pictures become the input, where neither file nor configuration says it.
    pub preprocess: Option<String>,
    /// Shapes of inputs that the file leaves open.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            workers: 1,
            threads: 1,
            max_batch: 8,
            max_delay: Duration::ZERO,
            max_queue: 256,
            timeout: None,
            preprocess: None,
            shapes: BTreeMap::new(),
        }
    }
}

/// Loads, compiles and warms a model.
///
/// # Errors
/// File, node and operator of what is wrong; where extents beside the batch are open; where codecs
/// or preprocessing do not fit the model.
pub fn load(found: &Found, options: &LoadOptions) -> Result<Model> {
    let config = found.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let digest = found.digest()?;
    let wrong = |problem: String| ServeError::file(&found.file, problem);
    let max_batch = config.max_batch.unwrap_or(options.max_batch);
    let (content, platform) = Content::read(found, &config, options)?;
    let pools: Vec<Arc<Pool>> =
        (0..options.workers.max(1)).map(|_| Arc::new(Pool::new(options.threads))).collect();
    let (plans, metadata) = match content {
        Content::Graph(graph) => {
            let metadata = graph.metadata.clone();
            (Plans::of_graph(*graph, max_batch, &pools).map_err(wrong)?, metadata)
        }
        Content::Packed(packed) => {
            let plans: Vec<Arc<Plan>> = packed.plans().to_vec();
            (
                Plans::of_packed(plans, max_batch, &pools).map_err(wrong)?,
                packed.facts().metadata.clone(),
            )
        }
    };
    let codecs = codecs(found, &plans)?;
    let name = config.preprocess.as_ref().or(options.preprocess.as_ref());
    let pictures = pictures(name, &metadata, &plans).map_err(wrong)?;
    let limits = LaneLimits {
        requests: config.max_queue.unwrap_or(options.max_queue),
        rows: plans.largest(),
        delay: config
            .max_delay_ms
            .map_or(options.max_delay, |ms| Duration::from_secs_f64(ms / 1e3)),
    };
    let timeout = config.timeout_ms.map(|ms| Duration::from_secs_f64(ms / 1e3)).or(options.timeout);
    let (name, version) = (found.name.clone(), found.version.clone());
    let priority = config.priority.unwrap_or(4) as usize;
    Ok(Model::new(
        name, version, digest, platform, plans, codecs, pictures, limits, timeout, priority,
    ))
}

enum Content {
    Graph(Box<Graph>),
    Packed(Packed),
}

impl Content {
    fn read(
        found: &Found,
        config: &Config,
        options: &LoadOptions,
    ) -> Result<(Content, &'static str)> {
        let path = &found.file;
        let failed = |e: &dyn std::fmt::Display| ServeError::file(path, e);
        if Packed::is_packed(path) {
            return Ok((
                Content::Packed(Packed::open(path).map_err(|e| failed(&e))?),
                "edgecut_ecut",
            ));
        }
        if model::is_tflite(path) {
            let graph = tflite::import(path).map_err(|e| failed(&e))?;
            return Ok((Content::Graph(Box::new(graph)), "tensorflow_lite"));
        }
        let template = onnx::Template::open(path).map_err(|e| failed(&e))?;
        let shape = |name: &str| config.shapes.get(name).or_else(|| options.shapes.get(name));
        let shapes = template.inputs().iter().map(|input| input.name.as_str());
        let shapes: Vec<(&str, Vec<usize>)> =
            shapes.filter_map(|name| Some((name, shape(name)?.clone()))).collect();
        if let Some(name) = config.shapes.keys().find(|n| !shapes.iter().any(|(s, _)| s == n)) {
            return Err(failed(&format!("config.toml: shapes: '{name}' is no input")));
        }
        let graph = template.graph(&shapes).map_err(|e| failed(&e))?;
        for &input in &graph.inputs {
            let value = graph.value(input);
            if value.shape.dims().iter().skip(1).any(|dim| dim.fixed().is_none()) {
                let problem = format!(
                    "input '{}' is {}: more than its batch is open; give its shape, such as \
                     {} = [1, 3, 224, 224] below [shapes] in config.toml",
                    value.name, value.shape, value.name
                );
                return Err(failed(&problem));
            }
        }
        Ok((Content::Graph(Box::new(graph)), "onnx_edgecut"))
    }
}

/// The codecs beside a model, by input.
fn codecs(found: &Found, plans: &Plans) -> Result<Vec<Option<Codec>>> {
    let mut codecs: Vec<Option<Codec>> = plans.inputs().iter().map(|_| None).collect();
    for (index, path) in &found.codecs {
        let wrong = |problem: String| ServeError::file(path, problem);
        let size = std::fs::metadata(path).map_err(|e| ServeError::file(path, e))?.len();
        if size > MAX_CODEC_BYTES {
            return Err(wrong(format!("{size} bytes, at most {MAX_CODEC_BYTES}")));
        }
        let bytes = std::fs::read(path).map_err(|e| ServeError::file(path, e))?;
        let codec = Codec::from_bytes(&bytes).map_err(|e| wrong(e.to_string()))?;
        let port = plans.inputs().get(*index);
        let port = port.ok_or_else(|| wrong(format!("the model has no input {index}")))?;
        if codec.shape() != port.row_shape(1) || codec.dtype() != port.dtype {
            let made = format!("{} {:?}", codec.dtype(), codec.shape());
            let takes = format!("'{}' is {} {:?}", port.name, port.dtype, port.row_shape(1));
            return Err(wrong(format!("makes {made}, but input {takes}")));
        }
        codecs[*index] = Some(codec);
    }
    Ok(codecs)
}

/// How pictures become the input, if they do.
fn pictures(
    name: Option<&String>,
    metadata: &BTreeMap<String, String>,
    plans: &Plans,
) -> std::result::Result<Option<Preprocess>, String> {
    let [port] = plans.inputs() else {
        return name.map_or(Ok(None), |_| Err("preprocess: the model has several inputs".into()));
    };
    let described = || {
        let text = metadata.get(METADATA_KEY)?;
        Some(serde_json::from_str(text).map_err(|e| format!("metadata '{METADATA_KEY}': {e}")))
    };
    let &[_, c, h, w] = port.row_shape(1).as_slice() else {
        return name.map_or(Ok(None), |_| Err("preprocess: the model takes no pictures".into()));
    };
    let mut description: Preprocess = match (name, described()) {
        (Some(name), _) => {
            let known =
                || format!("preprocess '{name}': known are {}", Preprocess::PRESETS.join(", "));
            let mut preset = Preprocess::preset(name, h.max(w)).ok_or_else(known)?;
            (preset.height, preset.width) = (h, w);
            preset
        }
        (None, Some(described)) => described?,
        (None, None) => return Ok(None),
    };
    let alike = |values: &[f32]| values.windows(2).all(|pair| pair[0] == pair[1]);
    if name.is_some() && c == 1 && alike(&description.mean) && alike(&description.std) {
        description.channels = Channels::Gray;
        description.mean.truncate(1);
        description.std.truncate(1);
    }
    description.validate().map_err(|e| e.to_string())?;
    if port.dtype != DType::F32 || description.shape() != [h, w, c] {
        let problem = format!("the input is {} {:?}", port.dtype, port.row_shape(1));
        return Err(format!(
            "preprocessing makes float32 {:?} (height, width, channels), {problem}",
            description.shape()
        ));
    }
    Ok(Some(description))
}

/// Names that must not be empty, so that a path of REST can name them.
pub(super) fn check_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && !name.contains(['/', '\n', '"', '\\'])
}

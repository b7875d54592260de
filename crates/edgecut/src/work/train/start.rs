//! Training that begins with a model.

use std::path::Path;

use edgecut_graph::model::is_tflite as tflite;
use edgecut_graph::{Graph, Node, Op, onnx, passes};
use edgecut_train::FineTune;
use edgecut_train::data::Preprocess;
use edgecut_train::fine_tune::replace_head;
use edgecut_train::qat::Unfolded;

use super::Job;
use crate::errors::{Failure, Result};
use crate::settings::ModelSettings;
use crate::work::data;
use crate::work::model::{self, Model};

/// What training begins with.
pub struct Start {
    /// The network.
    pub graph: Graph,
    /// How pictures become its input.
    pub preprocess: Preprocess,
    /// Whether nobody said how: the mean and the spread of the data are used.
    pub assumed: bool,
    /// Nodes of a new head.
    pub head: Vec<String>,
}

/// The model at `path`, in the form that trains best, with a new head where one is asked for.
pub fn prepare(job: &Job, path: &Path) -> Result<Start> {
    let model = load(path, job.model.resolution)?;
    let (preprocess, assumed) = preprocess(job, &model)?;
    let mut graph = model.graph;
    let integers = |op: &Op| matches!(op, Op::Quantize { .. } | Op::Dequantize { .. });
    match graph.nodes.iter().find(|n| integers(&n.op)) {
        None => drop(passes::simplify(&mut graph)?),
        Some(node) => check_quantised(job, &graph, node).map_err(|e| e.at(path))?,
    }
    let classes = job.data.train.classes().len();
    let mut head = vec![];
    if let Some(wanted) = job.model.head {
        if wanted.classes != classes {
            let problem = format!("--head {wanted}: the data has {classes} classes");
            return Err(Failure::input(problem));
        }
        let (new, place) = replace_head(&graph, classes, job.settings.seed)
            .map_err(|e| Failure::from(e).at(path))?;
        graph = new;
        head.push(place.node);
        head.extend(place.bias);
    }
    let outputs = model::class_count(&graph).map_err(|e| e.at(path))?;
    if outputs != classes {
        let problem = format!("has {outputs} classes, the data has {classes}");
        let hint = format!("--head classes={classes} gives it a new last layer");
        return Err(Failure::input(problem).at(path).hint(hint));
    }
    Ok(Start { graph, preprocess, assumed, head })
}

/// A quantised model is trained as it is; `node` says that it is one.
fn check_quantised(job: &Job, graph: &Graph, node: &Node) -> Result<()> {
    let hint = "fine-tune the float model, and quantise it then";
    if job.model.head.is_some() {
        let problem = format!("--head: the model is quantised (node '{}')", node.name);
        return Err(Failure::input(problem).hint(hint));
    }
    if Unfolded::of(graph)?.is_none() {
        let problem =
            format!("is quantised (node '{}') in a form that cannot be trained", node.name);
        return Err(Failure::input(problem).hint(hint));
    }
    Ok(())
}

/// The model at `path`. Where it cannot be known for any batch, as when attention folds windows into
/// it, the model for a batch of 1: training needs no other.
fn load(path: &Path, resolution: Option<usize>) -> Result<Model> {
    match Model::load(path) {
        Err(failure) if !tflite(path) => of_one(path, resolution).ok_or(failure),
        loaded => loaded?.with_float_ports(),
    }
}

/// The ONNX model at `path` for one picture; open extents of it are `resolution`.
fn of_one(path: &Path, resolution: Option<usize>) -> Option<Model> {
    let template = onnx::Template::open(path).ok()?;
    let [input] = template.inputs() else { return None };
    let open = |axis: usize| if axis == 0 { Some(1) } else { resolution };
    let extents = input.shape.dims().iter().enumerate();
    let shape: Option<Vec<usize>> =
        extents.map(|(axis, dim)| dim.fixed().or_else(|| open(axis))).collect();
    let graph = template.graph(&[(&input.name, shape?)]).ok()?;
    Some(Model::of(path, graph, model::check(path).ok()?))
}

/// How pictures become the input: as the options or the file say, else with the mean and the spread
/// of the data; whether it is the latter.
fn preprocess(job: &Job, model: &Model) -> Result<(Preprocess, bool)> {
    let card = model.card();
    if let Some(said) = job.preprocessing.filter(|p| !p.is_auto() || card.codes.is_some()) {
        return Ok((said.choose(&card)?, false));
    }
    if let Some(known) = model.preprocess()? {
        return Ok((known, false));
    }
    let side = model::image_input(&model.graph)?[1];
    Ok((data::preprocess(&job.data.train, Some(side))?, true))
}

/// Which layers learn, and how fast.
pub fn fine_tune(settings: &ModelSettings, head: &[String]) -> FineTune {
    FineTune {
        freeze: settings.freeze.clone(),
        rates: settings.lr_mult.iter().map(|r| (r.pattern.clone(), r.factor)).collect(),
        layer_decay: settings.lr_decay_layers,
        fixed_statistics: settings.fixed_statistics,
        head: head.to_vec(),
    }
}

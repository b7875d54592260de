//! Models that run on inputs of any shape they admit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_graph::{Graph, GraphError, Shape, Tensor, onnx};
use edgecut_runtime::{Input, Model as Runnable};

use super::interface::float_ports;
use super::model::{self, Model};
use super::shapes::Shapes;
use crate::cli::Global;
use crate::errors::{Failure, Result};

/// A model file, compiled for each set of shapes that it is run at.
pub struct Runner {
    path: PathBuf,
    source: Source,
    model: Runnable,
}

/// Where graphs come from.
enum Source {
    /// All extents but the batch are known.
    Known(Model),
    /// The file leaves height, width or others open; graphs with numbers for 8-bit ports where
    /// `float` says so.
    Open { template: Arc<onnx::Template>, float: bool, file_bytes: u64 },
}

impl Runner {
    /// Opens the file at `path`. With `float`, 8-bit inputs and outputs become the numbers that
    /// they stand for.
    pub fn open(path: &Path, shapes: &Shapes, float: bool, global: &Global) -> Result<Runner> {
        let file_bytes = model::check(path)?;
        let source = match Runner::open_template(path, shapes).map_err(|e| e.at(path))? {
            Some(template) => Source::Open { template: Arc::new(template), float, file_bytes },
            None if float => Source::Known(Model::load_float(path, shapes)?),
            None => Source::Known(Model::load_with(path, shapes)?),
        };
        let model = match &source {
            Source::Known(model) => Runnable::new(model.graph.clone(), global.pool()),
            Source::Open { template, .. } => runnable(template.clone(), float, global),
        };
        Ok(Runner { path: path.to_path_buf(), source, model })
    }

    /// The file as a template, where `shapes` leave more than the batch of an input open.
    fn open_template(path: &Path, shapes: &Shapes) -> Result<Option<onnx::Template>> {
        if !shapes.is_empty() || edgecut_graph::model::is_tflite(path) {
            return Ok(None);
        }
        let template = onnx::Template::open(path)?;
        let open = template.inputs().iter().any(|i| is_open(&i.shape));
        Ok(open.then_some(template))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[Input] {
        self.model.inputs()
    }

    /// Whether the shapes of its inputs follow from what it is given.
    pub fn takes_any_shape(&self) -> bool {
        matches!(self.source, Source::Open { .. })
    }

    /// The model for `shapes`, one for each input.
    pub fn at(&self, shapes: &[Vec<usize>]) -> Result<Model> {
        match &self.source {
            Source::Known(model) => Ok(model.clone()),
            Source::Open { template, float, file_bytes } => {
                let graph = template.graph(&named(template, shapes));
                let graph = graph.map_err(|e| Failure::from(e).at(&self.path))?;
                let model = Model::of(&self.path, graph, *file_bytes);
                if *float { model.with_float_ports() } else { Ok(model) }
            }
        }
    }

    /// The outputs for `inputs`.
    pub fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.model.infer(inputs).map_err(|e| Failure::from(e).at(&self.path))
    }
}

fn named<'a>(template: &'a onnx::Template, shapes: &[Vec<usize>]) -> Vec<(&'a str, Vec<usize>)> {
    template.inputs().iter().map(|i| i.name.as_str()).zip(shapes.iter().cloned()).collect()
}

fn runnable(template: Arc<onnx::Template>, float: bool, global: &Global) -> Runnable {
    let input = |declared: &onnx::Declared| Input {
        name: declared.name.clone(),
        // An 8-bit input becomes the numbers that it stands for.
        dtype: if float && declared.dtype.is_quantised() {
            edgecut_graph::DType::F32
        } else {
            declared.dtype
        },
        shape: declared.shape.clone(),
    };
    let inputs = template.inputs().iter().map(input).collect();
    let make = move |shapes: &[Vec<usize>]| -> edgecut_runtime::Result<Graph> {
        let graph = template.graph(&named(&template, shapes))?;
        if !float {
            return Ok(graph);
        }
        let (graph, _) = float_ports(&graph).map_err(|failure| GraphError::Malformed {
            place: "ports".into(),
            problem: failure.message,
        })?;
        Ok(graph)
    };
    Runnable::from_fn(inputs, make, global.pool())
}

/// Whether more than the batch is open.
pub fn is_open(shape: &Shape) -> bool {
    shape.dims().iter().skip(1).any(|d| d.fixed().is_none())
}

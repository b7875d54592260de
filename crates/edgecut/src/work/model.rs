//! Model files: reading one with what it says about its input and its classes, and writing one.

use std::path::{Path, PathBuf};

use edgecut_graph::{DType, Dim, Graph, GraphError, Op, Shape, onnx, tflite};
use edgecut_train::data::Preprocess;
use edgecut_train::data::transform::METADATA_KEY;
use edgecut_train::trainer::CLASSES_KEY;

use super::interface::{Codes, float_ports};
use super::runner::is_open;
use super::shapes::Shapes;
use crate::errors::{Failure, Result};
use crate::inspect::summary::extents;

/// Most class names that are read from metadata.
const MAX_CLASSES: usize = 1 << 20;

/// A model file.
#[derive(Clone)]
pub struct Model {
    /// Where it is.
    pub path: PathBuf,
    /// What it computes.
    pub graph: Graph,
    /// Size of the file.
    pub file_bytes: u64,
    /// What the codes of its input stand for, where that is 8-bit in the file.
    codes: Option<Codes>,
}

impl Model {
    /// Reads the ONNX or TFLite file at `path`.
    ///
    /// # Errors
    /// File, node and operator of what is wrong.
    pub fn load(path: &Path) -> Result<Model> {
        Model::load_with(path, &Shapes::default())
    }

    /// As [`Model::load`], with shapes for inputs that the file leaves open; all but the batch must
    /// be known then.
    pub fn load_with(path: &Path, shapes: &Shapes) -> Result<Model> {
        let model = Model::load_open(path, shapes)?;
        let inputs = || model.graph.inputs.iter().map(|&id| model.graph.value(id));
        match inputs().find(|v| is_open(&v.shape)) {
            None => Ok(model),
            Some(input) => Err(open_shape(path, &input.name, &input.shape)),
        }
    }

    /// As [`Model::load_with`]; any extent may stay open.
    pub fn load_open(path: &Path, shapes: &Shapes) -> Result<Model> {
        let file_bytes = check(path)?;
        let graph = read(path, shapes).map_err(|e| e.at(path))?;
        Ok(Model::of(path, graph, file_bytes))
    }

    /// A graph of the file at `path`.
    pub fn of(path: &Path, graph: Graph, file_bytes: u64) -> Model {
        Model { path: path.to_path_buf(), graph, file_bytes, codes: None }
    }

    /// As [`Model::load_with`]; 8-bit inputs and outputs become the numbers that they stand for.
    pub fn load_float(path: &Path, shapes: &Shapes) -> Result<Model> {
        Model::load_with(path, shapes)?.with_float_ports()
    }

    /// The same model with numbers instead of 8-bit inputs and outputs.
    pub fn with_float_ports(mut self) -> Result<Model> {
        (self.graph, self.codes) = float_ports(&self.graph).map_err(|e| e.at(&self.path))?;
        Ok(self)
    }

    /// How pictures become its input, as the file says.
    pub fn preprocess(&self) -> Result<Option<Preprocess>> {
        let Some(text) = self.graph.metadata.get(METADATA_KEY) else { return Ok(None) };
        let bad =
            |e: String| Failure::input(format!("metadata '{METADATA_KEY}': {e}")).at(&self.path);
        let description: Preprocess = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        description.validate().map_err(|e| bad(e.to_string()))?;
        Ok(Some(description))
    }

    /// Names of its classes, as the file says; empty where it says nothing.
    pub fn classes(&self) -> Result<Vec<String>> {
        let Some(text) = self.graph.metadata.get(CLASSES_KEY) else { return Ok(vec![]) };
        let bad =
            |e: String| Failure::input(format!("metadata '{CLASSES_KEY}': {e}")).at(&self.path);
        let names: Vec<String> = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        if names.len() > MAX_CLASSES {
            return Err(bad(format!("{} names, at most {MAX_CLASSES}", names.len())));
        }
        Ok(names)
    }

    /// What the codes of its input stand for, where that is 8-bit in the file and
    /// [`Model::load_float`] read it.
    pub fn codes(&self) -> Option<Codes> {
        self.codes
    }
}

/// Size of the file at `path`, which must not be a folder.
pub fn check(path: &Path) -> Result<u64> {
    let meta = std::fs::metadata(path).map_err(|e| Failure::io(path, &e))?;
    if meta.is_dir() {
        return Err(Failure::input("is a folder, not a model file").at(path));
    }
    Ok(meta.len())
}

/// What to do about an input whose height and width are open.
pub fn open_shape(path: &Path, name: &str, shape: &Shape) -> Failure {
    let guess = |(i, d): (usize, &Dim)| d.fixed().unwrap_or(if i == 0 { 1 } else { 224 });
    let example: Vec<usize> = shape.dims().iter().enumerate().map(guess).collect();
    Failure::input(format!("input '{name}' is {shape}: more than its batch is open"))
        .at(path)
        .hint(format!("give its shape, such as --shape {name}={}", extents(&example)))
}

fn read(path: &Path, shapes: &Shapes) -> Result<Graph> {
    if edgecut_graph::model::is_tflite(path) {
        if !shapes.is_empty() {
            return Err(Failure::input("--shape: the shapes of a TFLite file are fixed"));
        }
        return Ok(tflite::import(path)?);
    }
    let template = onnx::Template::open(path)?;
    let names: Vec<&str> = template.inputs().iter().map(|i| i.name.as_str()).collect();
    template.graph(&shapes.resolve(&names)?).map_err(|error| match open_input(&error) {
        Some((input, shape)) => open_shape(path, input, shape),
        None => error.into(),
    })
}

/// The input whose open extents an error is about.
fn open_input(error: &GraphError) -> Option<(&str, &Shape)> {
    match error {
        GraphError::InFile { source, .. } => open_input(source),
        GraphError::NeedsShape { input, declared, .. } => Some((input, declared)),
        _ => None,
    }
}

/// `[c, h, w]` of the only input of an image network.
pub fn image_input(graph: &Graph) -> Result<[usize; 3]> {
    let not_image = |problem: String| Failure::input(format!("is not an image network: {problem}"));
    let &[input] = graph.inputs.as_slice() else {
        return Err(not_image(format!("it has {} inputs", graph.inputs.len())));
    };
    let value = graph.value(input);
    let dims = value.shape.dims();
    let fixed: Vec<usize> = dims.iter().skip(1).filter_map(|d| d.fixed()).collect();
    match (dims.len(), fixed.as_slice(), value.dtype) {
        (4, &[c, h, w], DType::F32) if c * h * w > 0 => Ok([c, h, w]),
        _ => Err(not_image(format!(
            "input '{}' is {} {}, expected float32 [n, c, h, w]",
            value.name, value.dtype, value.shape
        ))),
    }
}

/// Number of classes of a classifier: the last extent of its first output.
pub fn class_count(graph: &Graph) -> Result<usize> {
    let output = graph.outputs.first().map(|&o| graph.value(o));
    let classes = output.and_then(|o| {
        o.shape
            .dims()
            .get(1..)
            .unwrap_or_default()
            .iter()
            .map(|d| d.fixed())
            .product::<Option<usize>>()
    });
    classes.filter(|&c| c > 0).ok_or_else(|| {
        let shape = output.map_or("missing".into(), |o| o.shape.to_string());
        Failure::input(format!(
            "is not a classifier: its first output is {shape}, expected [n, classes]"
        ))
    })
}

/// Whether the first output is already a distribution over classes.
pub fn ends_in_softmax(graph: &Graph) -> bool {
    let Some(&output) = graph.outputs.first() else { return false };
    let (producers, mut value) = (graph.producers(), output);
    // Reshapes and quantisation after the Softmax change nothing about what the numbers are.
    loop {
        let Some(node) = producers[value.index()].map(|i| &graph.nodes[i]) else { return false };
        match (&node.op, node.inputs.first()) {
            (Op::Softmax { .. }, _) => return true,
            (
                Op::Reshape { .. }
                | Op::Flatten { .. }
                | Op::Squeeze { .. }
                | Op::Quantize { .. }
                | Op::Dequantize { .. },
                Some(&Some(input)),
            ) => value = input,
            _ => return false,
        }
    }
}

/// A format that models are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ONNX
    Onnx,
    /// TensorFlow Lite
    Tflite,
}

/// The format that a file's name says; ONNX where it has no extension.
pub fn format(path: &Path) -> Result<Format> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_lowercase).as_deref() {
        Some("tflite") => Ok(Format::Tflite),
        Some("onnx") | None => Ok(Format::Onnx),
        Some(other) => Err(Failure::input(format!("'.{other}' is no format that can be written"))
            .at(path)
            .hint("name it .onnx or .tflite")),
    }
}

/// Writes a model whole or not at all, in the format that the name says; the folder must exist.
pub fn save(graph: &Graph, path: &Path) -> Result<()> {
    match format(path)? {
        Format::Tflite => Ok(tflite::export(graph, path)?),
        Format::Onnx => Ok(onnx::export(graph, path)?),
    }
}

/// Stores how pictures become the input, unless the model says so already.
pub fn describe(graph: &mut Graph, preprocess: &Preprocess) -> Result<()> {
    let text = serde_json::to_string(preprocess).map_err(|e| Failure::input(e.to_string()))?;
    graph.metadata.entry(METADATA_KEY.into()).or_insert(text);
    Ok(())
}

//! Model files: reading one with what it says about its input and its classes, and writing one.

use std::path::{Path, PathBuf};

use edgecut_graph::{Dim, Graph, GraphError, Op, Shape, onnx, tflite};
use edgecut_runtime::{Input, Packed};
use edgecut_train::data::Preprocess;
use edgecut_train::data::transform::METADATA_KEY;

use super::card::{self, Card};
use super::interface::{Codes, float_ports};
use super::runner::is_open;
use super::shapes::Shapes;
use crate::errors::{Failure, Result};
use crate::inspect::summary::extents;

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

    /// What verbs need to know of it.
    pub fn card(&self) -> Card {
        Card::of(&self.path, &self.graph, self.codes)
    }

    /// How pictures become its input, as the file says.
    pub fn preprocess(&self) -> Result<Option<Preprocess>> {
        self.card().preprocess()
    }
}

/// Whether the file at `path` is a packed model, or should be one by its name.
pub fn is_packed(path: &Path) -> bool {
    Packed::is_packed(path) || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("ecut"))
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
    if is_packed(path) {
        return Err(Failure::input("is a packed model, which has no graph any more")
            .hint("give the model that it was converted from"));
    }
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
    let inputs: Vec<Input> = graph.inputs.iter().map(|&id| card::port(graph, id)).collect();
    card::image_input(&inputs)
}

/// Number of classes of a classifier: the last extent of its first output.
pub fn class_count(graph: &Graph) -> Result<usize> {
    card::class_count(graph.outputs.first().map(|&id| card::port(graph, id)).as_ref())
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
    /// Compiled and packed, for this kind of machine
    Ecut,
}

/// The format that a file's name says; ONNX where it has no extension.
pub fn format(path: &Path) -> Result<Format> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_lowercase).as_deref() {
        Some("tflite") => Ok(Format::Tflite),
        Some("onnx") | None => Ok(Format::Onnx),
        Some("ecut") => Ok(Format::Ecut),
        Some(other) => Err(Failure::input(format!("'.{other}' is no format that can be written"))
            .at(path)
            .hint("name it .onnx, .tflite or .ecut")),
    }
}

/// How ONNX files spell quantised operators.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Spelling {
    /// How quantised operators are written. qoperator: QLinearConv, QLinearMatMul, QGemm,
    /// QLinearAdd and their like, wherever each operator has a rounding of its own, which `quantize`
    /// then sees to as with --for onnxruntime; hard-swish and others that have no such operator
    /// stay float between DequantizeLinear and QuantizeLinear. ONNX only
    #[arg(long, value_enum, value_name = "FORM", default_value = "qdq")]
    pub format: Form,
}

/// A spelling of quantised operators.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Float operators between DequantizeLinear and QuantizeLinear
    #[default]
    Qdq,
    /// One node each, for runtimes that do not join those
    Qoperator,
}

impl Spelling {
    /// Fails where `path` is of a format that has no such choice.
    pub fn check(self, path: &Path) -> Result<()> {
        match self.format == Form::Qoperator && format(path)? != Format::Onnx {
            true => Err(Failure::input("--format qoperator: only ONNX files have it").at(path)),
            false => Ok(()),
        }
    }

    /// As an option of export.
    pub fn form(self) -> onnx::QuantisedForm {
        match self.format {
            Form::Qdq => onnx::QuantisedForm::Qdq,
            Form::Qoperator => onnx::QuantisedForm::QOperator,
        }
    }
}

/// Writes a model whole or not at all, in the format that the name says; the folder must exist.
pub fn save(graph: &Graph, path: &Path) -> Result<()> {
    save_as(graph, path, onnx::ExportOptions::default())
}

/// As [`save`], an ONNX file as `options` say.
pub fn save_as(graph: &Graph, path: &Path, options: onnx::ExportOptions) -> Result<()> {
    match format(path)? {
        Format::Tflite => Ok(tflite::export(graph, path)?),
        Format::Onnx => Ok(onnx::export_with(graph, path, options)?),
        Format::Ecut => Err(Failure::input("this verb writes no packed models")
            .at(path)
            .hint("write .onnx, then edgecut convert MODEL.onnx MODEL.ecut")),
    }
}

/// Stores how pictures become the input, unless the model says so already.
pub fn describe(graph: &mut Graph, preprocess: &Preprocess) -> Result<()> {
    let text = serde_json::to_string(preprocess).map_err(|e| Failure::input(e.to_string()))?;
    graph.metadata.entry(METADATA_KEY.into()).or_insert(text);
    Ok(())
}

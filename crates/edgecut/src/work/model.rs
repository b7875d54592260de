//! Model files: reading one with what it says about its input and its classes, and writing one.

use std::path::{Path, PathBuf};

use edgecut_graph::{DType, Graph, Op, onnx, tflite};
use edgecut_train::data::Preprocess;
use edgecut_train::data::transform::METADATA_KEY;
use edgecut_train::trainer::CLASSES_KEY;

use super::interface::{Codes, float_ports};
use super::shapes::Shapes;
use crate::errors::{Failure, Result};

/// Most class names that are read from metadata.
const MAX_CLASSES: usize = 1 << 20;

/// A model file.
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

    /// As [`Model::load`], with shapes for inputs that the file leaves open.
    pub fn load_with(path: &Path, shapes: &Shapes) -> Result<Model> {
        let meta = std::fs::metadata(path).map_err(|e| Failure::io(path, &e))?;
        if meta.is_dir() {
            return Err(Failure::input("is a folder, not a model file").at(path));
        }
        let graph = read(path, shapes).map_err(|e| e.at(path))?;
        Ok(Model { path: path.to_path_buf(), graph, file_bytes: meta.len(), codes: None })
    }

    /// As [`Model::load_with`]; 8-bit inputs and outputs become the numbers that they stand for.
    pub fn load_float(path: &Path, shapes: &Shapes) -> Result<Model> {
        let mut model = Model::load_with(path, shapes)?;
        (model.graph, model.codes) = float_ports(&model.graph).map_err(|e| e.at(path))?;
        Ok(model)
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

    /// The preprocessing to use: a preset or `auto`, which is what the file says.
    pub fn choose_preprocess(&self, choice: &str) -> Result<Preprocess> {
        let input = image_input(&self.graph).map_err(|e| e.at(&self.path))?;
        let description = if choice == "auto" {
            let pixels = self.codes.map(|codes| codes.pixels(Preprocess::tf(input[1])));
            self.preprocess()?.or(pixels).ok_or_else(|| {
                Failure::input("does not say how pictures become its input")
                    .at(&self.path)
                    .hint("say it: --preprocess torchvision, caffe, tf, lite0, cifar or pixels")
            })?
        } else {
            Preprocess::preset(choice, input[1]).ok_or_else(|| {
                Failure::input(format!(
                    "--preprocess {choice}: unknown; known: auto, {}",
                    Preprocess::PRESETS.join(", ")
                ))
            })?
        };
        let makes = [description.channels.count(), description.height, description.width];
        if makes != input {
            let (expected, found) = (shape_text(&input), shape_text(&makes));
            let problem =
                format!("the input is {expected}, preprocessing '{choice}' makes {found}");
            return Err(Failure::input(problem).at(&self.path));
        }
        Ok(description)
    }
}

fn read(path: &Path, shapes: &Shapes) -> Result<Graph> {
    if edgecut_graph::model::is_tflite(path) {
        if !shapes.is_empty() {
            return Err(Failure::input("--shape: the shapes of a TFLite file are fixed"));
        }
        return Ok(tflite::import(path)?);
    }
    if shapes.is_empty() {
        return Ok(onnx::import(path)?);
    }
    let template = onnx::Template::open(path)?;
    let names: Vec<&str> = template.inputs().iter().map(|i| i.name.as_str()).collect();
    Ok(template.graph(&shapes.resolve(&names)?)?)
}

fn shape_text(shape: &[usize; 3]) -> String {
    format!("{}x{}x{} (channels, height, width)", shape[0], shape[1], shape[2])
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
    let mut value = output;
    // Reshapes after the Softmax change nothing about what the numbers are.
    loop {
        let Some(node) = graph.nodes.iter().find(|n| n.outputs.contains(&value)) else {
            return false;
        };
        match (&node.op, node.inputs.first()) {
            (Op::Softmax { .. }, _) => return true,
            (Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. }, Some(&Some(input))) => {
                value = input
            }
            _ => return false,
        }
    }
}

/// Writes a model whole or not at all, in the format that the name says; the folder must exist.
pub fn save(graph: &Graph, path: &Path) -> Result<()> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_lowercase).as_deref() {
        Some("tflite") => Ok(tflite::export(graph, path)?),
        Some("onnx") | None => Ok(onnx::export(graph, path)?),
        Some(other) => Err(Failure::input(format!("'.{other}' is no format that can be written"))
            .at(path)
            .hint("name it .onnx or .tflite")),
    }
}

/// Stores how pictures become the input, unless the model says so already.
pub fn describe(graph: &mut Graph, preprocess: &Preprocess) -> Result<()> {
    let text = serde_json::to_string(preprocess).map_err(|e| Failure::input(e.to_string()))?;
    graph.metadata.entry(METADATA_KEY.into()).or_insert(text);
    Ok(())
}

//! What verbs need to know of a model beside what computes it: names, shapes, metadata. It outlives
//! the graph, whose weights are let go once they are packed, and a packed model has no graph at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edgecut_graph::{DType, Graph, Shape, ValueId};
use edgecut_runtime::{Facts, Input, Packed, Plan, Port};
use edgecut_train::data::Preprocess;
use edgecut_train::data::transform::METADATA_KEY;
use edgecut_train::trainer::CLASSES_KEY;

use super::interface::Codes;
use super::model::ends_in_softmax;
use crate::errors::{Failure, Result};

/// Most class names that are read from metadata.
const MAX_CLASSES: usize = 1 << 20;

/// The interface of a model.
#[derive(Clone, Debug)]
pub struct Card {
    /// Where the file is.
    pub path: PathBuf,
    /// What stands in the file beside the network.
    pub metadata: BTreeMap<String, String>,
    /// The inputs in order.
    pub inputs: Vec<Input>,
    /// The outputs in order.
    pub outputs: Vec<Input>,
    /// Whether the first output is a distribution over classes already.
    pub distribution: bool,
    /// What the codes of its first input stand for, where that is 8-bit in the file and a number
    /// here.
    pub codes: Option<Codes>,
}

impl Card {
    /// The card of a graph.
    pub fn of(path: &Path, graph: &Graph, codes: Option<Codes>) -> Card {
        let ports = |ids: &[ValueId]| ids.iter().map(|&id| port(graph, id)).collect();
        Card {
            path: path.to_path_buf(),
            metadata: graph.metadata.clone(),
            inputs: ports(&graph.inputs),
            outputs: ports(&graph.outputs),
            distribution: ends_in_softmax(graph),
            codes,
        }
    }

    /// Position of the data's first class in the output: 1 where a background class stands in front.
    /// TensorFlow's ImageNet models have one, which makes 1001 outputs.
    pub fn label_offset(&self) -> Result<usize> {
        let first = self.classes()?.into_iter().next();
        Ok(match first {
            Some(name) => name.eq_ignore_ascii_case("background").into(),
            None => (self.class_count()? == 1001).into(),
        })
    }

    /// The card of a plan of a packed model.
    pub fn of_packed(path: &Path, packed: &Packed, plan: &Plan) -> Card {
        let facts: &Facts = packed.facts();
        let input = |port: &Port| Input {
            name: port.name.clone(),
            dtype: port.dtype,
            shape: Shape::fixed(&port.shape),
        };
        Card {
            path: path.to_path_buf(),
            metadata: facts.metadata.clone(),
            inputs: plan.inputs().iter().map(input).collect(),
            outputs: plan.outputs().iter().map(input).collect(),
            distribution: facts.distribution,
            codes: facts.pixel_codes.map(Codes::of),
        }
    }

    /// How pictures become its input, as the file says.
    pub fn preprocess(&self) -> Result<Option<Preprocess>> {
        let Some(text) = self.metadata.get(METADATA_KEY) else { return Ok(None) };
        let bad =
            |e: String| Failure::input(format!("metadata '{METADATA_KEY}': {e}")).at(&self.path);
        let description: Preprocess = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        description.validate().map_err(|e| bad(e.to_string()))?;
        Ok(Some(description))
    }

    /// Names of its classes, as the file says; empty where it says nothing.
    pub fn classes(&self) -> Result<Vec<String>> {
        let Some(text) = self.metadata.get(CLASSES_KEY) else { return Ok(vec![]) };
        let bad =
            |e: String| Failure::input(format!("metadata '{CLASSES_KEY}': {e}")).at(&self.path);
        let names: Vec<String> = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        if names.len() > MAX_CLASSES {
            return Err(bad(format!("{} names, at most {MAX_CLASSES}", names.len())));
        }
        Ok(names)
    }

    /// `[c, h, w]` of the only input of an image network.
    pub fn image_input(&self) -> Result<[usize; 3]> {
        image_input(&self.inputs).map_err(|e| e.at(&self.path))
    }

    /// Number of classes of a classifier: the last extent of its first output.
    pub fn class_count(&self) -> Result<usize> {
        class_count(self.outputs.first()).map_err(|e| e.at(&self.path))
    }
}

/// Name, type and shape of an input or output.
pub fn port(graph: &Graph, id: ValueId) -> Input {
    let value = graph.value(id);
    Input { name: value.name.clone(), dtype: value.dtype, shape: value.shape.clone() }
}

/// `[c, h, w]` of the only input of an image network.
pub fn image_input(inputs: &[Input]) -> Result<[usize; 3]> {
    let not_image = |problem: String| Failure::input(format!("is not an image network: {problem}"));
    let [value] = inputs else {
        return Err(not_image(format!("it has {} inputs", inputs.len())));
    };
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
pub fn class_count(output: Option<&Input>) -> Result<usize> {
    let rest = |o: &Input| {
        let dims = o.shape.dims().get(1..).unwrap_or_default();
        dims.iter().map(|d| d.fixed()).product::<Option<usize>>()
    };
    output.and_then(rest).filter(|&c| c > 0).ok_or_else(|| {
        let shape = output.map_or("missing".into(), |o| o.shape.to_string());
        Failure::input(format!(
            "is not a classifier: its first output is {shape}, expected [n, classes]"
        ))
    })
}

//! A decoded model whose inputs have not got their shapes yet.
//!
//! Some models are made for pictures of any size: their heights and widths are symbols, and the
//! arithmetic that exporters write around shapes can be evaluated only when numbers are known.
//! A template keeps the decoded file, with its constants in the graph's form; each instance
//! shares their elements.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::external::External;
use super::import::{Importer, Opsets, limit, malformed};
use super::order::order;
use super::proto::*;
use super::{DOC_STRING, scan, supported, tensors};
use crate::file::{self, check_size};
use crate::limits::{MAX_NODES, MAX_RANK, MAX_VALUES};
use crate::{DType, Dim, Graph, GraphError, Result, Shape, Tensor};

/// An input as the file declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Name
    pub name: String,
    /// Element type in the graph: float32 for all floats.
    pub dtype: DType,
    /// Extents. One without name or number is a symbol: `batch` for the first dimension,
    /// `INPUT_dimI` for others.
    pub shape: Shape,
}

/// A decoded ONNX model, from which graphs are made for given input shapes.
pub struct Template {
    /// File in errors.
    place: String,
    title: String,
    /// Without initializers.
    graph: GraphProto,
    opsets: Opsets,
    inputs: Vec<Declared>,
    initializers: Vec<(String, Tensor)>,
    /// Tensors of Constant nodes, by index.
    constants: HashMap<usize, Tensor>,
    order: Vec<usize>,
    metadata: BTreeMap<String, String>,
}

impl Template {
    /// Reads the model at `path`; external data is looked up in its folder. Errors name the file,
    /// and where in it: [`GraphError::InFile`].
    pub fn open(path: &Path) -> Result<Template> {
        let place = path.display().to_string();
        let bytes = file::read(path)?;
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let template = Template::decode(
            &place,
            &stem.unwrap_or_default(),
            bytes.into(),
            External::beside(path),
        );
        match template {
            // Already names the file.
            Err(error @ GraphError::Io { .. }) => Err(error),
            result => result.map_err(|source| source.in_file(&place)),
        }
    }

    /// As [`Template::open`], from memory. `name` names the model in errors, and becomes its name
    /// where the file gives none. External data is refused.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Template> {
        check_size(bytes.len() as u64)
            .and_then(|()| {
                let bytes = Bytes::copy_from_slice(bytes);
                Template::decode(name, name, bytes, External::none())
            })
            .map_err(|source| source.in_file(name))
    }

    fn decode(place: &str, name: &str, bytes: Bytes, mut external: External) -> Result<Template> {
        check_size(bytes.len() as u64)?;
        scan::check(&bytes)?;
        let model = ModelProto::decode(bytes).map_err(|e| GraphError::Malformed {
            place: "file".into(),
            problem: format!("not an ONNX file, or damaged: {e}"),
        })?;
        let opsets = Opsets::of(&model);
        let Some(mut graph) = model.graph else {
            return malformed("file", "has no graph: not an ONNX model, or truncated");
        };
        let opsets = opsets?;
        if !graph.sparse_initializer.is_empty() {
            return malformed("graph", "has sparse initializers, which edgecut does not read");
        }
        limit("graph", "number of nodes", graph.node.len() as u64, MAX_NODES as u64)?;
        let values = graph.initializer.len() + graph.input.len();
        limit("graph", "number of values", values as u64, MAX_VALUES as u64)?;
        let initializers = initializers(&mut graph, &mut external)?;
        let constants = constants(&mut graph, &mut external)?;
        detach(&mut graph);
        let known: std::collections::HashSet<&str> =
            initializers.iter().map(|(name, _)| name.as_str()).collect();
        let inputs = declared(&graph, |name| known.contains(name))?;
        let given: std::collections::HashSet<&str> =
            inputs.iter().map(|input| input.name.as_str()).collect();
        let order = order(&graph, |name| known.contains(name) || given.contains(name))?;
        let about = model.doc_string.filter(|text| !text.is_empty());
        let about = about.map(|text| (DOC_STRING.to_string(), text));
        let entries = model.metadata_props.into_iter();
        let metadata = entries
            .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()))
            .chain(about)
            .collect();
        let title = if graph.name().is_empty() { name } else { graph.name() }.to_string();
        let place = place.to_string();
        Ok(Template {
            place,
            title,
            graph,
            opsets,
            inputs,
            initializers,
            constants,
            order,
            metadata,
        })
    }

    /// The inputs, in the order of the file. An input that has an initializer is a constant.
    pub fn inputs(&self) -> &[Declared] {
        &self.inputs
    }

    /// The graph for `shapes`, given by names of inputs. A symbol that a given shape fixes is fixed
    /// in the other inputs too; those that stay may only be the batch. All arithmetic on fixed
    /// shapes is done. Fails where a shape does not fit the declared one, or where one is missing:
    /// [`GraphError::NeedsShape`].
    pub fn graph(&self, shapes: &[(&str, Vec<usize>)]) -> Result<Graph> {
        self.build(shapes).map_err(|source| source.in_file(&self.place))
    }

    fn build(&self, shapes: &[(&str, Vec<usize>)]) -> Result<Graph> {
        let inputs = self.fixed(shapes)?;
        self.import(&inputs).map_err(|source| needs_shape(&inputs, source))
    }

    fn import(&self, inputs: &[Declared]) -> Result<Graph> {
        let mut importer = Importer::new(&self.title, &self.graph);
        for (name, tensor) in &self.initializers {
            importer.bind_constant(name.clone(), tensor.clone())?;
        }
        for input in inputs {
            importer.add_input(input);
        }
        for &index in &self.order {
            importer.node(&self.graph, index, &self.opsets, self.constants.get(&index))?;
        }
        importer.outputs(&self.graph)?;
        let mut graph = importer.graph;
        graph.metadata = self.metadata.clone();
        graph.remove_unused();
        graph.validate()?;
        Ok(graph)
    }

    /// The inputs with the shapes given.
    fn fixed(&self, shapes: &[(&str, Vec<usize>)]) -> Result<Vec<Declared>> {
        let mut symbols: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, given) in shapes {
            let Some(input) = self.inputs.iter().find(|input| input.name == *name) else {
                let names: Vec<&str> = self.inputs.iter().map(|i| i.name.as_str()).collect();
                let problem = format!("is no input of the model; it has {}", names.join(", "));
                return malformed(format!("shape for '{name}'"), problem);
            };
            crate::checked_len(given, &format!("input '{name}'"))?;
            if !input.shape.admits(given, &mut symbols) {
                return Err(GraphError::Shape {
                    place: format!("input '{name}'"),
                    problem: format!("is declared {}, cannot be {given:?}", input.shape),
                });
            }
        }
        let fix = |dim: &Dim| match dim {
            Dim::Symbol(symbol) => {
                symbols.get(&**symbol).map_or_else(|| dim.clone(), |&n| Dim::Fixed(n))
            }
            fixed => fixed.clone(),
        };
        let shape = |input: &Declared| Shape::new(input.shape.dims().iter().map(fix).collect());
        Ok(self.inputs.iter().map(|i| Declared { shape: shape(i), ..i.clone() }).collect())
    }
}

/// Where an unknown extent may be the cause of an error, the error that says what to do.
fn needs_shape(inputs: &[Declared], source: GraphError) -> GraphError {
    let unknown = |skip: usize| {
        let symbolic =
            |i: &&Declared| i.shape.dims().iter().skip(skip).any(|d| d.fixed().is_none());
        inputs.iter().find(symbolic)
    };
    let about_shapes = match &source {
        GraphError::Node { .. } | GraphError::Shape { .. } => true,
        GraphError::Unsupported { op, .. } => supported().contains(&op.as_str()),
        _ => false,
    };
    // An unknown batch is what graphs are made for: it is the cause only where a number is missing.
    let missing = source.to_string().contains("fixed");
    match unknown(1).or_else(|| unknown(0).filter(|_| missing)) {
        Some(input) if about_shapes => GraphError::NeedsShape {
            input: input.name.clone(),
            declared: input.shape.clone(),
            source: Box::new(source),
        },
        _ => source,
    }
}

/// Initializers. Their messages are dropped one by one, so that a tensor and its encoded form
/// coexist for one tensor at a time.
fn initializers(proto: &mut GraphProto, external: &mut External) -> Result<Vec<(String, Tensor)>> {
    let stored = std::mem::take(&mut proto.initializer);
    let mut tensors = Vec::with_capacity(stored.len());
    let mut names = std::collections::HashSet::with_capacity(stored.len());
    for (index, stored) in stored.into_iter().enumerate() {
        let name = stored.name().to_string();
        let place = format!("initializer '{name}'");
        if name.is_empty() {
            return malformed(format!("initializer {index}"), "has no name");
        }
        if !names.insert(name.clone()) {
            return malformed(place, "is defined twice");
        }
        let tensor = tensors::tensor(&stored, &place, external)?;
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

/// Tensors of Constant nodes, taken out of their messages.
fn constants(proto: &mut GraphProto, external: &mut External) -> Result<HashMap<usize, Tensor>> {
    let mut constants = HashMap::new();
    for (index, node) in proto.node.iter_mut().enumerate() {
        let standard = matches!(node.domain(), "" | "ai.onnx");
        let [attribute] = &mut node.attribute[..] else { continue };
        if !standard || node.op_type.as_deref() != Some("Constant") || attribute.name() != "value" {
            continue;
        }
        let Some(stored) = attribute.t.take() else { continue };
        let place = format!("constant of node '{}'", node.name.as_deref().unwrap_or_default());
        constants.insert(index, tensors::tensor(&stored, &place, external)?);
        node.attribute.clear();
    }
    Ok(constants)
}

/// Copies the few bytes that still belong to the file's buffer, so that it can be freed.
fn detach(proto: &mut GraphProto) {
    for attribute in proto.node.iter_mut().flat_map(|n| &mut n.attribute) {
        let tensor = attribute.t.as_mut().and_then(|t| t.raw_data.as_mut());
        for bytes in attribute.s.as_mut().into_iter().chain(tensor) {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    }
}

fn declared(proto: &GraphProto, constant: impl Fn(&str) -> bool) -> Result<Vec<Declared>> {
    let mut seen = std::collections::HashSet::new();
    let mut inputs = vec![];
    for info in &proto.input {
        let name = info.name();
        let place = format!("input '{name}'");
        if name.is_empty() || !seen.insert(name) {
            return malformed(place, "has no name of its own");
        }
        if constant(name) {
            continue;
        }
        let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
            return malformed(place, "is not a dense tensor");
        };
        let kind = data_type::name(tensor.elem_type());
        let Some(dtype) = tensors::dtype(tensor.elem_type()) else {
            return malformed(place, format!("has element type {kind}, which is not supported"));
        };
        let Some(shape) = &tensor.shape else {
            return malformed(place, "declares no shape: export the model with shapes");
        };
        limit(&place, "number of dimensions", shape.dim.len() as u64, MAX_RANK as u64)?;
        let shape = input_shape(name, shape);
        shape.len_with(1, &place)?;
        inputs.push(Declared { name: name.to_string(), dtype, shape });
    }
    Ok(inputs)
}

fn input_shape(name: &str, shape: &TensorShapeProto) -> Shape {
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| {
        match (dim.dim_value(), dim.dim_param().trim()) {
            (value, _) if value > 0 => Dim::Fixed(usize::try_from(value).unwrap_or(usize::MAX)),
            // What exporters write for "unknown".
            (_, "" | "?" | "-1" | "None") if axis == 0 => Dim::from("batch"),
            (_, "" | "?" | "-1" | "None") => Dim::from(format!("{name}_dim{axis}").as_str()),
            (_, symbol) => Dim::from(symbol),
        }
    });
    Shape::new(dims.collect())
}

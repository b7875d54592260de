//! From the bytes of a file to a checked graph.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::attributes::Attributes;
use super::external::External;
use super::node::{Meaning, NodeIn};
use super::order::{label, order};
use super::proto::*;
use super::shapes::Items;
use super::{MAX_OPSET, MIN_OPSET, operators, scan, shapes, tensors};
use crate::limits::{MAX_FILE_BYTES, MAX_FOLDED_ELEMENTS, MAX_NODES, MAX_RANK, MAX_VALUES};
use crate::{Dim, Graph, GraphError, Node, Op, ReshapeDim, Result, Shape, Tensor, ValueId};

/// Reads the model at `path`; external data is looked up in its folder. Float16, bfloat16 and
/// float64 become float32; an input extent without a name or number becomes a symbol: `batch` for
/// the first dimension, `INPUT_dimI` for others. Inputs that have an initializer are constants.
///
/// Errors name the file, and where in it: [`GraphError::InFile`].
pub fn import(path: &Path) -> Result<Graph> {
    let place = path.display().to_string();
    let read = || -> Result<Graph> {
        let io = |source| GraphError::Io { path: place.clone(), source };
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        check_size(size)?;
        let mut bytes = Vec::with_capacity(size as usize);
        // One more byte than allowed shows a file that grew, or a device without end.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        model(&stem, bytes.into(), External::beside(path))
    };
    match read() {
        // Already names the file.
        Err(error @ GraphError::Io { .. }) => Err(error),
        result => result.map_err(|source| source.in_file(&place)),
    }
}

/// As [`import`], from memory. `name` names the model in errors, and becomes its name where the
/// file gives none. External data is refused.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Graph> {
    check_size(bytes.len() as u64)
        .and_then(|()| model(name, Bytes::copy_from_slice(bytes), External::none()))
        .map_err(|source| source.in_file(name))
}

fn check_size(size: u64) -> Result<()> {
    limit("file", "size in bytes", size, MAX_FILE_BYTES)
}

fn limit(place: &str, what: &'static str, value: u64, limit: u64) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    Err(GraphError::Limit { place: place.into(), what, value, limit })
}

fn malformed<T>(place: impl Into<String>, problem: impl Into<String>) -> Result<T> {
    Err(GraphError::Malformed { place: place.into(), problem: problem.into() })
}

fn model(name: &str, bytes: Bytes, external: External) -> Result<Graph> {
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

    let title = if graph.name().is_empty() { name } else { graph.name() };
    let mut importer = Importer::new(title, &graph, external);
    importer.constants(&mut graph)?;
    importer.inputs(&graph)?;
    for index in order(&graph, |name| importer.slots.contains_key(name))? {
        importer.node(&graph, index, &opsets)?;
    }
    importer.outputs(&graph)?;
    for entry in model.metadata_props {
        let (key, value) = (entry.key.unwrap_or_default(), entry.value.unwrap_or_default());
        importer.graph.metadata.insert(key, value);
    }
    let mut graph = importer.graph;
    graph.remove_unused();
    graph.validate()?;
    Ok(graph)
}

/// Operator sets of a file.
struct Opsets {
    default: i64,
    others: HashMap<String, i64>,
    functions: HashSet<(String, String)>,
}

impl Opsets {
    fn of(model: &ModelProto) -> Result<Opsets> {
        let mut others = HashMap::new();
        for entry in &model.opset_import {
            let domain = canonical_domain(entry.domain());
            if others.insert(domain.to_string(), entry.version()).is_some() {
                return malformed("opset_import", format!("names domain '{domain}' twice"));
            }
        }
        let functions = model.functions.iter().map(|f| (f.domain().into(), f.name().into()));
        match others.remove("") {
            Some(default @ MIN_OPSET..=MAX_OPSET) => {
                Ok(Opsets { default, others, functions: functions.collect() })
            }
            Some(version) => malformed(
                "opset_import",
                format!(
                    "the model uses opset {version}; {MIN_OPSET} to {MAX_OPSET} are supported: \
                     convert it with onnx.version_converter"
                ),
            ),
            None => malformed("opset_import", "names no version of the standard operators"),
        }
    }
}

fn canonical_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// What is known about a name of the file.
pub(super) enum Slot {
    /// A value of the graph.
    Value(ValueId),
    /// A shape computation, evaluated; no value yet.
    Items(Items),
}

/// The graph under construction, and what the file's names mean in it.
pub(super) struct Importer {
    pub graph: Graph,
    pub slots: HashMap<String, Slot>,
    values: Names,
    nodes: Names,
    /// Elements read and made by constant folding so far.
    folded: usize,
    external: External,
}

impl Importer {
    fn new(title: &str, proto: &GraphProto, external: External) -> Importer {
        let mut values = Names::default();
        let infos = proto.input.iter().chain(&proto.output).map(|i| i.name());
        let tensors = proto.initializer.iter().map(|t| t.name());
        let outputs = proto.node.iter().flat_map(|n| &n.output).map(String::as_str);
        values.taken.extend(infos.chain(tensors).chain(outputs).map(String::from));
        Importer {
            graph: Graph::new(title),
            slots: HashMap::new(),
            values,
            nodes: Names::default(),
            folded: 0,
            external,
        }
    }

    /// Initializers. Their messages are dropped one by one, so that a tensor and its encoded form
    /// coexist for one tensor at a time.
    fn constants(&mut self, proto: &mut GraphProto) -> Result<()> {
        for (index, stored) in std::mem::take(&mut proto.initializer).into_iter().enumerate() {
            let name = stored.name().to_string();
            let place = format!("initializer '{name}'");
            if name.is_empty() {
                return malformed(format!("initializer {index}"), "has no name");
            }
            if self.slots.contains_key(&name) {
                return malformed(place, "is defined twice");
            }
            let tensor = tensors::tensor(&stored, &place, &mut self.external)?;
            self.bind_constant(name, tensor)?;
        }
        Ok(())
    }

    fn inputs(&mut self, proto: &GraphProto) -> Result<()> {
        let mut seen = HashSet::new();
        for info in &proto.input {
            let name = info.name();
            let place = format!("input '{name}'");
            if name.is_empty() || !seen.insert(name) {
                return malformed(place, "has no name of its own");
            }
            if self.slots.contains_key(name) {
                continue;
            }
            let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
                return malformed(place, "is not a dense tensor");
            };
            let kind = data_type::name(tensor.elem_type());
            let Some(dtype) = tensors::dtype(tensor.elem_type()) else {
                return malformed(
                    place,
                    format!("has element type {kind}, which is not supported"),
                );
            };
            let Some(shape) = &tensor.shape else {
                return malformed(place, "declares no shape: export the model with shapes");
            };
            limit(&place, "number of dimensions", shape.dim.len() as u64, MAX_RANK as u64)?;
            let shape = input_shape(name, shape);
            shape.len_with(1, &place)?;
            let id = self.graph.add_input(name, dtype, shape);
            self.slots.insert(name.to_string(), Slot::Value(id));
        }
        Ok(())
    }

    fn node(&mut self, proto: &GraphProto, index: usize, opsets: &Opsets) -> Result<()> {
        let node = &proto.node[index];
        let domain = canonical_domain(node.domain());
        let mut view = NodeIn {
            proto: node,
            name: self.nodes.fresh(&label(proto, index)),
            opset: if domain.is_empty() {
                opsets.default
            } else {
                opsets.others.get(domain).copied().unwrap_or(0)
            },
            attributes: Attributes::new(&[]).expect("no attributes"),
        };
        view.attributes = view.attribute(Attributes::new(&node.attribute))?;
        if opsets.functions.contains(&(node.domain().into(), node.op_type().into())) {
            return Err(view.unsupported("it is a function of the model: inline it (onnx.inliner)"));
        }
        if !domain.is_empty() {
            return Err(view.unsupported(operators::list()));
        }
        if node.output.first().is_none_or(|o| o.is_empty()) {
            return Err(view.malformed("has no first output"));
        }
        let meaning = match shapes::evaluate(self, &mut view)? {
            Some(meaning) => meaning,
            None => operators::map(self, &mut view)?,
        };
        if let Some(name) = view.attributes.untaken() {
            return Err(view.unsupported(format!("attribute '{name}' is not supported")));
        }
        self.bind(&view, meaning)
    }

    fn bind(&mut self, node: &NodeIn, meaning: Meaning) -> Result<()> {
        let outputs = &node.proto.output;
        match meaning {
            Meaning::Op(op, inputs) => {
                self.compute(node.name.clone(), op, inputs, &outputs[0])?;
            }
            Meaning::Each(each) => {
                for (index, (op, inputs)) in each.into_iter().enumerate() {
                    let Some(output) = outputs.get(index).filter(|o| !o.is_empty()) else {
                        continue;
                    };
                    let name = self.nodes.fresh(&format!("{}_{index}", stem(&node.name)));
                    self.compute(name, op, inputs, output)?;
                }
            }
            Meaning::Same(id) => {
                self.slots.insert(outputs[0].clone(), Slot::Value(id));
            }
            Meaning::Constant(tensor) => {
                self.bind_constant(outputs[0].clone(), tensor)?;
            }
            Meaning::Items(items) => {
                // Four times the 8 bytes that the limit reckons with.
                self.count_folded(4 * items.items().len(), &node.name)?;
                self.slots.insert(outputs[0].clone(), Slot::Items(items));
            }
        }
        Ok(())
    }

    /// Adds `op` under `name`, with its result under the file's name `output`.
    fn compute(
        &mut self,
        name: String,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        output: &str,
    ) -> Result<ValueId> {
        let node = Node { name, op, inputs, outputs: vec![] };
        let id = self.push(node, output.to_string())?;
        self.slots.insert(output.to_string(), Slot::Value(id));
        Ok(id)
    }

    /// Adds an operator that stands for a part of `node`, and returns its result.
    pub fn part(
        &mut self,
        node: &NodeIn,
        part: &str,
        op: Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<ValueId> {
        let name = format!("{}_{part}", stem(&node.name));
        let (name, output) = (self.nodes.fresh(&name), self.values.fresh(&name));
        self.push(Node { name, op, inputs, outputs: vec![] }, output)
    }

    /// Adds a node, or its result where that is constant.
    fn push(&mut self, mut node: Node, output: String) -> Result<ValueId> {
        let (dtype, shape) = crate::infer::infer_node(&self.graph, &node)?.swap_remove(0);
        if let Some(tensor) = self.fold(&node, &shape)? {
            self.check_room()?;
            return Ok(self.graph.add_constant(output, tensor));
        }
        self.check_room()?;
        let id = self.graph.add_value(output, dtype, shape);
        node.outputs.push(id);
        self.graph.nodes.push(node);
        Ok(id)
    }

    /// The result of a node of constants, where the work is linear in the elements read and made,
    /// and the limit on them is not exhausted. Dequantize stays: folding it would undo
    /// quantisation.
    fn fold(&mut self, node: &Node, shape: &Shape) -> Result<Option<Tensor>> {
        let cheap = !matches!(
            node.op,
            Op::Conv(_)
                | Op::Gemm(_)
                | Op::MatMul
                | Op::MaxPool(_)
                | Op::AveragePool(_)
                | Op::Dequantize { .. }
        );
        let constant = node.inputs.iter().flatten().all(|&id| self.graph.constant(id).is_some());
        let Some(dims) = shape.to_fixed().filter(|_| cheap && constant) else { return Ok(None) };
        let read = node.inputs.iter().flatten().filter_map(|&id| self.graph.constant(id));
        let read = read.map(Tensor::len).fold(0, usize::saturating_add);
        let count = dims.iter().product::<usize>().saturating_add(read);
        match self.folded.checked_add(count).filter(|&sum| sum <= MAX_FOLDED_ELEMENTS) {
            Some(sum) => self.folded = sum,
            None => return Ok(None),
        }
        let none = vec![None; node.inputs.len()];
        Ok(crate::interpret::run_node(&self.graph, node, &none)?.pop())
    }

    /// Counts elements of a constant that is not stored in the file.
    pub fn count_folded(&mut self, count: usize, place: &str) -> Result<()> {
        self.folded = self.folded.saturating_add(count);
        let (value, most) = (self.folded as u64, MAX_FOLDED_ELEMENTS as u64);
        limit(place, "number of elements of computed constants", value, most)
    }

    fn check_room(&self) -> Result<()> {
        let (nodes, values) = (self.graph.nodes.len() as u64, self.graph.values().len() as u64);
        limit("graph", "number of nodes", nodes + 1, MAX_NODES as u64)?;
        limit("graph", "number of values", values + 1, MAX_VALUES as u64)
    }

    /// Adds a constant under a new name like `name`.
    pub fn add_constant(&mut self, name: &str, tensor: Tensor) -> Result<ValueId> {
        self.check_room()?;
        let name = self.values.fresh(stem(name));
        Ok(self.graph.add_constant(name, tensor))
    }

    fn bind_constant(&mut self, name: String, tensor: Tensor) -> Result<ValueId> {
        self.check_room()?;
        let id = self.graph.add_constant(name.clone(), tensor);
        self.slots.insert(name, Slot::Value(id));
        Ok(id)
    }

    /// Reads the tensor of an attribute.
    pub fn stored(&mut self, proto: &TensorProto, place: &str) -> Result<Tensor> {
        tensors::tensor(proto, place, &mut self.external)
    }

    /// What is known about the elements of a name: a shape computation, or a small constant.
    pub fn items(&self, name: &str) -> Option<Items> {
        match self.slots.get(name)? {
            Slot::Items(items) => Some(items.clone()),
            Slot::Value(id) => Items::of(self.graph.constant(*id)?),
        }
    }

    fn outputs(&mut self, proto: &GraphProto) -> Result<()> {
        if proto.output.is_empty() {
            return malformed("graph", "has no outputs");
        }
        let mut seen = HashSet::new();
        let mut claimed = HashSet::new();
        let computed: HashSet<ValueId> =
            self.graph.nodes.iter().flat_map(|n| n.outputs.clone()).collect();
        for info in &proto.output {
            let name = info.name();
            let place = format!("output '{name}'");
            if !seen.insert(name) {
                return malformed(place, "is listed twice");
            }
            let mut id = match self.slots.get(name) {
                Some(Slot::Value(id)) => *id,
                Some(Slot::Items(items)) => match items.tensor() {
                    Some(tensor) => self.graph.add_constant(name, tensor),
                    None => return malformed(place, format!("is a symbolic shape, {items}")),
                },
                None => {
                    let problem = "no node computes it, or only as an additional output (an index \
                                   or mask), which edgecut does not compute";
                    return malformed(place, problem);
                }
            };
            if self.graph.value(id).name != name {
                // The name belongs to the interface, so what was aliased takes it; a value that
                // already has such a name is copied.
                if computed.contains(&id) && !claimed.contains(&id) {
                    self.graph.value_mut(id).name = name.to_string();
                } else {
                    let dims = vec![ReshapeDim::Copy; self.graph.value(id).shape.rank()];
                    let copy = self.nodes.fresh(&format!("{}_copy", stem(name)));
                    let (op, inputs) = (Op::Reshape { dims }, vec![Some(id)]);
                    let node = Node { name: copy, op, inputs, outputs: vec![] };
                    id = self.push(node, name.to_string())?;
                }
            }
            claimed.insert(id);
            self.check_output_type(info, id)?;
            self.graph.outputs.push(id);
        }
        Ok(())
    }

    fn check_output_type(&self, info: &ValueInfoProto, id: ValueId) -> Result<()> {
        let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let declared = tensor.and_then(|t| tensors::dtype(t.elem_type()));
        let computed = self.graph.value(id).dtype;
        match declared {
            Some(declared) if declared != computed => malformed(
                format!("output '{}'", info.name()),
                format!("is declared {declared}, but computed as {computed}"),
            ),
            _ => Ok(()),
        }
    }
}

fn input_shape(name: &str, shape: &TensorShapeProto) -> Shape {
    let dims =
        shape.dim.iter().enumerate().map(|(axis, dim)| match (dim.dim_value(), dim.dim_param()) {
            (value, _) if value > 0 => Dim::Fixed(usize::try_from(value).unwrap_or(usize::MAX)),
            (_, "") if axis == 0 => Dim::from("batch"),
            (_, "") => Dim::from(format!("{name}_dim{axis}").as_str()),
            (_, symbol) => Dim::from(symbol),
        });
    Shape::new(dims.collect())
}

/// The beginning of a name, for names made from it: one long name in the file must not become a
/// hundred thousand.
fn stem(name: &str) -> &str {
    name.char_indices().nth(64).map_or(name, |(end, _)| &name[..end])
}

/// Names in use. Numbers continue where the last search for a stem ended, so that a hundred
/// thousand nodes without a name cost as many steps, not their square.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    next: HashMap<String, usize>,
}

impl Names {
    /// `stem`, or it with the first free number. Taken from now on.
    fn fresh(&mut self, stem: &str) -> String {
        let mut name = stem.to_string();
        while !self.taken.insert(name.clone()) {
            let next = self.next.entry(stem.to_string()).or_insert(0);
            *next += 1;
            name = format!("{stem}_{next}");
        }
        name
    }
}

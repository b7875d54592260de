//! From the bytes of a file to a checked graph.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::attributes::Attributes;
use super::external::External;
use super::items::Items;
use super::node::{Meaning, NodeIn};
use super::order::label;
use super::proto::*;
use super::template::{Declared, Template};
use super::{MAX_OPSET, MIN_OPSET, operators, shapes, tensors};
use crate::limits::{MAX_FOLDED_ELEMENTS, MAX_NODES, MAX_VALUES};
use crate::{DType, Graph, GraphError, Node, Op, ReshapeDim, Result, Shape, Tensor, ValueId};

/// Reads the model at `path`: [`Template::open`], with the shapes that the file declares.
/// Float16, bfloat16 and float64 become float32; inputs that have an initializer are constants.
///
/// Errors name the file, and where in it: [`GraphError::InFile`].
pub fn import(path: &Path) -> Result<Graph> {
    Template::open(path)?.graph(&[])
}

/// As [`import`], from memory. `name` names the model in errors, and becomes its name where the
/// file gives none. External data is refused.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Graph> {
    Template::from_bytes(name, bytes)?.graph(&[])
}

pub(super) fn limit(place: &str, what: &'static str, value: u64, limit: u64) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    Err(GraphError::Limit { place: place.into(), what, value, limit })
}

pub(super) fn malformed<T>(place: impl Into<String>, problem: impl Into<String>) -> Result<T> {
    Err(GraphError::Malformed { place: place.into(), problem: problem.into() })
}

/// Operator sets of a file.
pub(super) struct Opsets {
    default: i64,
    others: HashMap<String, i64>,
    functions: HashSet<(String, String)>,
}

impl Opsets {
    pub fn of(model: &ModelProto) -> Result<Opsets> {
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
    pub(super) values: Names,
    pub(super) nodes: Names,
    /// Elements read and made by constant folding so far.
    folded: usize,
}

impl Importer {
    pub fn new(title: &str, proto: &GraphProto) -> Importer {
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
        }
    }

    pub fn add_input(&mut self, input: &Declared) {
        let id = self.graph.add_input(&*input.name, input.dtype, input.shape.clone());
        self.slots.insert(input.name.clone(), Slot::Value(id));
    }

    /// Imports one node. `constant` is its tensor where it is a Constant.
    pub fn node(
        &mut self,
        proto: &GraphProto,
        index: usize,
        opsets: &Opsets,
        constant: Option<&Tensor>,
    ) -> Result<()> {
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
        if node.output.first().is_none_or(|o| o.is_empty()) {
            return Err(view.malformed("has no first output"));
        }
        if let Some(tensor) = constant {
            return self.bind(&view, Meaning::Constant(tensor.clone()));
        }
        let evaluated = if domain.is_empty() { shapes::evaluate(self, &mut view)? } else { None };
        let meaning = match evaluated {
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
            Meaning::Outputs(op, inputs) => {
                let made = Node { name: node.name.clone(), op, inputs, outputs: vec![] };
                let made = self.push_all(made, outputs)?;
                self.bind_values(outputs, &made);
            }
            Meaning::Values(values) => self.bind_values(outputs, &values),
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

    fn bind_values(&mut self, outputs: &[String], values: &[ValueId]) {
        for (output, &id) in outputs.iter().zip(values).filter(|(output, _)| !output.is_empty()) {
            self.slots.insert(output.clone(), Slot::Value(id));
        }
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

    /// Adds a node of one output, or its result where that is constant.
    pub(super) fn push(&mut self, node: Node, output: String) -> Result<ValueId> {
        let (name, op) = (node.name.clone(), node.op.name());
        match self.push_all(node, &[output])?[..] {
            [id] => Ok(id),
            _ => Err(GraphError::Node { node: name, op, problem: "has several outputs".into() }),
        }
    }

    /// Adds a node, or its results where they are constant. Outputs without a name in `names` get
    /// a fresh one.
    fn push_all(&mut self, mut node: Node, names: &[String]) -> Result<Vec<ValueId>> {
        while node.inputs.last().is_some_and(Option::is_none) {
            node.inputs.pop();
        }
        let types = crate::infer::infer_node(&self.graph, &node)?;
        let mut names: Vec<Option<String>> =
            names.iter().map(|n| (!n.is_empty()).then(|| n.clone())).collect();
        names.resize(types.len(), None);
        let folded = self.fold(&node, &types)?;
        let mut ids = Vec::with_capacity(types.len());
        for (index, (dtype, shape)) in types.into_iter().enumerate() {
            self.check_room()?;
            let name = names[index].take();
            let name = name.unwrap_or_else(|| {
                self.values.fresh(&format!("{}_output{index}", stem(&node.name)))
            });
            ids.push(match &folded {
                Some(tensors) => self.graph.add_constant(name, tensors[index].clone()),
                None => self.graph.add_value(name, dtype, shape),
            });
        }
        if folded.is_none() {
            node.outputs.clone_from(&ids);
            self.graph.nodes.push(node);
        }
        Ok(ids)
    }

    /// The results of a node of constants, where the work is linear in the elements read and made,
    /// and the limit on them is not exhausted. Dequantize stays: folding it would undo
    /// quantisation. What fails stays too: it is an error of the run, as in other runtimes.
    fn fold(&mut self, node: &Node, types: &[(DType, Shape)]) -> Result<Option<Vec<Tensor>>> {
        let cheap = !matches!(
            node.op,
            Op::Conv(_)
                | Op::ConvTranspose(_)
                | Op::ConvInteger(_)
                | Op::Gemm(_)
                | Op::MatMul
                | Op::MatMulInteger
                | Op::MaxPool(_)
                | Op::AveragePool(_)
                | Op::LpPool { .. }
                | Op::Resize(_)
                | Op::Dequantize { .. }
        );
        let constant = node.inputs.iter().flatten().all(|&id| self.graph.constant(id).is_some());
        if !cheap || !constant {
            return Ok(None);
        }
        let mut count = 0usize;
        for (_, shape) in types {
            let Some(dims) = shape.to_fixed() else { return Ok(None) };
            count = count.saturating_add(dims.iter().product());
        }
        let read = node.inputs.iter().flatten().filter_map(|&id| self.graph.constant(id));
        let count = read.map(Tensor::len).fold(count, usize::saturating_add);
        match self.folded.checked_add(count).filter(|&sum| sum <= MAX_FOLDED_ELEMENTS) {
            Some(sum) => self.folded = sum,
            None => return Ok(None),
        }
        let none = vec![None; node.inputs.len()];
        Ok(crate::interpret::run_node(&self.graph, node, &none).ok())
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

    pub fn bind_constant(&mut self, name: String, tensor: Tensor) -> Result<ValueId> {
        self.check_room()?;
        let id = self.graph.add_constant(name.clone(), tensor);
        self.slots.insert(name, Slot::Value(id));
        Ok(id)
    }

    /// Reads the tensor of an attribute.
    pub fn stored(&mut self, proto: &TensorProto, place: &str) -> Result<Tensor> {
        tensors::tensor(proto, place, &mut External::none())
    }

    /// What is known about the elements of a name: a shape computation, or a small constant.
    pub fn items(&self, name: &str) -> Option<Items> {
        match self.slots.get(name)? {
            Slot::Items(items) => Some(items.clone()),
            Slot::Value(id) => Items::of(self.graph.constant(*id)?),
        }
    }

    pub fn outputs(&mut self, proto: &GraphProto) -> Result<()> {
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

/// The beginning of a name, for names made from it: one long name in the file must not become a
/// hundred thousand.
pub(super) fn stem(name: &str) -> &str {
    name.char_indices().nth(64).map_or(name, |(end, _)| &name[..end])
}

/// Names in use. Numbers continue where the last search for a stem ended, so that a hundred
/// thousand nodes without a name cost as many steps, not their square.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    next: HashMap<String, usize>,
}

impl Names {
    /// `stem`, or it with the first free number. Taken from now on.
    pub fn fresh(&mut self, stem: &str) -> String {
        let mut name = stem.to_string();
        while !self.taken.insert(name.clone()) {
            let next = self.next.entry(stem.to_string()).or_insert(0);
            *next += 1;
            name = format!("{stem}_{next}");
        }
        name
    }
}

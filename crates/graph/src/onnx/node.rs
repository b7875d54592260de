//! What the mapping of one operator sees: the node, its attributes, and the values it reads.

use super::attributes::Attributes;
use super::import::{Importer, Slot};
use super::items::Items;
use super::proto::{NodeProto, data_type};
use super::tensors;
use crate::{DType, GraphError, Op, Result, Shape, Tensor, ValueId};

/// One node of the file, being imported.
pub(super) struct NodeIn<'a> {
    pub proto: &'a NodeProto,
    /// Name in the graph.
    pub name: String,
    /// Version of the operator set that the node belongs to.
    pub opset: i64,
    pub attributes: Attributes<'a>,
}

/// What a node means in the graph.
pub(super) enum Meaning {
    /// An operator on values.
    Op(Op, Vec<Option<ValueId>>),
    /// One operator whose outputs are those of the node, in order. The node may leave some out.
    Outputs(Op, Vec<Option<ValueId>>),
    /// Values that exist already, one for each output of the node.
    Values(Vec<ValueId>),
    /// One operator for each output.
    Each(Vec<(Op, Vec<Option<ValueId>>)>),
    /// Another name for a value.
    Same(ValueId),
    /// A stored tensor.
    Constant(Tensor),
    /// Part of a shape computation.
    Items(Items),
}

impl<'a> NodeIn<'a> {
    /// An error that names the node, operator, domain and opset.
    pub fn unsupported(&self, reason: impl Into<String>) -> GraphError {
        GraphError::Unsupported {
            node: self.name.clone(),
            op: self.proto.op_type().to_string(),
            domain: self.proto.domain().to_string(),
            opset: self.opset,
            reason: reason.into(),
        }
    }

    /// An error about a node that contradicts the ONNX specification.
    pub fn malformed(&self, problem: impl Into<String>) -> GraphError {
        GraphError::Malformed {
            place: format!("node '{}' ({})", self.name, self.proto.op_type()),
            problem: problem.into(),
        }
    }

    /// Names the node in the error of an attribute.
    pub fn attribute<T>(&self, taken: std::result::Result<T, String>) -> Result<T> {
        taken.map_err(|problem| self.malformed(problem))
    }

    /// An integer attribute or its default.
    pub fn int(&mut self, name: &str, default: i64) -> Result<i64> {
        let taken = self.attributes.int(name);
        Ok(self.attribute(taken)?.unwrap_or(default))
    }

    /// An integer attribute that is not negative, or its default.
    pub fn count(&mut self, name: &str, default: i64) -> Result<usize> {
        let value = self.int(name, default)?;
        usize::try_from(value).map_err(|_| {
            self.malformed(format!("attribute '{name}' is {value}, must not be negative"))
        })
    }

    /// A yes-or-no attribute or its default.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        let taken = self.attributes.flag(name, default);
        self.attribute(taken)
    }

    /// A number attribute or its default.
    pub fn float(&mut self, name: &str, default: f32) -> Result<f32> {
        let taken = self.attributes.float(name);
        Ok(self.attribute(taken)?.unwrap_or(default))
    }

    /// An attribute of integers.
    pub fn ints(&mut self, name: &str) -> Result<Option<&'a [i64]>> {
        let taken = self.attributes.ints(name);
        self.attribute(taken)
    }

    /// An attribute of text.
    pub fn string(&mut self, name: &str) -> Result<Option<&'a str>> {
        let taken = self.attributes.string(name);
        self.attribute(taken)
    }

    /// Name of input `index`, where the node has it.
    pub fn input(&self, index: usize) -> Option<&'a str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Whether output `index` has a name, which something may read.
    pub fn has_output(&self, index: usize) -> bool {
        self.proto.output.get(index).is_some_and(|name| !name.is_empty())
    }

    /// The graph's element type for the value `kind` of attribute `name`.
    pub fn element_type(&self, name: &str, kind: i64) -> Result<DType> {
        let known = i32::try_from(kind).ok().and_then(tensors::dtype);
        known.ok_or_else(|| {
            let kind = i32::try_from(kind).map_or_else(|_| kind.to_string(), data_type::name);
            self.unsupported(format!("attribute '{name}' asks for {kind}, no type of edgecut"))
        })
    }

    /// The value at input `index`.
    pub fn value(&self, importer: &mut Importer, index: usize) -> Result<ValueId> {
        match self.optional(importer, index)? {
            Some(id) => Ok(id),
            None => Err(self.malformed(format!("input {index} is missing"))),
        }
    }

    /// The value at input `index`, or `None` where the node leaves it out.
    pub fn optional(&self, importer: &mut Importer, index: usize) -> Result<Option<ValueId>> {
        let Some(name) = self.input(index) else { return Ok(None) };
        match importer.slots.get(name) {
            Some(Slot::Value(id)) => Ok(Some(*id)),
            Some(Slot::Items(items)) => {
                let tensor = items.tensor().ok_or_else(|| {
                    self.unsupported(format!(
                        "input {index} ('{name}') is {items}: extents that are known only when \
                         the model runs can only become shapes; export with fixed extents"
                    ))
                })?;
                let id = importer.add_constant(name, tensor)?;
                importer.slots.insert(name.to_string(), Slot::Value(id));
                Ok(Some(id))
            }
            None => Err(self.unsupported(format!(
                "reads '{name}', an additional output that edgecut does not compute"
            ))),
        }
    }

    /// All inputs as values, for operators that take any number.
    pub fn all_values(&self, importer: &mut Importer) -> Result<Vec<ValueId>> {
        (0..self.proto.input.len()).map(|index| self.value(importer, index)).collect()
    }

    /// The first `count` inputs, absent ones as `None`. More inputs are an error.
    pub fn values(&self, importer: &mut Importer, count: usize) -> Result<Vec<Option<ValueId>>> {
        if (count..self.proto.input.len()).any(|index| self.input(index).is_some()) {
            let has = self.proto.input.len();
            return Err(self.malformed(format!("has {has} inputs, takes at most {count}")));
        }
        (0..count.min(self.proto.input.len())).map(|i| self.optional(importer, i)).collect()
    }

    /// The integers at input `index`, known at import; `None` where the input is absent.
    pub fn constant_ints(&self, importer: &Importer, index: usize) -> Result<Option<Vec<i64>>> {
        let Some(name) = self.input(index) else { return Ok(None) };
        let known = importer.items(name).and_then(|items| items.ints());
        match known {
            Some(ints) => Ok(Some(ints)),
            None => Err(self.unsupported(format!(
                "input {index} ('{name}') must be a constant of few integers"
            ))),
        }
    }

    /// The single integer at input `index`, known at import.
    pub fn constant_int(&self, importer: &Importer, index: usize) -> Result<i64> {
        match self.constant_ints(importer, index)?.as_deref() {
            Some(&[value]) => Ok(value),
            _ => Err(self.malformed(format!("input {index} must be one integer"))),
        }
    }

    /// The single number at input `index`, known at import; `None` where the input is absent.
    pub fn constant_float(&self, importer: &mut Importer, index: usize) -> Result<Option<f32>> {
        let Some(id) = self.optional(importer, index)? else { return Ok(None) };
        let single = importer.graph.constant(id).filter(|t| t.len() == 1);
        match single.map(Tensor::to_f32) {
            Some(values) => Ok(values.first().copied()),
            None => Err(self.unsupported(format!("input {index} must be a constant number"))),
        }
    }

    /// Integers given as an attribute up to some opset and as input `index` later.
    pub fn axes(
        &mut self,
        importer: &Importer,
        name: &str,
        index: usize,
    ) -> Result<Option<Vec<i64>>> {
        match self.ints(name)? {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.constant_ints(importer, index),
        }
    }

    /// A dimension counted from the front, below `rank`; negative ones count from the back.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let signed = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        match signed.and_then(|a| usize::try_from(a).ok()).filter(|&a| a < rank) {
            Some(axis) => Ok(axis),
            None => Err(self.malformed(format!("axis {axis} is outside {rank} dimensions"))),
        }
    }

    /// Several dimensions, ascending; fails where one is named twice.
    pub fn sorted_axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        let mut sorted: Vec<usize> =
            axes.iter().map(|&a| self.axis(a, rank)).collect::<Result<_>>()?;
        sorted.sort_unstable();
        match sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(self.malformed(format!("axes {axes:?} name a dimension twice"))),
            false => Ok(sorted),
        }
    }

    /// Shape of a value.
    pub fn shape(&self, importer: &Importer, id: ValueId) -> Shape {
        importer.graph.value(id).shape.clone()
    }

    /// Element type of a value.
    pub fn dtype(&self, importer: &Importer, id: ValueId) -> DType {
        importer.graph.value(id).dtype
    }
}

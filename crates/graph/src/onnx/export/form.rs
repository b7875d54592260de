//! What a node of the graph looks like in ONNX: attributes, and inputs.

use crate::onnx::proto::AttributeProto;
use crate::onnx::write::{self, Small};
use crate::{DType, Data, Graph, Node, Result, Shape, Tensor};

/// What writing one node needs to see.
pub(super) struct Context<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    /// Operator set of the file.
    pub opset: i64,
    pub small: &'a mut Small,
}

impl<'a> Context<'a> {
    /// The shape of input `index`.
    pub fn shape(&self, index: usize) -> Result<&'a Shape> {
        Ok(&self.graph.value(self.node.input(index)?).shape)
    }

    /// The element type of input `index`.
    pub fn dtype(&self, index: usize) -> Result<DType> {
        Ok(self.graph.value(self.node.input(index)?).dtype)
    }

    /// The form of a node without attributes: its inputs, absent ones at the end left out.
    pub fn plain(&self) -> Form {
        let name = |id: &Option<crate::ValueId>| {
            id.map(|id| self.graph.value(id).name.clone()).unwrap_or_default()
        };
        let mut inputs: Vec<String> = self.node.inputs.iter().map(name).collect();
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        Form { attributes: vec![], inputs }
    }

    /// Name of a stored vector of int64.
    pub fn vector(&mut self, stem: &str, values: impl IntoIterator<Item = usize>) -> String {
        let values: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
        self.small.int_vector(stem, values)
    }

    /// Name of a stored scalar of input 0's type, which must be able to hold `value`.
    pub fn scalar(&mut self, stem: &str, value: f32) -> Result<String> {
        let data: Data = match self.dtype(0)? {
            DType::F32 => vec![value].into(),
            DType::U8 => vec![value as u8].into(),
            DType::I8 => vec![value as i8].into(),
            DType::I32 => vec![value as i32].into(),
            DType::I64 => vec![value as i64].into(),
            DType::Bool => vec![value != 0.0].into(),
        };
        Ok(self.small.name(stem, &Tensor::new([], data)?))
    }
}

/// Attributes and inputs of a node in the file, in order.
pub(super) struct Form {
    pub attributes: Vec<AttributeProto>,
    pub inputs: Vec<String>,
}

impl Form {
    pub fn int(mut self, name: &str, value: impl Into<Int>) -> Form {
        self.attributes.push(write::int(name, value.into().0));
        self
    }

    pub fn float(mut self, name: &str, value: f32) -> Form {
        self.attributes.push(write::float(name, value));
        self
    }

    pub fn ints(mut self, name: &str, values: &[usize]) -> Form {
        self.attributes.push(write::ints(name, values));
        self
    }

    pub fn text(mut self, name: &str, value: &str) -> Form {
        self.attributes.push(write::text(name, value));
        self
    }

    pub fn input(mut self, name: String) -> Form {
        self.inputs.push(name);
        self
    }
}

/// A number or a flag, as an integer attribute.
pub(super) struct Int(i64);

impl From<usize> for Int {
    fn from(value: usize) -> Int {
        Int(value as i64)
    }
}

impl From<bool> for Int {
    fn from(value: bool) -> Int {
        Int(value.into())
    }
}

impl From<i32> for Int {
    fn from(value: i32) -> Int {
        Int(value.into())
    }
}

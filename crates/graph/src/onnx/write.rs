//! Pieces of ONNX messages, written.

use std::collections::{HashMap, HashSet};

use super::proto::*;
use super::tensors;
use crate::{DType, Data, Dim, Shape, Tensor};

/// A stored tensor: little-endian raw bytes.
pub(super) fn tensor(name: &str, tensor: &Tensor) -> TensorProto {
    fn bytes<T: Copy, const N: usize>(values: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&v| f(v)).collect()
    }
    let raw = match tensor.data() {
        Data::F32(v) => bytes(v, f32::to_le_bytes),
        Data::U8(v) => v.to_vec(),
        Data::I8(v) => bytes(v, i8::to_le_bytes),
        Data::I32(v) => bytes(v, i32::to_le_bytes),
        Data::I64(v) => bytes(v, i64::to_le_bytes),
        Data::Bool(v) => bytes(v, |b| [u8::from(b)]),
    };
    TensorProto {
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        data_type: Some(tensors::data_type(tensor.dtype())),
        name: Some(name.to_string()),
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    }
}

/// A typed and shaped name.
pub(super) fn value_info(name: &str, dtype: DType, shape: &Shape) -> ValueInfoProto {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(n) => DimensionProto { dim_value: Some(*n as i64), dim_param: None },
        Dim::Symbol(s) => DimensionProto { dim_value: None, dim_param: Some(s.to_string()) },
    };
    let shape = TensorShapeProto { dim: shape.dims().iter().map(dim).collect() };
    let elem_type = Some(tensors::data_type(dtype));
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(shape) });
    ValueInfoProto { name: Some(name.to_string()), r#type: Some(TypeProto { tensor_type }) }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    let base = attribute(name, attribute_type::INT);
    AttributeProto { i: Some(value), ..base }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    let base = attribute(name, attribute_type::FLOAT);
    AttributeProto { f: Some(value), ..base }
}

pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let base = attribute(name, attribute_type::INTS);
    AttributeProto { ints: values.iter().map(|&v| v as i64).collect(), ..base }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    let name = Some(name.to_string());
    AttributeProto { name, r#type: Some(kind), ..AttributeProto::default() }
}

/// Initializers that stand for attributes of the graph, such as the bounds of Clip. Equal ones
/// are stored once.
pub(super) struct Small {
    taken: HashSet<String>,
    names: HashMap<(i32, Vec<i64>, Vec<u8>), String>,
    pub made: Vec<TensorProto>,
}

impl Small {
    /// `taken` are the names that must not be used.
    pub fn new(taken: HashSet<String>) -> Small {
        Small { taken, names: HashMap::new(), made: vec![] }
    }

    /// Name of an initializer with this content; `stem` is used where it is new.
    pub fn name(&mut self, stem: &str, content: &Tensor) -> String {
        let proto = tensor("", content);
        let raw = proto.raw_data.as_deref().unwrap_or_default().to_vec();
        let key = (proto.data_type(), proto.dims.clone(), raw);
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let mut numbered = (0..).map(|i| format!("{stem}_{i}"));
        let name = numbered.find(|n| !self.taken.contains(n)).expect("endless range");
        self.taken.insert(name.clone());
        self.names.insert(key, name.clone());
        self.made.push(TensorProto { name: Some(name.clone()), ..proto });
        name
    }

    /// Name of a vector of int64.
    pub fn int_vector(&mut self, stem: &str, values: Vec<i64>) -> String {
        self.name(stem, &Tensor::vector(values))
    }
}

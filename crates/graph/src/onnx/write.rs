//! Pieces of ONNX messages, written.

use std::collections::{HashMap, HashSet};

use super::proto::*;
use super::tensors;
use crate::{DType, Dim, Shape, Tensor};

/// A stored tensor without its elements.
pub(super) fn tensor_head(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        data_type: Some(tensors::data_type(tensor.dtype())),
        name: Some(name.to_string()),
        ..TensorProto::default()
    }
}

/// A stored tensor whose elements are in the file `location`, from `offset` on.
pub(super) fn external_tensor(
    name: &str,
    tensor: &Tensor,
    location: &str,
    offset: u64,
) -> TensorProto {
    let external_data = vec![
        entry("location", location),
        entry("offset", &offset.to_string()),
        entry("length", &tensor.bytes().to_string()),
    ];
    let data_location = Some(tensors::EXTERNAL);
    TensorProto { external_data, data_location, ..tensor_head(name, tensor) }
}

/// A key and a value.
pub(super) fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_string()), value: Some(value.to_string()) }
}

/// A stored tensor: little-endian raw bytes.
pub(super) fn tensor(name: &str, tensor: &Tensor) -> TensorProto {
    let raw = tensor.to_le_bytes();
    TensorProto { raw_data: Some(raw.into()), ..tensor_head(name, tensor) }
}

/// A stored tensor of int8 in 4 bits an element, which are enough for it.
pub(super) fn int4_tensor(name: &str, tensor: &Tensor, values: &[i8]) -> TensorProto {
    TensorProto {
        data_type: Some(data_type::INT4),
        raw_data: Some(tensors::int4(values).into()),
        ..tensor_head(name, tensor)
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

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let base = attribute(name, attribute_type::STRING);
    AttributeProto { s: Some(value.as_bytes().to_vec().into()), ..base }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    let name = Some(name.to_string());
    AttributeProto { name, r#type: Some(kind), ..AttributeProto::default() }
}

/// Initializers that stand for attributes of the graph, such as the bounds of Clip. Equal ones
/// are stored once.
pub(super) struct Small {
    taken: HashSet<String>,
    /// First number not yet tried for each stem.
    next: HashMap<String, usize>,
    names: HashMap<(i32, Vec<i64>, Vec<u8>), String>,
    pub made: Vec<TensorProto>,
}

impl Small {
    /// `taken` are the names that must not be used.
    pub fn new(taken: HashSet<String>) -> Small {
        Small { taken, next: HashMap::new(), names: HashMap::new(), made: vec![] }
    }

    /// Name of an initializer with this content; `stem` is used where it is new.
    pub fn name(&mut self, stem: &str, content: &Tensor) -> String {
        let proto = tensor("", content);
        let raw = proto.raw_data.as_deref().unwrap_or_default().to_vec();
        let key = (proto.data_type(), proto.dims.clone(), raw);
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let next = self.next.entry(stem.to_string()).or_insert(0);
        let name = loop {
            let name = format!("{stem}_{next}");
            *next += 1;
            if self.taken.insert(name.clone()) {
                break name;
            }
        };
        self.names.insert(key, name.clone());
        self.made.push(TensorProto { name: Some(name.clone()), ..proto });
        name
    }

    /// Name of a vector of int64.
    pub fn int_vector(&mut self, stem: &str, values: Vec<i64>) -> String {
        self.name(stem, &Tensor::vector(values))
    }
}

//! Dense tensors: a shape, and shared immutable elements in row-major order.

use std::fmt;
use std::sync::Arc;

use crate::limits::{MAX_ELEMENTS, MAX_RANK};
use crate::{GraphError, Result};

/// Element type of a tensor.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// Boolean, one byte.
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            DType::U8 | DType::I8 | DType::Bool => 1,
            DType::F32 | DType::I32 => 4,
            DType::I64 => 8,
        }
    }

    /// Whether this is an 8-bit type that quantised tensors use.
    pub fn is_quantised(self) -> bool {
        matches!(self, DType::U8 | DType::I8)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "float32",
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::Bool => "bool",
        })
    }
}

/// Shared elements of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// float32
    F32(Arc<[f32]>),
    /// uint8
    U8(Arc<[u8]>),
    /// int8
    I8(Arc<[i8]>),
    /// int32
    I32(Arc<[i32]>),
    /// int64
    I64(Arc<[i64]>),
    /// bool
    Bool(Arc<[bool]>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(d) => d.len(),
            Data::U8(d) => d.len(),
            Data::I8(d) => d.len(),
            Data::I32(d) => d.len(),
            Data::I64(d) => d.len(),
            Data::Bool(d) => d.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::U8(_) => DType::U8,
            Data::I8(_) => DType::I8,
            Data::I32(_) => DType::I32,
            Data::I64(_) => DType::I64,
            Data::Bool(_) => DType::Bool,
        }
    }
}

macro_rules! data_from {
    ($($variant:ident: $t:ty),*) => {$(
        impl From<Vec<$t>> for Data {
            fn from(v: Vec<$t>) -> Data {
                Data::$variant(v.into())
            }
        }
    )*};
}
data_from!(F32: f32, U8: u8, I8: i8, I32: i32, I64: i64, Bool: bool);

/// A dense tensor. Clones share the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// Number of elements of a shape, or an error where it exceeds the limits.
pub fn checked_len(shape: &[usize], place: &str) -> Result<usize> {
    if shape.len() > MAX_RANK {
        return Err(GraphError::Limit {
            place: place.into(),
            what: "number of dimensions",
            value: shape.len() as u64,
            limit: MAX_RANK as u64,
        });
    }
    // A zero anywhere must not hide an overflow elsewhere: bound the product of the others.
    let bound = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    match bound {
        Some(n) if n <= MAX_ELEMENTS => Ok(shape.iter().product()),
        _ => Err(GraphError::Limit {
            place: place.into(),
            what: "number of elements",
            value: bound.map_or(u64::MAX, |n| n as u64),
            limit: MAX_ELEMENTS as u64,
        }),
    }
}

impl Tensor {
    /// A tensor of `shape` over `data`. Fails where the counts disagree.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Data>) -> Result<Tensor> {
        let (shape, data) = (shape.into(), data.into());
        let expected = checked_len(&shape, "tensor")?;
        if expected != data.len() {
            return Err(GraphError::Shape {
                place: "tensor".into(),
                problem: format!("shape {shape:?} needs {expected} elements, got {}", data.len()),
            });
        }
        Ok(Tensor { shape, data })
    }

    /// A tensor without dimensions that holds one number.
    pub fn scalar(value: f32) -> Tensor {
        Tensor { shape: vec![], data: vec![value].into() }
    }

    /// A vector.
    pub fn vector<T>(values: Vec<T>) -> Tensor
    where
        Data: From<Vec<T>>,
    {
        Tensor { shape: vec![values.len()], data: values.into() }
    }

    /// A float32 tensor of zeros; `shape` must be within the limits.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        let shape = shape.into();
        let len = checked_len(&shape, "tensor")?;
        Tensor::new(shape, vec![0f32; len])
    }

    /// Extents, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Size of the elements in bytes.
    pub fn bytes(&self) -> usize {
        self.len() * self.dtype().bytes()
    }

    /// The elements, little-endian; a bool is a byte.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        fn bytes<T: Copy, const N: usize>(values: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
            values.iter().flat_map(|&v| f(v)).collect()
        }
        match &self.data {
            Data::F32(v) => bytes(v, f32::to_le_bytes),
            Data::U8(v) => v.to_vec(),
            Data::I8(v) => bytes(v, i8::to_le_bytes),
            Data::I32(v) => bytes(v, i32::to_le_bytes),
            Data::I64(v) => bytes(v, i64::to_le_bytes),
            Data::Bool(v) => bytes(v, |b| [u8::from(b)]),
        }
    }

    /// The same elements under another shape of equal count.
    pub fn reshaped(&self, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        Tensor::new(shape, self.data.clone())
    }

    fn wrong_type(&self, expected: DType) -> GraphError {
        GraphError::Type { name: String::new(), found: self.dtype(), expected }
    }

    /// The elements of a float32 tensor.
    pub fn f32s(&self) -> Result<&[f32]> {
        match &self.data {
            Data::F32(d) => Ok(d),
            _ => Err(self.wrong_type(DType::F32)),
        }
    }

    /// The elements of an int64 tensor.
    pub fn i64s(&self) -> Result<&[i64]> {
        match &self.data {
            Data::I64(d) => Ok(d),
            _ => Err(self.wrong_type(DType::I64)),
        }
    }

    /// The elements of an int32 tensor.
    pub fn i32s(&self) -> Result<&[i32]> {
        match &self.data {
            Data::I32(d) => Ok(d),
            _ => Err(self.wrong_type(DType::I32)),
        }
    }

    /// The elements of a uint8 tensor.
    pub fn u8s(&self) -> Result<&[u8]> {
        match &self.data {
            Data::U8(d) => Ok(d),
            _ => Err(self.wrong_type(DType::U8)),
        }
    }

    /// The elements of an int8 tensor.
    pub fn i8s(&self) -> Result<&[i8]> {
        match &self.data {
            Data::I8(d) => Ok(d),
            _ => Err(self.wrong_type(DType::I8)),
        }
    }

    /// The elements of any integer or boolean tensor, widened to int64.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        Ok(match &self.data {
            Data::U8(d) => d.iter().map(|&v| v.into()).collect(),
            Data::I8(d) => d.iter().map(|&v| v.into()).collect(),
            Data::I32(d) => d.iter().map(|&v| v.into()).collect(),
            Data::I64(d) => d.to_vec(),
            Data::Bool(d) => d.iter().map(|&v| v.into()).collect(),
            Data::F32(_) => return Err(self.wrong_type(DType::I64)),
        })
    }

    /// The elements as float32, whatever their type.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(d) => d.to_vec(),
            Data::U8(d) => d.iter().map(|&v| v.into()).collect(),
            Data::I8(d) => d.iter().map(|&v| v.into()).collect(),
            Data::I32(d) => d.iter().map(|&v| v as f32).collect(),
            Data::I64(d) => d.iter().map(|&v| v as f32).collect(),
            Data::Bool(d) => d.iter().map(|&v| v.into()).collect(),
        }
    }
}

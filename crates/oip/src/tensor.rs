//! A tensor on the wire: type, shape and little-endian bytes, checked once when it is made.

use bytes::{Bytes, BytesMut};
use edgecut_graph::float16::{bfloat, half};
use edgecut_graph::{DType, Data, Tensor};

use crate::limits::{MAX_BYTES_ELEMENTS, MAX_NAME_BYTES, MAX_RANK};
use crate::{Datatype, OipError, Parameters, Result};

/// A named tensor as the protocol carries it.
///
/// The bytes are those of the raw form: row-major, little-endian, without padding; each element of
/// type BYTES behind its length in four bytes. There are exactly as many as the shape says.
#[derive(Clone, Debug, PartialEq)]
pub struct WireTensor {
    name: String,
    datatype: Datatype,
    shape: Vec<usize>,
    raw: Bytes,
    /// Parameters of this tensor.
    pub parameters: Parameters,
}

impl WireTensor {
    /// A tensor of these raw bytes. Fails where they are not what type and shape say.
    pub fn new(
        name: impl Into<String>,
        datatype: Datatype,
        shape: impl Into<Vec<usize>>,
        raw: impl Into<Bytes>,
    ) -> Result<WireTensor> {
        let (name, shape, raw) = (name.into(), shape.into(), raw.into());
        OipError::within("name of a tensor", "bytes", name.len(), MAX_NAME_BYTES)?;
        let place = || format!("tensor '{name}'");
        let count = count(&shape, &place())?;
        match datatype.bytes() {
            Some(size) if count.checked_mul(size) != Some(raw.len()) => {
                let problem = format!(
                    "shape {shape:?} of {datatype} needs {count} elements of {size} bytes, got {} bytes",
                    raw.len()
                );
                return Err(OipError::malformed(place(), problem));
            }
            Some(_) => {}
            None => {
                OipError::within(&place(), "elements", count, MAX_BYTES_ELEMENTS)?;
                let found =
                    elements(&raw).map_err(|problem| OipError::malformed(place(), problem))?;
                if found.len() != count {
                    let problem =
                        format!("shape {shape:?} needs {count} elements, got {}", found.len());
                    return Err(OipError::malformed(place(), problem));
                }
            }
        }
        Ok(WireTensor { name, datatype, shape, raw, parameters: Parameters::default() })
    }

    /// A graph's tensor under a name.
    pub fn from_tensor(name: impl Into<String>, tensor: &Tensor) -> WireTensor {
        WireTensor {
            name: name.into(),
            datatype: tensor.dtype().into(),
            shape: tensor.shape().to_vec(),
            raw: tensor.to_le_bytes().into(),
            parameters: Parameters::default(),
        }
    }

    /// A tensor of type BYTES, one element for each item.
    pub fn from_elements(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        items: &[impl AsRef<[u8]>],
    ) -> Result<WireTensor> {
        let mut raw = BytesMut::new();
        for item in items {
            push_element(&mut raw, item.as_ref())?;
        }
        WireTensor::new(name, Datatype::Bytes, shape, raw.freeze())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Element type.
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The raw bytes.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The elements of a tensor of type BYTES, row-major; they share memory with the message.
    pub fn elements(&self) -> Result<Vec<Bytes>> {
        if self.datatype != Datatype::Bytes {
            return Err(self.wrong("wanted is BYTES"));
        }
        elements(&self.raw).map_err(|problem| OipError::malformed(&self.name, problem))
    }

    /// As a graph's tensor. FP16 and BF16 become float32, exactly; types that a graph lacks are an
    /// error.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let raw = &self.raw;
        let data: Data = match self.datatype {
            Datatype::Bool => raw.iter().map(|&b| b != 0).collect::<Vec<bool>>().into(),
            Datatype::Uint8 => raw.to_vec().into(),
            Datatype::Int8 => raw.iter().map(|&b| b as i8).collect::<Vec<i8>>().into(),
            Datatype::Int32 => numbers(raw, i32::from_le_bytes).into(),
            Datatype::Int64 => numbers(raw, i64::from_le_bytes).into(),
            Datatype::Fp32 => numbers(raw, f32::from_le_bytes).into(),
            Datatype::Fp16 => numbers(raw, |b| half(u16::from_le_bytes(b))).into(),
            Datatype::Bf16 => numbers(raw, |b| bfloat(u16::from_le_bytes(b))).into(),
            _ => return Err(self.wrong("which no graph computes with")),
        };
        Tensor::new(self.shape.clone(), data)
            .map_err(|e| OipError::malformed(format!("tensor '{}'", self.name), e.to_string()))
    }

    /// As a graph's tensor of this type.
    pub fn to_tensor_of(&self, dtype: DType) -> Result<Tensor> {
        let halves = matches!(self.datatype, Datatype::Fp16 | Datatype::Bf16);
        if Datatype::from(dtype) == self.datatype || (halves && dtype == DType::F32) {
            return self.to_tensor();
        }
        Err(self.wrong(format!("wanted is {}", Datatype::from(dtype))))
    }

    fn wrong(&self, wanted: impl Into<String>) -> OipError {
        OipError::Type { name: self.name.clone(), found: self.datatype, wanted: wanted.into() }
    }
}

/// Elements of `N` bytes each; what is left over is dropped, so there must be nothing.
pub(crate) fn numbers<T, const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
}

/// Number of elements of a shape that somebody sent.
fn count(shape: &[usize], place: &str) -> Result<usize> {
    OipError::within(place, "dimensions", shape.len(), MAX_RANK)?;
    // A zero must not hide an overflow elsewhere.
    let bound = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    match bound {
        Some(_) => Ok(shape.iter().product()),
        None => Err(OipError::malformed(place, format!("shape {shape:?} has too many elements"))),
    }
}

/// Appends an element of type BYTES: its length in four bytes, then itself.
pub(crate) fn push_element(raw: &mut BytesMut, item: &[u8]) -> Result<()> {
    let length = u32::try_from(item.len())
        .map_err(|_| OipError::malformed("element of type BYTES", "longer than 4 GiB"))?;
    raw.extend_from_slice(&length.to_le_bytes());
    raw.extend_from_slice(item);
    Ok(())
}

/// The elements of a raw tensor of type BYTES.
fn elements(raw: &Bytes) -> std::result::Result<Vec<Bytes>, String> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < raw.len() {
        let rest = &raw[at..];
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else {
            return Err(format!("element {} ends in the middle of its length", found.len()));
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > rest.len() {
            let n = found.len();
            return Err(format!("element {n} of {length} bytes, only {} are there", rest.len()));
        }
        if found.len() == MAX_BYTES_ELEMENTS {
            return Err(format!("more than {MAX_BYTES_ELEMENTS} elements"));
        }
        found.push(raw.slice(at + 4..at + 4 + length));
        at += 4 + length;
    }
    Ok(found)
}

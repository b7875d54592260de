//! The JSON of requests and responses.

use std::fmt;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::elements::{Elements, Listed};
use crate::limits::{MAX_RANK, MAX_TENSORS};
use crate::{
    Datatype, InferRequest, InferResponse, OipError, Parameters, RequestedOutput, Result,
    WireTensor, names,
};

/// A request or a response: they share their fields. What servers leave out or write as null is
/// nothing.
#[derive(Deserialize)]
pub(super) struct Body {
    pub model_name: Option<String>,
    pub model_version: Option<String>,
    pub id: Option<String>,
    pub parameters: Option<Parameters>,
    #[serde(default)]
    pub inputs: Bounded<Tensor, MAX_TENSORS>,
    #[serde(default)]
    pub outputs: Bounded<Tensor, MAX_TENSORS>,
}

/// An input, an output, or the wish for one.
#[derive(Deserialize)]
pub(super) struct Tensor {
    name: String,
    #[serde(default)]
    datatype: String,
    #[serde(default)]
    shape: Bounded<usize, MAX_RANK>,
    parameters: Option<Parameters>,
    data: Option<Elements>,
}

/// Parses the JSON part of `message`.
pub(super) fn parse(text: &[u8], message: &str) -> Result<Body> {
    serde_json::from_slice(text)
        .map_err(|e| OipError::malformed(message, format!("not the JSON that is expected: {e}")))
}

impl Tensor {
    /// The tensor, of its data or of the next bytes behind the JSON.
    pub fn decode(self, blobs: &mut Blobs) -> Result<WireTensor> {
        let place = format!("tensor '{}'", self.name);
        let mut parameters = self.parameters.unwrap_or_default();
        let size = parameters.count(names::BINARY_DATA_SIZE)?;
        parameters.remove(names::BINARY_DATA_SIZE);
        let datatype: Datatype = self.datatype.parse()?;
        let raw = match (size, self.data) {
            (Some(size), None) => blobs.take(size, &place)?,
            (None, Some(data)) => data.to_raw(datatype, &place)?,
            (None, None) => return Err(OipError::malformed(place, "has no data")),
            (Some(_), Some(_)) => {
                return Err(OipError::malformed(place, "has data and binary data"));
            }
        };
        let mut tensor = WireTensor::new(self.name, datatype, self.shape.0, raw)?;
        tensor.parameters = parameters;
        Ok(tensor)
    }

    /// The wish for an output.
    pub fn requested(self) -> RequestedOutput {
        RequestedOutput { name: self.name, parameters: self.parameters.unwrap_or_default() }
    }
}

/// The bytes behind the JSON, taken tensor by tensor.
pub(super) struct Blobs(Bytes);

impl Blobs {
    pub fn new(bytes: Bytes) -> Blobs {
        Blobs(bytes)
    }

    fn take(&mut self, size: u64, place: &str) -> Result<Bytes> {
        match usize::try_from(size) {
            Ok(size) if size <= self.0.len() => Ok(self.0.split_to(size)),
            _ => {
                let problem = format!("{size} bytes of binary data, {} are left", self.0.len());
                Err(OipError::malformed(place, problem))
            }
        }
    }

    pub fn must_be_empty(self) -> Result<()> {
        match self.0.len() {
            0 => Ok(()),
            n => Err(OipError::malformed("request", format!("{n} bytes that belong to no input"))),
        }
    }
}

/// A list of at most `N` items, or null.
pub(super) struct Bounded<T, const N: usize>(pub Vec<T>);

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Bounded(Vec::new())
    }
}

impl<T, const N: usize> IntoIterator for Bounded<T, N> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(BoundedVisitor(PhantomData))
    }
}

struct BoundedVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for BoundedVisitor<T, N> {
    type Value = Bounded<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N}")
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(Bounded::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == N {
                return Err(serde::de::Error::invalid_length(N + 1, &self));
            }
            items.push(item);
        }
        Ok(Bounded(items))
    }
}

/// A tensor on its way out; its elements are JSON or already among the blobs.
pub(super) struct Written<'a> {
    tensor: &'a WireTensor,
    parameters: Parameters,
    listed: Option<Listed<'a>>,
}

impl<'a> Written<'a> {
    pub fn new(tensor: &'a WireTensor, binary: bool, blobs: &mut BytesMut) -> Result<Written<'a>> {
        let mut parameters = tensor.parameters.clone();
        let listed = if binary {
            parameters.set(names::BINARY_DATA_SIZE, tensor.raw().len() as i64);
            blobs.extend_from_slice(tensor.raw());
            None
        } else {
            Some(Listed::new(tensor)?)
        };
        Ok(Written { tensor, parameters, listed })
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("tensor", 5)?;
        fields.serialize_field("name", self.tensor.name())?;
        fields.serialize_field("datatype", self.tensor.datatype().name())?;
        fields.serialize_field("shape", self.tensor.shape())?;
        if !self.parameters.is_empty() {
            fields.serialize_field("parameters", &self.parameters)?;
        }
        if let Some(listed) = &self.listed {
            fields.serialize_field("data", listed)?;
        }
        fields.end()
    }
}

pub(super) struct Response<'a> {
    pub response: &'a InferResponse,
    pub outputs: Vec<Written<'a>>,
}

impl Serialize for Response<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let InferResponse { model, version, id, parameters, .. } = self.response;
        let mut fields = serializer.serialize_struct("response", 5)?;
        fields.serialize_field("model_name", model)?;
        if !version.is_empty() {
            fields.serialize_field("model_version", version)?;
        }
        if !id.is_empty() {
            fields.serialize_field("id", id)?;
        }
        if !parameters.is_empty() {
            fields.serialize_field("parameters", parameters)?;
        }
        fields.serialize_field("outputs", &self.outputs)?;
        fields.end()
    }
}

pub(super) struct Request<'a> {
    pub request: &'a InferRequest,
    pub parameters: Parameters,
    pub inputs: Vec<Written<'a>>,
}

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("request", 4)?;
        if !self.request.id.is_empty() {
            fields.serialize_field("id", &self.request.id)?;
        }
        if !self.parameters.is_empty() {
            fields.serialize_field("parameters", &self.parameters)?;
        }
        fields.serialize_field("inputs", &self.inputs)?;
        if !self.request.outputs.is_empty() {
            fields.serialize_field("outputs", &self.request.outputs)?;
        }
        fields.end()
    }
}

impl Serialize for RequestedOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("output", 2)?;
        fields.serialize_field("name", &self.name)?;
        if !self.parameters.is_empty() {
            fields.serialize_field("parameters", &self.parameters)?;
        }
        fields.end()
    }
}

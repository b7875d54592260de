//! Bodies of HTTP: JSON, or JSON followed by the bytes of tensors (the binary data extension).
//!
//! The length of the JSON part travels in a header ([`names::HEADER_LENGTH`]); without it the
//! whole body is JSON.

mod elements;
mod json;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{InferRequest, InferResponse, OipError, Result, names};
use json::{Blobs, Body};

/// A body, and the value of the header [`names::HEADER_LENGTH`] where it has binary data.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The whole body.
    pub body: Bytes,
    /// Bytes of JSON at its beginning; nothing if it is JSON alone.
    pub header_length: Option<usize>,
}

impl Encoded {
    /// What to say as Content-Type.
    pub fn content_type(&self) -> &'static str {
        match self.header_length {
            Some(_) => "application/octet-stream",
            None => "application/json",
        }
    }
}

/// An error as REST says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
}

/// Reads a request for `model`; `header_length` is the header's value if it was there.
pub fn decode_request(
    model: &str,
    version: &str,
    header_length: Option<usize>,
    body: &Bytes,
) -> Result<InferRequest> {
    let (text, mut blobs) = parts(header_length, body)?;
    let Body { id, parameters, inputs, outputs, .. } = json::parse(text, "request")?;
    let request = InferRequest {
        model: model.into(),
        version: version.into(),
        id: id.unwrap_or_default(),
        parameters: parameters.unwrap_or_default(),
        inputs: inputs.into_iter().map(|t| t.decode(&mut blobs)).collect::<Result<_>>()?,
        outputs: outputs.into_iter().map(json::Tensor::requested).collect(),
    };
    blobs.must_be_empty()?;
    request.checked()
}

/// Writes the answer, each output as the request wants it: JSON unless binary data is asked for.
pub fn encode_response(request: &InferRequest, response: &InferResponse) -> Result<Encoded> {
    let (mut blobs, mut outputs) = (BytesMut::new(), Vec::new());
    for output in &response.outputs {
        let binary = request.wants_binary(output.name())?;
        outputs.push(json::Written::new(output, binary, &mut blobs)?);
    }
    encode(&json::Response { response, outputs }, blobs)
}

/// Writes a request with its inputs as binary data, asking for outputs as binary data; or all as
/// JSON, which every server understands.
pub fn encode_request(request: &InferRequest, binary: bool) -> Result<Encoded> {
    let mut parameters = request.parameters.clone();
    if binary {
        parameters.set(names::BINARY_DATA_OUTPUT, true);
    }
    let mut blobs = BytesMut::new();
    let inputs = request.inputs.iter().map(|t| json::Written::new(t, binary, &mut blobs));
    let inputs = inputs.collect::<Result<_>>()?;
    encode(&json::Request { request, parameters, inputs }, blobs)
}

/// Reads an answer, whatever form its outputs have.
pub fn decode_response(header_length: Option<usize>, body: &Bytes) -> Result<InferResponse> {
    let (text, mut blobs) = parts(header_length, body)?;
    let Body { model_name, model_version, id, parameters, outputs, .. } =
        json::parse(text, "response")?;
    Ok(InferResponse {
        model: model_name.unwrap_or_default(),
        version: model_version.unwrap_or_default(),
        id: id.unwrap_or_default(),
        parameters: parameters.unwrap_or_default(),
        outputs: outputs.into_iter().map(|t| t.decode(&mut blobs)).collect::<Result<_>>()?,
    })
}

fn encode(message: &impl Serialize, blobs: BytesMut) -> Result<Encoded> {
    let mut body = BytesMut::new().writer();
    serde_json::to_writer(&mut body, message)
        .map_err(|e| OipError::malformed("message", e.to_string()))?;
    let mut body = body.into_inner();
    let header_length = (!blobs.is_empty()).then_some(body.len());
    body.unsplit(blobs);
    Ok(Encoded { body: body.freeze(), header_length })
}

/// JSON and what follows it.
fn parts(header_length: Option<usize>, body: &Bytes) -> Result<(&[u8], Blobs)> {
    let length = header_length.unwrap_or(body.len());
    if length > body.len() {
        let problem = format!("{length} bytes of JSON, but the body has {}", body.len());
        return Err(OipError::malformed(names::HEADER_LENGTH, problem));
    }
    Ok((&body[..length], Blobs::new(body.slice(length..))))
}

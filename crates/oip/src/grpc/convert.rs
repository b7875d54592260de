//! Between gRPC's messages and what they mean.

use std::collections::BTreeMap;

use prost::bytes::Bytes;

use super::contents;
use super::messages::*;
use crate::limits::{MAX_PARAMETERS, MAX_RANK};
use crate::{
    InferRequest, InferResponse, ModelMetadata, OipError, Parameter, Parameters, RequestedOutput,
    Result, ServerMetadata, TensorMetadata, WireTensor,
};

impl TryFrom<ModelInferRequest> for InferRequest {
    type Error = OipError;

    fn try_from(message: ModelInferRequest) -> Result<InferRequest> {
        let outputs = message.outputs.into_iter().map(|output| {
            let parameters = parameters(output.parameters)?;
            Ok(RequestedOutput { name: output.name, parameters })
        });
        InferRequest {
            model: message.model_name,
            version: message.model_version,
            id: message.id,
            parameters: parameters(message.parameters)?,
            inputs: tensors("raw_input_contents", message.inputs, message.raw_input_contents)?,
            outputs: outputs.collect::<Result<_>>()?,
        }
        .checked()
    }
}

/// Tensors are raw contents.
impl From<InferRequest> for ModelInferRequest {
    fn from(request: InferRequest) -> ModelInferRequest {
        let (inputs, raw_input_contents) = request.inputs.into_iter().map(raw).unzip();
        let outputs = request.outputs.into_iter().map(|output| InferRequestedOutputTensor {
            name: output.name,
            parameters: message_parameters(&output.parameters),
        });
        ModelInferRequest {
            model_name: request.model,
            model_version: request.version,
            id: request.id,
            parameters: message_parameters(&request.parameters),
            inputs,
            outputs: outputs.collect(),
            raw_input_contents,
        }
    }
}

impl TryFrom<ModelInferResponse> for InferResponse {
    type Error = OipError;

    fn try_from(message: ModelInferResponse) -> Result<InferResponse> {
        Ok(InferResponse {
            model: message.model_name,
            version: message.model_version,
            id: message.id,
            parameters: parameters(message.parameters)?,
            outputs: tensors("raw_output_contents", message.outputs, message.raw_output_contents)?,
        })
    }
}

/// Tensors are raw contents.
impl From<InferResponse> for ModelInferResponse {
    fn from(response: InferResponse) -> ModelInferResponse {
        let (outputs, raw_output_contents) = response.outputs.into_iter().map(raw).unzip();
        ModelInferResponse {
            model_name: response.model,
            model_version: response.version,
            id: response.id,
            parameters: message_parameters(&response.parameters),
            outputs,
            raw_output_contents,
        }
    }
}

fn raw(tensor: WireTensor) -> (InferTensor, Bytes) {
    let message = InferTensor {
        name: tensor.name().into(),
        datatype: tensor.datatype().name().into(),
        shape: tensor.shape().iter().map(|&d| d as i64).collect(),
        parameters: message_parameters(&tensor.parameters),
        contents: None,
    };
    (message, tensor.raw().clone())
}

/// Tensors of a message: all raw, or all with contents.
fn tensors(place: &str, messages: Vec<InferTensor>, raw: Vec<Bytes>) -> Result<Vec<WireTensor>> {
    if raw.is_empty() {
        return messages.into_iter().map(|message| tensor(message, None)).collect();
    }
    if raw.len() != messages.len() {
        let problem = format!("{} entries for {} tensors", raw.len(), messages.len());
        return Err(OipError::malformed(place, problem));
    }
    messages.into_iter().zip(raw).map(|(message, raw)| tensor(message, Some(raw))).collect()
}

fn tensor(message: InferTensor, raw: Option<Bytes>) -> Result<WireTensor> {
    let place = format!("tensor '{}'", message.name);
    let datatype = message.datatype.parse()?;
    OipError::within(&place, "dimensions", message.shape.len(), MAX_RANK)?;
    let shape =
        message.shape.iter().map(|&d| usize::try_from(d)).collect::<std::result::Result<_, _>>();
    let shape: Vec<usize> = shape.map_err(|_| {
        OipError::malformed(&place, format!("shape {:?}: a negative extent", message.shape))
    })?;
    let empty = InferTensorContents::default();
    let raw = match (raw, message.contents) {
        (Some(raw), None) => raw,
        (Some(raw), Some(contents)) if contents == empty => raw,
        (Some(_), Some(_)) => return Err(OipError::malformed(place, "raw and typed contents")),
        (None, contents) => contents::to_raw(&contents.unwrap_or(empty), datatype, &place)?,
    };
    let mut tensor = WireTensor::new(message.name, datatype, shape, raw)?;
    tensor.parameters = parameters(message.parameters)?;
    Ok(tensor)
}

fn parameters(messages: BTreeMap<String, InferParameter>) -> Result<Parameters> {
    OipError::within("parameters", "entries", messages.len(), MAX_PARAMETERS)?;
    let known = messages.into_iter().filter_map(|(name, message)| {
        let value = match message.parameter_choice? {
            ParameterChoice::BoolParam(value) => Parameter::Bool(value),
            ParameterChoice::Int64Param(value) => Parameter::Int(value),
            ParameterChoice::StringParam(value) => Parameter::Text(value),
            ParameterChoice::DoubleParam(value) => Parameter::Double(value),
            ParameterChoice::Uint64Param(value) => Parameter::Uint(value),
        };
        Some((name, value))
    });
    Ok(known.collect())
}

fn message_parameters(parameters: &Parameters) -> BTreeMap<String, InferParameter> {
    let message = |value: &Parameter| InferParameter {
        parameter_choice: Some(match value {
            Parameter::Bool(value) => ParameterChoice::BoolParam(*value),
            Parameter::Int(value) => ParameterChoice::Int64Param(*value),
            Parameter::Text(value) => ParameterChoice::StringParam(value.clone()),
            Parameter::Double(value) => ParameterChoice::DoubleParam(*value),
            Parameter::Uint(value) => ParameterChoice::Uint64Param(*value),
        }),
    };
    parameters.iter().map(|(name, value)| (name.into(), message(value))).collect()
}

impl From<ServerMetadata> for ServerMetadataResponse {
    fn from(about: ServerMetadata) -> ServerMetadataResponse {
        let ServerMetadata { name, version, extensions } = about;
        ServerMetadataResponse { name, version, extensions }
    }
}

impl From<ServerMetadataResponse> for ServerMetadata {
    fn from(about: ServerMetadataResponse) -> ServerMetadata {
        let ServerMetadataResponse { name, version, extensions } = about;
        ServerMetadata { name, version, extensions }
    }
}

impl From<TensorMetadata> for TensorDescription {
    fn from(about: TensorMetadata) -> TensorDescription {
        let TensorMetadata { name, datatype, shape } = about;
        TensorDescription { name, datatype, shape }
    }
}

impl From<TensorDescription> for TensorMetadata {
    fn from(about: TensorDescription) -> TensorMetadata {
        let TensorDescription { name, datatype, shape } = about;
        TensorMetadata { name, datatype, shape }
    }
}

impl From<ModelMetadata> for ModelMetadataResponse {
    fn from(about: ModelMetadata) -> ModelMetadataResponse {
        let ModelMetadata { name, versions, platform, inputs, outputs, properties } = about;
        let [inputs, outputs] =
            [inputs, outputs].map(|tensors| tensors.into_iter().map(Into::into).collect());
        ModelMetadataResponse { name, versions, platform, inputs, outputs, properties }
    }
}

impl From<ModelMetadataResponse> for ModelMetadata {
    fn from(about: ModelMetadataResponse) -> ModelMetadata {
        let ModelMetadataResponse { name, versions, platform, inputs, outputs, properties } = about;
        let [inputs, outputs] =
            [inputs, outputs].map(|tensors| tensors.into_iter().map(Into::into).collect());
        ModelMetadata { name, versions, platform, inputs, outputs, properties }
    }
}

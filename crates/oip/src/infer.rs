//! A request and its answer, whatever carries them.

use crate::limits::{MAX_NAME_BYTES, MAX_TENSORS};
use crate::{OipError, Parameters, Result, WireTensor, names};

/// What a client asks of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// Name of the model. REST has it in the path.
    pub model: String,
    /// Version of the model; empty leaves it to the server.
    pub version: String,
    /// Name of the request, which the answer repeats; empty if it has none.
    pub id: String,
    /// Parameters of the request.
    pub parameters: Parameters,
    /// Inputs of the model.
    pub inputs: Vec<WireTensor>,
    /// Outputs that are wanted; all if empty.
    pub outputs: Vec<RequestedOutput>,
}

/// An output that a client asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestedOutput {
    /// Name of the output.
    pub name: String,
    /// How it is wanted.
    pub parameters: Parameters,
}

/// What the model answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferResponse {
    /// Name of the model.
    pub model: String,
    /// Version that answered; empty if the server does not say.
    pub version: String,
    /// Name of the request; empty if it had none.
    pub id: String,
    /// Parameters of the answer.
    pub parameters: Parameters,
    /// Outputs of the model.
    pub outputs: Vec<WireTensor>,
}

impl InferRequest {
    /// Checks what no type holds: names, and numbers of tensors.
    pub(crate) fn checked(self) -> Result<InferRequest> {
        let named =
            [("model_name", &self.model), ("model_version", &self.version), ("id", &self.id)];
        for (place, name) in named {
            OipError::within(place, "bytes", name.len(), MAX_NAME_BYTES)?;
        }
        unique("inputs", self.inputs.iter().map(WireTensor::name))?;
        unique("outputs", self.outputs.iter().map(|output| output.name.as_str()))?;
        Ok(self)
    }

    /// Whether this output is wanted as binary data over REST.
    pub(crate) fn wants_binary(&self, output: &str) -> Result<bool> {
        let asked = self.outputs.iter().find(|asked| asked.name == output);
        if let Some(binary) =
            asked.map(|a| a.parameters.flag(names::BINARY_DATA)).transpose()?.flatten()
        {
            return Ok(binary);
        }
        Ok(self.parameters.flag(names::BINARY_DATA_OUTPUT)?.unwrap_or(false))
    }
}

impl InferResponse {
    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&WireTensor> {
        self.outputs.iter().find(|output| output.name() == name)
    }
}

/// At most [`MAX_TENSORS`] names, each once.
fn unique<'a>(place: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut names: Vec<&str> = names.collect();
    OipError::within(place, "tensors", names.len(), MAX_TENSORS)?;
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(OipError::malformed(place, format!("'{}' is there twice", pair[0]))),
        None => Ok(()),
    }
}

//! What servers say about themselves and their models. The JSON is that of REST.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// About a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// Name of the server.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Extensions of the protocol that it speaks.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// About a model. Clients must do without any of it: servers differ in what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Name of the model.
    #[serde(default)]
    pub name: String,
    /// Versions that can be asked.
    #[serde(default, deserialize_with = "nullable")]
    pub versions: Vec<String>,
    /// Kind of the model's file.
    #[serde(default)]
    pub platform: String,
    /// Its inputs.
    #[serde(default, deserialize_with = "nullable")]
    pub inputs: Vec<TensorMetadata>,
    /// Its outputs.
    #[serde(default, deserialize_with = "nullable")]
    pub outputs: Vec<TensorMetadata>,
    /// Anything else, by name.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// About an input or output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// Its name.
    pub name: String,
    /// Name of its type.
    pub datatype: String,
    /// Extents, outermost first; -1 where any is taken.
    pub shape: Vec<i64>,
}

/// Some servers write null for nothing.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

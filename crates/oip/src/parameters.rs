//! Parameters: named values beside a request, a response or a tensor.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MAX_PARAMETERS;
use crate::{OipError, Result};

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// Yes or no.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer, which JSON gives where it exceeds a signed one.
    Uint(u64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    Text(String),
}

/// Parameters by name, at most [`MAX_PARAMETERS`] where they come from outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Parameter>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, name: &str) -> Option<Parameter> {
        self.0.remove(name)
    }

    /// A parameter that must be text if it is there.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Parameter::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "text")),
        }
    }

    /// A parameter that must be true or false if it is there.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Parameter::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A parameter that must be a whole number of at least 0 if it is there. Text that spells one
    /// is taken, as some clients send it.
    pub fn count(&self, name: &str) -> Result<Option<u64>> {
        let value = match self.get(name) {
            None => return Ok(None),
            Some(Parameter::Uint(value)) => Some(*value),
            Some(Parameter::Int(value)) => u64::try_from(*value).ok(),
            Some(Parameter::Text(text)) => text.parse().ok(),
            Some(_) => None,
        };
        value.map(Some).ok_or_else(|| wrong(name, "a whole number of at least 0"))
    }
}

fn wrong(name: &str, wanted: &str) -> OipError {
    OipError::malformed(format!("parameter '{name}'"), format!("must be {wanted}"))
}

impl<K: Into<String>> FromIterator<(K, Parameter)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (K, Parameter)>>(items: I) -> Parameters {
        Parameters(items.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

macro_rules! parameter_from {
    ($($variant:ident: $t:ty),*) => {$(
        impl From<$t> for Parameter {
            fn from(value: $t) -> Parameter {
                Parameter::$variant(value)
            }
        }
    )*};
}
parameter_from!(Bool: bool, Int: i64, Uint: u64, Double: f64, Text: String);

impl From<&str> for Parameter {
    fn from(value: &str) -> Parameter {
        Parameter::Text(value.into())
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {MAX_PARAMETERS} parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Parameters, A::Error> {
        let mut found = Parameters::default();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if let Some(value) = value.0 {
                found.set(name, value);
            }
            if found.len() > MAX_PARAMETERS {
                return Err(serde::de::Error::invalid_length(found.len(), &self));
            }
        }
        Ok(found)
    }
}

/// A value of JSON that is a parameter, or something else, which only other servers know.
struct Value(Option<Parameter>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a parameter")
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Value, E> {
        Ok(Value(Some(v.into())))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Value, E> {
        Ok(Value(Some(v.into())))
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Value, E> {
        Ok(Value(Some(i64::try_from(v).map_or(Parameter::Uint(v), Parameter::Int))))
    }

    fn visit_f64<E>(self, v: f64) -> std::result::Result<Value, E> {
        Ok(Value(Some(v.into())))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Value, E> {
        Ok(Value(Some(v.into())))
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value(None))
    }
}

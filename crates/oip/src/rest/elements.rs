//! Elements of tensors as JSON lists them: flat, or nested as the dimensions are.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{MAX_BYTES_ELEMENTS, MAX_RANK};
use crate::tensor::{numbers, push_element};
use crate::{Datatype, OipError, Result, WireTensor};

/// Elements in row-major order. JSON names no type, so they are what their spelling needs: integers
/// become floats with the first number that has a fraction.
#[derive(Debug, PartialEq)]
pub(super) enum Elements {
    Empty,
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Uints(Vec<u64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
}

impl Elements {
    /// As raw bytes of this type; an error where a number does not fit.
    pub fn to_raw(&self, datatype: Datatype, place: &str) -> Result<Bytes> {
        let raw = match datatype {
            Datatype::Bool => self.bools(),
            Datatype::Uint8 => self.integers(u8::to_le_bytes),
            Datatype::Uint16 => self.integers(u16::to_le_bytes),
            Datatype::Uint32 => self.integers(u32::to_le_bytes),
            Datatype::Uint64 => self.integers(u64::to_le_bytes),
            Datatype::Int8 => self.integers(i8::to_le_bytes),
            Datatype::Int16 => self.integers(i16::to_le_bytes),
            Datatype::Int32 => self.integers(i32::to_le_bytes),
            Datatype::Int64 => self.integers(i64::to_le_bytes),
            Datatype::Fp32 => self.floats(|v| (v as f32).to_le_bytes()),
            Datatype::Fp64 => self.floats(f64::to_le_bytes),
            Datatype::Bytes => return self.texts(place),
            Datatype::Fp16 | Datatype::Bf16 => {
                let problem = format!("{datatype} has no form in JSON: send it as binary data");
                return Err(OipError::malformed(place, problem));
            }
        };
        raw.map(Bytes::from)
            .ok_or_else(|| OipError::malformed(place, format!("data that is not {datatype}")))
    }

    fn bools(&self) -> Option<Vec<u8>> {
        match self {
            Elements::Empty => Some(Vec::new()),
            Elements::Bools(values) => Some(values.iter().map(|&v| v.into()).collect()),
            Elements::Ints(values) if values.iter().all(|v| (0..=1).contains(v)) => {
                Some(values.iter().map(|&v| v as u8).collect())
            }
            _ => None,
        }
    }

    fn integers<T, const N: usize>(&self, write: impl Fn(T) -> [u8; N]) -> Option<Vec<u8>>
    where
        T: TryFrom<i64> + TryFrom<u64>,
    {
        let mut raw = Vec::new();
        match self {
            Elements::Empty => {}
            Elements::Ints(values) => {
                for &value in values {
                    raw.extend(write(T::try_from(value).ok()?));
                }
            }
            Elements::Uints(values) => {
                for &value in values {
                    raw.extend(write(T::try_from(value).ok()?));
                }
            }
            _ => return None,
        }
        Some(raw)
    }

    fn floats<const N: usize>(&self, write: impl Fn(f64) -> [u8; N]) -> Option<Vec<u8>> {
        match self {
            Elements::Empty => Some(Vec::new()),
            Elements::Ints(values) => Some(values.iter().flat_map(|&v| write(v as f64)).collect()),
            Elements::Uints(values) => Some(values.iter().flat_map(|&v| write(v as f64)).collect()),
            Elements::Floats(values) => Some(values.iter().flat_map(|&v| write(v)).collect()),
            _ => None,
        }
    }

    fn texts(&self, place: &str) -> Result<Bytes> {
        let mut raw = BytesMut::new();
        match self {
            Elements::Empty => {}
            Elements::Texts(values) => {
                for value in values {
                    push_element(&mut raw, value.as_bytes())?;
                }
            }
            _ => return Err(OipError::malformed(place, "data that is not BYTES: wanted is text")),
        }
        Ok(raw.freeze())
    }

    fn push_bool(&mut self, value: bool) -> bool {
        match self {
            Elements::Empty => *self = Elements::Bools(vec![value]),
            Elements::Bools(values) => values.push(value),
            _ => return false,
        }
        true
    }

    fn push_int(&mut self, value: i64) -> bool {
        match self {
            Elements::Empty => *self = Elements::Ints(vec![value]),
            Elements::Ints(values) => values.push(value),
            Elements::Uints(values) if value >= 0 => values.push(value as u64),
            Elements::Floats(values) => values.push(value as f64),
            _ => return false,
        }
        true
    }

    fn push_uint(&mut self, value: u64) -> bool {
        match self {
            Elements::Ints(values) => {
                let widened = values.iter().map(|&v| u64::try_from(v).ok()).collect();
                let Some(mut widened): Option<Vec<u64>> = widened else { return false };
                widened.push(value);
                *self = Elements::Uints(widened);
            }
            Elements::Empty => *self = Elements::Uints(vec![value]),
            Elements::Uints(values) => values.push(value),
            Elements::Floats(values) => values.push(value as f64),
            _ => return false,
        }
        true
    }

    fn push_float(&mut self, value: f64) -> bool {
        match self {
            Elements::Ints(values) => {
                let mut widened: Vec<f64> = values.iter().map(|&v| v as f64).collect();
                widened.push(value);
                *self = Elements::Floats(widened);
            }
            Elements::Uints(values) => {
                let mut widened: Vec<f64> = values.iter().map(|&v| v as f64).collect();
                widened.push(value);
                *self = Elements::Floats(widened);
            }
            Elements::Empty => *self = Elements::Floats(vec![value]),
            Elements::Floats(values) => values.push(value),
            _ => return false,
        }
        true
    }

    fn push_text(&mut self, value: &str) -> bool {
        match self {
            Elements::Empty => *self = Elements::Texts(vec![value.into()]),
            Elements::Texts(values) if values.len() < MAX_BYTES_ELEMENTS => {
                values.push(value.into());
            }
            _ => return false,
        }
        true
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut elements = Elements::Empty;
        Level { elements: &mut elements, depth: 0 }.deserialize(deserializer)?;
        Ok(elements)
    }
}

/// One level of the nesting: a list, or below the first one an element.
struct Level<'a> {
    elements: &'a mut Elements,
    depth: usize,
}

impl Level<'_> {
    fn pushed<E: serde::de::Error>(self, fits: bool) -> std::result::Result<(), E> {
        if self.depth == 0 {
            Err(E::custom("data must be a list"))
        } else if fits {
            Ok(())
        } else {
            Err(E::custom("data mixes kinds of elements, or has too many of them"))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, true and false, or text, in lists")
    }

    fn visit_bool<E: serde::de::Error>(self, v: bool) -> std::result::Result<(), E> {
        let fits = self.elements.push_bool(v);
        self.pushed(fits)
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> std::result::Result<(), E> {
        let fits = self.elements.push_int(v);
        self.pushed(fits)
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> std::result::Result<(), E> {
        let fits = match i64::try_from(v) {
            Ok(v) => self.elements.push_int(v),
            Err(_) => self.elements.push_uint(v),
        };
        self.pushed(fits)
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> std::result::Result<(), E> {
        let fits = self.elements.push_float(v);
        self.pushed(fits)
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<(), E> {
        let fits = self.elements.push_text(v);
        self.pushed(fits)
    }

    /// What is not finite is null in JSON: as whoever writes it here, so whoever reads it.
    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        let fits = self.elements.push_float(f64::NAN);
        self.pushed(fits)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth > MAX_RANK {
            return Err(A::Error::custom(format!("data is nested more than {MAX_RANK} deep")));
        }
        while seq.next_element_seed(Level { elements: &mut *self.elements, depth })?.is_some() {}
        Ok(())
    }
}

/// The elements of a tensor as a flat list. Numbers that are not finite are null, since JSON has
/// no form for them.
pub(super) struct Listed<'a>(&'a WireTensor, Vec<Bytes>);

impl<'a> Listed<'a> {
    /// An error where the elements have no form in JSON.
    pub fn new(tensor: &'a WireTensor) -> Result<Listed<'a>> {
        let elements = match tensor.datatype() {
            Datatype::Bytes => tensor.elements()?,
            Datatype::Fp16 | Datatype::Bf16 => {
                let wanted = "which has no form in JSON: send it as binary data".into();
                let (name, found) = (tensor.name().into(), tensor.datatype());
                return Err(OipError::Type { name, found, wanted });
            }
            _ => Vec::new(),
        };
        if elements.iter().any(|element| std::str::from_utf8(element).is_err()) {
            let problem = "bytes that are no text have no form in JSON: use binary data";
            return Err(OipError::malformed(format!("tensor '{}'", tensor.name()), problem));
        }
        Ok(Listed(tensor, elements))
    }
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let raw = self.0.raw();
        match self.0.datatype() {
            Datatype::Bool => serializer.collect_seq(raw.iter().map(|&b| b != 0)),
            Datatype::Uint8 => serializer.collect_seq(raw.iter()),
            Datatype::Int8 => serializer.collect_seq(raw.iter().map(|&b| b as i8)),
            Datatype::Uint16 => serializer.collect_seq(numbers(raw, u16::from_le_bytes)),
            Datatype::Uint32 => serializer.collect_seq(numbers(raw, u32::from_le_bytes)),
            Datatype::Uint64 => serializer.collect_seq(numbers(raw, u64::from_le_bytes)),
            Datatype::Int16 => serializer.collect_seq(numbers(raw, i16::from_le_bytes)),
            Datatype::Int32 => serializer.collect_seq(numbers(raw, i32::from_le_bytes)),
            Datatype::Int64 => serializer.collect_seq(numbers(raw, i64::from_le_bytes)),
            Datatype::Fp32 => serializer.collect_seq(numbers(raw, f32::from_le_bytes)),
            Datatype::Fp64 => serializer.collect_seq(numbers(raw, f64::from_le_bytes)),
            Datatype::Fp16 | Datatype::Bf16 => Err(S::Error::custom("no form in JSON")),
            Datatype::Bytes => {
                let mut seq = serializer.serialize_seq(Some(self.1.len()))?;
                for element in &self.1 {
                    let text = std::str::from_utf8(element).map_err(S::Error::custom)?;
                    seq.serialize_element(text)?;
                }
                seq.end()
            }
        }
    }
}

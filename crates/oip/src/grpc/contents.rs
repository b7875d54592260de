//! Typed contents of a tensor: numbers in fields of their own, instead of raw bytes.

use bytes::BytesMut;
use prost::bytes::Bytes;

use super::messages::InferTensorContents;
use crate::tensor::push_element;
use crate::{Datatype, OipError, Result};

/// As raw bytes of this type. Numbers of 8 and 16 bits travel in fields of 32, so each is checked.
pub(super) fn to_raw(
    contents: &InferTensorContents,
    datatype: Datatype,
    place: &str,
) -> Result<Bytes> {
    let raw = match datatype {
        Datatype::Bool => contents.bool_contents.iter().map(|&v| u8::from(v)).collect(),
        Datatype::Int8 => narrow(&contents.int_contents, i8::to_le_bytes, place)?,
        Datatype::Int16 => narrow(&contents.int_contents, i16::to_le_bytes, place)?,
        Datatype::Int32 => plain(&contents.int_contents, i32::to_le_bytes),
        Datatype::Int64 => plain(&contents.int64_contents, i64::to_le_bytes),
        Datatype::Uint8 => narrow(&contents.uint_contents, u8::to_le_bytes, place)?,
        Datatype::Uint16 => narrow(&contents.uint_contents, u16::to_le_bytes, place)?,
        Datatype::Uint32 => plain(&contents.uint_contents, u32::to_le_bytes),
        Datatype::Uint64 => plain(&contents.uint64_contents, u64::to_le_bytes),
        Datatype::Fp32 => plain(&contents.fp32_contents, f32::to_le_bytes),
        Datatype::Fp64 => plain(&contents.fp64_contents, f64::to_le_bytes),
        Datatype::Bytes => return elements(&contents.bytes_contents),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(OipError::malformed(place, format!("{datatype} must be raw contents")));
        }
    };
    Ok(raw.into())
}

fn plain<T: Copy, const N: usize>(values: &[T], write: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| write(value)).collect()
}

fn narrow<W: Copy, T: TryFrom<W>, const N: usize>(
    values: &[W],
    write: impl Fn(T) -> [u8; N],
    place: &str,
) -> Result<Vec<u8>> {
    let mut raw = Vec::with_capacity(values.len() * N);
    for &value in values {
        let value = T::try_from(value).map_err(|_| {
            OipError::malformed(place, format!("a number that has no room in {} bits", 8 * N))
        })?;
        raw.extend(write(value));
    }
    Ok(raw)
}

fn elements(items: &[Bytes]) -> Result<Bytes> {
    let mut raw = BytesMut::new();
    for item in items {
        push_element(&mut raw, item)?;
    }
    Ok(raw.freeze())
}

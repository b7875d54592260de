//! NumPy's array file, read for `u8` pictures and integer labels
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
//!
//! The header is a Python dictionary literal of three known keys, so this reads just that form
//! instead of Python expressions in general, whose nesting a hostile file could make arbitrarily deep.

use super::limits::MAX_TEXT;
use super::memory::checked_product;
use super::{DataError, Result};
use std::path::Path;

/// An array of the file's own type; `bytes` is little- or big-endian as `dtype` says.
pub(crate) struct Array<'a> {
    dtype: String,
    pub shape: Vec<usize>,
    bytes: &'a [u8],
}

/// Parses a whole `.npy` file; `what` names it in errors (a path, or a path and an entry).
pub(crate) fn parse<'a>(path: &Path, what: &str, file: &'a [u8]) -> Result<Array<'a>> {
    let fail = |problem: String| DataError::format(path, format!("{what}{problem}"));
    let cut = || fail("is cut off inside the header".into());
    if !file.starts_with(b"\x93NUMPY") {
        return Err(fail("is not a .npy array".into()));
    }
    let (start, len) = match file.get(6).ok_or_else(cut)? {
        1 => (10, file.get(8..10).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))),
        2 | 3 => (12, file.get(8..12).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        version => return Err(fail(format!("has format version {version}; 1 to 3 are supported"))),
    };
    let len = len.ok_or_else(cut)?;
    if u64::from(len) > MAX_TEXT {
        return Err(fail(format!("declares a header of {len} bytes")));
    }
    let (header, bytes) =
        file.get(start..).and_then(|rest| rest.split_at_checked(len as usize)).ok_or_else(cut)?;
    let header =
        std::str::from_utf8(header).map_err(|_| fail("has a header that is not text".into()))?;

    let dtype = value_of(header, "descr").and_then(|rest| quoted(rest)).ok_or_else(|| {
        fail("has a header without a plain 'descr' (structured types are not supported)".into())
    })?;
    let shape = value_of(header, "shape")
        .and_then(tuple)
        .ok_or_else(|| fail("has a header without 'shape'".into()))?;
    if value_of(header, "fortran_order").is_none_or(|rest| !rest.starts_with("False")) {
        return Err(fail("is in Fortran order; save it with numpy.ascontiguousarray".into()));
    }
    let item = item_size(dtype).ok_or_else(|| {
        fail(format!(
            "has type {dtype}; expected uint8 pictures or integer labels (use .astype('uint8'))"
        ))
    })?;
    let expected = checked_product(&shape).and_then(|count| count.checked_mul(item as u64));
    if expected != Some(bytes.len() as u64) {
        return Err(fail(format!(
            "has {} bytes of data for shape {shape:?} of {dtype}",
            bytes.len()
        )));
    }
    Ok(Array { dtype: dtype.to_string(), shape, bytes })
}

impl Array<'_> {
    /// The content of a `uint8` array.
    pub fn as_u8(&self) -> std::result::Result<&[u8], String> {
        match self.dtype.as_str() {
            "|u1" | "<u1" | ">u1" | "=u1" => Ok(self.bytes),
            other => Err(format!("has type {other}; pictures must be uint8, 0 to 255")),
        }
    }

    /// The content of any integer array as class indices.
    pub fn as_labels(&self) -> std::result::Result<Vec<u32>, String> {
        let size = item_size(&self.dtype).unwrap_or(1);
        let big = self.dtype.starts_with('>');
        let signed = self.dtype.as_bytes().get(1) == Some(&b'i');
        let label = |(i, item): (usize, &[u8])| {
            let byte = |k: usize| u64::from(item[if big { size - 1 - k } else { k }]);
            let value = (0..size).fold(0, |sum, k| sum | byte(k) << (8 * k));
            let negative = signed && value >> (8 * size - 1) & 1 == 1;
            match u32::try_from(value) {
                Ok(value) if !negative => Ok(value),
                _ => Err(format!("sample {i} has a negative or huge label")),
            }
        };
        self.bytes.chunks_exact(size).enumerate().map(label).collect()
    }
}

/// Bytes per element of the supported types: unsigned and signed integers.
fn item_size(dtype: &str) -> Option<usize> {
    match dtype.strip_prefix(['<', '>', '|', '='])? {
        "u1" | "i1" | "b1" => Some(1),
        "u2" | "i2" => Some(2),
        "u4" | "i4" => Some(4),
        "u8" | "i8" => Some(8),
        _ => None,
    }
}

/// What follows `'key':` in the header.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    ['\'', '"'].iter().find_map(|quote| {
        let (_, rest) = header.split_once(&format!("{quote}{key}{quote}"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    })
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| *c == '\'' || *c == '"')?;
    text[1..].split_once(quote).map(|(inside, _)| inside)
}

/// A tuple of sizes: `()`, `(5,)`, `(2, 3)`.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| item.parse().ok())
        .collect()
}

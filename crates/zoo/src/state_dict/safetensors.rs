//! `.safetensors`: the length of a header in eight bytes, the header (JSON: for each tensor its
//! type, shape and place), the elements. Format: github.com/huggingface/safetensors.
//!
//! The header is read by a visitor that keeps one tensor at a time: generic JSON values would take
//! many times its size.

use std::borrow::Cow;
use std::fmt;

use edgecut_graph::limits::MAX_RANK;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::{Fault, malformed, shown};
use super::limits::{MAX_HEADER, MAX_NAME, MAX_TENSORS};
use super::storage::{Kind, View};
use super::{Stored, Tensors};

pub(super) fn tensors(bytes: &[u8]) -> Result<Tensors, Fault> {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return malformed("is cut off inside the length of its header");
    };
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    if len > MAX_HEADER {
        return malformed(format!(
            "declares a header of {len} bytes, more than {MAX_HEADER}: it is no safetensors file, \
             or damaged"
        ));
    }
    let Some((header, data)) = rest.split_at_checked(len) else {
        return malformed("is cut off inside its header");
    };
    let mut json = serde_json::Deserializer::from_slice(header);
    let visitor = Header { start: 8 + len, data: data.len() };
    let tensors = json.deserialize_map(visitor).and_then(|t| json.end().map(|()| t));
    tensors.or_else(|error| malformed(format!("its header is damaged: {error}")))
}

/// Visits the header of a file whose `data` bytes of elements begin at `start`.
struct Header {
    start: usize,
    data: usize,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: [u64; 2],
}

impl<'de> Visitor<'de> for Header {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensors, A::Error> {
        let mut tensors = Tensors::new();
        while let Some(name) = map.next_key::<Cow<str>>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if name.len() > MAX_NAME || tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!(
                    "more than {MAX_TENSORS} tensors or names of more than {MAX_NAME} bytes"
                )));
            }
            let stored = self.stored(&map.next_value()?).map_err(|fault| {
                A::Error::custom(format!("tensor '{}' {}", shown(&name), fault))
            })?;
            tensors.insert(name.into_owned(), stored);
        }
        Ok(tensors)
    }
}

impl Header {
    fn stored(&self, entry: &Entry) -> Result<Stored, Fault> {
        let Some(kind) = Kind::of_safetensors(&entry.dtype) else {
            return malformed(format!(
                "has the type {}, which is not supported",
                shown(&entry.dtype)
            ));
        };
        let view = View::dense(kind, entry.shape.extents())?;
        let [begin, end] = entry.data_offsets.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        if begin > end || end > self.data {
            return malformed("lies outside the file; it is cut off or damaged");
        }
        if view.len()?.checked_mul(kind.bytes()) != Some(end - begin) {
            return malformed("has a shape that its bytes do not fill");
        }
        Ok(Stored { view, storage: self.start + begin..self.start + end })
    }
}

/// Extents, of which at most [`MAX_RANK`] are kept while reading.
struct Shape {
    rank: usize,
    extents: [usize; MAX_RANK],
}

impl Shape {
    fn extents(&self) -> &[usize] {
        &self.extents[..self.rank]
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Shape, D::Error> {
        struct Extents;
        impl<'de> Visitor<'de> for Extents {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "at most {MAX_RANK} extents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
                let mut shape = Shape { rank: 0, extents: [0; MAX_RANK] };
                while let Some(extent) = items.next_element()? {
                    match shape.extents.get_mut(shape.rank) {
                        Some(slot) => *slot = extent,
                        None => return Err(A::Error::invalid_length(MAX_RANK + 1, &self)),
                    }
                    shape.rank += 1;
                }
                Ok(shape)
            }
        }
        json.deserialize_seq(Extents)
    }
}

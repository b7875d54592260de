//! What decoding a file will allocate, computed from its bytes before anything is decoded.
//!
//! Protobuf can be much larger in memory than on disk: an empty node is 2 bytes in the file and
//! about 150 in a `Vec<NodeProto>`. The scan walks the wire format once, without allocating, adds
//! up what the decoder's vectors and strings will hold, and refuses a file that exceeds
//! [`decode_limit`]. It also refuses truncated fields, with the offset at which they begin.
//!
//! A vector that grows by doubling to `n` elements holds at most `n / 2` old and `n` new ones
//! while it moves them, and rounds up to at most `2 n` slots; the first push makes 4. So the peak
//! is below `max(4, 3 n)` elements.

use std::mem::size_of;

use super::proto::*;
use crate::limits::MAX_IMPORT_OVERHEAD;
use crate::{GraphError, Result};

/// Bytes that decoding a file of `len` bytes may allocate.
pub(super) fn decode_limit(len: usize) -> u64 {
    4 * len as u64 + MAX_IMPORT_OVERHEAD as u64
}

/// Refuses bytes whose decoding would allocate more than [`decode_limit`], or that are no
/// protobuf.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let mut scan = Scan { total: 0, limit: decode_limit(bytes.len()) };
    scan.message(Kind::Model, Reader { bytes, at: 0, end: bytes.len() })
}

#[derive(Clone, Copy)]
enum Kind {
    Model,
    Pair,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
    Sparse,
}

/// How the decoder stores a field.
#[derive(Clone, Copy)]
enum Field {
    /// Inside its parent, in the file's buffer, or not at all.
    Free,
    Text,
    Texts,
    /// Numbers: bytes of one in memory, bytes of one in the packed form (at least).
    Numbers(usize, usize),
    One(Kind),
    Many(Kind),
}

impl Kind {
    /// Bytes of the decoded message without what it points to.
    fn size(self) -> usize {
        match self {
            Kind::Model => size_of::<ModelProto>(),
            // Operator sets have the same wire form as string pairs, and are no larger.
            Kind::Pair => size_of::<StringStringEntryProto>(),
            Kind::Function => size_of::<FunctionProto>(),
            Kind::Graph => size_of::<GraphProto>(),
            Kind::Node => size_of::<NodeProto>(),
            Kind::Attribute => size_of::<AttributeProto>(),
            Kind::Tensor => size_of::<TensorProto>(),
            Kind::ValueInfo => size_of::<ValueInfoProto>(),
            Kind::Type => size_of::<TypeProto>(),
            Kind::TensorType => size_of::<TensorTypeProto>(),
            Kind::Shape => size_of::<TensorShapeProto>(),
            Kind::Dimension => size_of::<DimensionProto>(),
            Kind::Sparse => size_of::<SparseTensorProto>(),
        }
    }

    /// The declarations of [`super::proto`], seen from the wire.
    fn field(self, number: u64) -> Field {
        match (self, number) {
            (Kind::Model, 2 | 3 | 6) => Field::Text,
            (Kind::Model, 7) => Field::One(Kind::Graph),
            (Kind::Model, 8 | 14) => Field::Many(Kind::Pair),
            (Kind::Model, 25) => Field::Many(Kind::Function),
            (Kind::Pair, 1 | 2) | (Kind::Function, 1 | 10) => Field::Text,
            (Kind::Graph, 1) => Field::Many(Kind::Node),
            (Kind::Graph, 2) => Field::Text,
            (Kind::Graph, 5) => Field::Many(Kind::Tensor),
            (Kind::Graph, 11..=13) => Field::Many(Kind::ValueInfo),
            (Kind::Graph, 15) => Field::Many(Kind::Sparse),
            (Kind::Node, 1 | 2) => Field::Texts,
            (Kind::Node, 3 | 4 | 7) => Field::Text,
            (Kind::Node, 5) => Field::Many(Kind::Attribute),
            (Kind::Attribute, 1) => Field::Text,
            (Kind::Attribute, 5) => Field::One(Kind::Tensor),
            (Kind::Attribute, 7) => Field::Numbers(4, 4),
            (Kind::Attribute, 8) => Field::Numbers(8, 1),
            (Kind::Tensor, 1) => Field::Numbers(8, 1),
            (Kind::Tensor, 8) => Field::Text,
            (Kind::Tensor, 13) => Field::Many(Kind::Pair),
            (Kind::ValueInfo, 1) => Field::Text,
            (Kind::ValueInfo, 2) => Field::One(Kind::Type),
            (Kind::Type, 1) => Field::One(Kind::TensorType),
            (Kind::TensorType, 2) => Field::One(Kind::Shape),
            (Kind::Shape, 1) => Field::Many(Kind::Dimension),
            (Kind::Dimension, 2) => Field::Text,
            _ => Field::Free,
        }
    }
}

/// A cursor over `bytes[at..end]`; offsets count from the start of the file.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn broken(&self, start: usize) -> GraphError {
        GraphError::Malformed {
            place: format!("byte {start}"),
            problem: "not an ONNX file, or truncated: no complete protobuf field begins here"
                .into(),
        }
    }

    /// A base-128 number of at most 10 bytes.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes[..self.end].get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The next `len` bytes.
    fn take(&mut self, len: u64) -> Option<Reader<'a>> {
        let end = usize::try_from(len).ok()?.checked_add(self.at).filter(|&e| e <= self.end)?;
        let part = Reader { end, ..*self };
        self.at = end;
        Some(part)
    }

    /// The next field: number, whether it is length-delimited, and its content.
    fn field(&mut self) -> Option<(u64, bool, Reader<'a>)> {
        let key = self.varint()?;
        let start = self.at;
        let content = match key & 7 {
            0 => {
                self.varint()?;
                Reader { at: start, end: self.at, ..*self }
            }
            1 => self.take(8)?,
            2 => {
                let len = self.varint()?;
                self.take(len)?
            }
            5 => self.take(4)?,
            _ => return None,
        };
        Some((key >> 3, key & 7 == 2, content))
    }
}

struct Scan {
    total: u64,
    limit: u64,
}

impl Scan {
    fn add(&mut self, bytes: u64) -> Result<()> {
        self.total = self.total.saturating_add(bytes);
        if self.total > self.limit {
            return Err(GraphError::Limit {
                place: "file".into(),
                what: "memory for decoding (bytes)",
                value: self.total,
                limit: self.limit,
            });
        }
        Ok(())
    }

    /// Recursion follows [`Kind::field`], which has no cycle: at most six levels.
    fn message(&mut self, kind: Kind, mut reader: Reader) -> Result<()> {
        let mut counts = [0u64; 32];
        while reader.at < reader.end {
            let start = reader.at;
            let Some((number, delimited, content)) = reader.field() else {
                return Err(reader.broken(start));
            };
            let len = (content.end - content.at) as u64;
            match (kind.field(number), delimited) {
                (Field::Text, true) => self.add(len)?,
                (Field::Texts, true) => {
                    self.add(len)?;
                    self.grow(&mut counts, number, 1, size_of::<String>())?;
                }
                (Field::Numbers(size, packed), true) => {
                    self.grow(&mut counts, number, len / packed as u64, size)?;
                }
                (Field::Numbers(size, _), false) => self.grow(&mut counts, number, 1, size)?,
                (Field::One(child), true) => {
                    self.add(child.size() as u64)?;
                    self.message(child, content)?;
                }
                (Field::Many(child), true) => {
                    self.grow(&mut counts, number, 1, child.size())?;
                    self.message(child, content)?;
                }
                // Free, or of the wrong wire type, which the decoder refuses.
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds `more` elements to the vector of field `number`.
    fn grow(&mut self, counts: &mut [u64; 32], number: u64, more: u64, size: usize) -> Result<()> {
        let peak = |n: u64| if n == 0 { 0 } else { n.saturating_mul(3).max(4) };
        let count = &mut counts[number as usize % 32];
        let before = peak(*count);
        *count = count.saturating_add(more);
        let added = peak(*count) - before;
        self.add(added.saturating_mul(size as u64))
    }
}

//! A model as a stream of bytes, without a second copy of its weights.
//!
//! Protobuf wants the length of a message before its content, so lengths are computed first and
//! the elements of tensors are converted as they are written. Fields are in the order of their
//! numbers, as protobuf's own writers put them.

use std::io::{self, Write};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::onnx::proto::{GraphProto, Message, ModelProto, TensorProto};
use crate::{Data, Tensor};

/// Field numbers of the messages that are written piece by piece.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_RAW_DATA: u32 = 9;

/// A model in the order of its fields.
pub(super) struct Encoded {
    /// Fields of the model before its graph.
    pub head: ModelProto,
    /// Fields of the graph before its initializers.
    pub nodes: GraphProto,
    pub stored: Vec<Stored>,
    /// Fields of the graph behind its initializers.
    pub interface: GraphProto,
    /// Fields of the model behind its graph.
    pub tail: ModelProto,
}

/// An initializer.
pub(super) enum Stored {
    /// A message with its elements.
    Whole(TensorProto),
    /// A message, and the elements that belong at its end.
    Inside { proto: TensorProto, tensor: Tensor },
    /// A message without elements; they are at this offset of the external file.
    Beside { proto: TensorProto, tensor: Tensor, offset: u64 },
}

impl Stored {
    fn proto(&self) -> &TensorProto {
        match self {
            Stored::Whole(proto) | Stored::Inside { proto, .. } | Stored::Beside { proto, .. } => {
                proto
            }
        }
    }

    /// Length of the message.
    fn len(&self) -> u64 {
        let raw = match self {
            Stored::Inside { tensor, .. } => delimited(TENSOR_RAW_DATA, tensor.bytes() as u64),
            _ => 0,
        };
        self.proto().encoded_len() as u64 + raw
    }
}

/// Length of a field of `len` bytes with its key.
fn delimited(number: u32, len: u64) -> u64 {
    key_len(number) as u64 + encoded_len_varint(len) as u64 + len
}

impl Encoded {
    /// Length of the file.
    pub fn len(&self) -> u64 {
        let around = self.head.encoded_len() + self.tail.encoded_len();
        around as u64 + delimited(MODEL_GRAPH, self.graph_len())
    }

    fn graph_len(&self) -> u64 {
        let around = self.nodes.encoded_len() + self.interface.encoded_len();
        let stored = self.stored.iter().map(|s| delimited(GRAPH_INITIALIZER, s.len()));
        around as u64 + stored.sum::<u64>()
    }

    /// Writes the model.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head.encode_to_vec())?;
        begin(out, MODEL_GRAPH, self.graph_len())?;
        out.write_all(&self.nodes.encode_to_vec())?;
        for stored in &self.stored {
            begin(out, GRAPH_INITIALIZER, stored.len())?;
            out.write_all(&stored.proto().encode_to_vec())?;
            if let Stored::Inside { tensor, .. } = stored {
                begin(out, TENSOR_RAW_DATA, tensor.bytes() as u64)?;
                elements(tensor.data(), out)?;
            }
        }
        out.write_all(&self.interface.encode_to_vec())?;
        out.write_all(&self.tail.encode_to_vec())
    }

    /// Whether there is an external file.
    pub fn has_external(&self) -> bool {
        self.stored.iter().any(|s| matches!(s, Stored::Beside { .. }))
    }

    /// Writes the external file, with zeros between tensors.
    pub fn write_external(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut end = 0;
        for stored in &self.stored {
            let Stored::Beside { tensor, offset, .. } = stored else { continue };
            out.write_all(&vec![0; (offset - end) as usize])?;
            elements(tensor.data(), out)?;
            end = offset + tensor.bytes() as u64;
        }
        Ok(())
    }
}

/// The key and length of a field.
fn begin(out: &mut dyn Write, number: u32, len: u64) -> io::Result<()> {
    let mut bytes = vec![];
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(len, &mut bytes);
    out.write_all(&bytes)
}

/// Little-endian elements, some thousand at a time.
fn elements(data: &Data, out: &mut dyn Write) -> io::Result<()> {
    fn each<T: Copy, const N: usize>(
        values: &[T],
        out: &mut dyn Write,
        bytes: impl Fn(T) -> [u8; N],
    ) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(N * values.len().min(CHUNK));
        for chunk in values.chunks(CHUNK) {
            buffer.clear();
            buffer.extend(chunk.iter().flat_map(|&v| bytes(v)));
            out.write_all(&buffer)?;
        }
        Ok(())
    }
    const CHUNK: usize = 1 << 14;
    match data {
        Data::F32(v) => each(v, out, f32::to_le_bytes),
        Data::U8(v) => out.write_all(v),
        Data::I8(v) => each(v, out, i8::to_le_bytes),
        Data::I32(v) => each(v, out, i32::to_le_bytes),
        Data::I64(v) => each(v, out, i64::to_le_bytes),
        Data::Bool(v) => each(v, out, |b| [u8::from(b)]),
    }
}

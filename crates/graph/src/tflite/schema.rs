//! What of the TensorFlow Lite schema is used: field numbers, enumerations, names of operators.
//!
//! Source: `tensorflow/lite/schema/schema.fbs`, version 3. Each constant is a field's position in
//! its table, which the format never changes.

use std::collections::BTreeMap;

use super::flat::{Numbers, Table, Tables};
use crate::limits::MAX_SHAPE_ITEMS;
use crate::{DType, GraphError, Result};

/// Version of the schema that is read and written.
pub(super) const VERSION: u32 = 3;
/// What the bytes from 4 to 8 of a file are.
pub(super) const IDENTIFIER: &[u8; 4] = b"TFL3";

/// A model: tables of the file that operators refer to.
pub(super) struct Model<'a> {
    pub codes: Tables<'a>,
    pub buffers: Tables<'a>,
    pub tensors: Tables<'a>,
    pub operators: Tables<'a>,
    pub inputs: Numbers<'a>,
    pub outputs: Numbers<'a>,
    pub name: String,
    pub metadata: Tables<'a>,
    /// The whole file, for buffers that lie outside the FlatBuffer.
    bytes: &'a [u8],
}

impl<'a> Model<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Model<'a>> {
        let malformed = |problem: String| GraphError::Malformed { place: "file".into(), problem };
        if bytes.get(4..8) != Some(&IDENTIFIER[..]) {
            return Err(malformed("is not a TensorFlow Lite model: 'TFL3' is missing".into()));
        }
        let model = super::flat::root(bytes, "Model")?;
        let version = model.u32(0)?;
        if version != VERSION {
            return Err(malformed(format!("has schema version {version}, needs {VERSION}")));
        }
        let subgraphs = model.tables(2, "SubGraph")?;
        if subgraphs.len() == 0 {
            return Err(malformed("has no subgraph".into()));
        }
        // Others are bodies of control flow, which no supported operator calls.
        let graph = subgraphs.get(0)?;
        Ok(Model {
            codes: model.tables(1, "OperatorCode")?,
            buffers: model.tables(4, "Buffer")?,
            tensors: graph.tables(0, "Tensor")?,
            inputs: graph.numbers(1, 4)?,
            outputs: graph.numbers(2, 4)?,
            operators: graph.tables(3, "Operator")?,
            name: graph.string(4)?.into_owned(),
            metadata: model.tables(6, "Metadata")?,
            bytes,
        })
    }

    /// What edgecut wrote beside the graph: entries that bear its name.
    pub fn notes(&self) -> Result<BTreeMap<String, String>> {
        let mut notes = BTreeMap::new();
        for index in 0..self.metadata.len().min(MAX_SHAPE_ITEMS) {
            let entry = self.metadata.get(index)?;
            let name = entry.string(0)?;
            if name.starts_with("edgecut.") {
                let text = String::from_utf8_lossy(self.buffer(entry.u32(1)? as usize)?);
                notes.insert(name.into_owned(), text.into_owned());
            }
        }
        Ok(notes)
    }

    /// Bytes of the buffer at `index`; empty for the buffers of computed tensors. Models beyond
    /// 2 GiB keep them behind the FlatBuffer.
    pub fn buffer(&self, index: usize) -> Result<&'a [u8]> {
        let buffer = self.buffers.get(index)?;
        let (offset, size) = (buffer.u64(1)?, buffer.u64(2)?);
        if offset <= 1 {
            return Ok(buffer.numbers(0, 1)?.bytes());
        }
        let range = || {
            let start = usize::try_from(offset).ok()?;
            self.bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
        };
        range().ok_or_else(|| GraphError::Malformed {
            place: format!("buffer {index}"),
            problem: "lies outside the file: damaged or truncated".into(),
        })
    }
}

/// Builtin code and version of the operator type at `index`, and the name of a custom one.
pub(super) fn operator_code(code: &Table) -> Result<(i32, i32, String)> {
    // Codes up to 126 are also in the older one-byte field.
    let builtin = code.i32(3, 0)?.max(i32::from(code.u8(0)?));
    Ok((builtin, code.i32(2, 1)?, code.string(1)?.into_owned()))
}

/// Element types of tensors.
pub(super) mod kind {
    pub const FLOAT32: u8 = 0;
    pub const FLOAT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const UINT8: u8 = 3;
    pub const INT64: u8 = 4;
    pub const BOOL: u8 = 6;
    pub const INT8: u8 = 9;
    /// Two to a byte, the first one in the low half.
    pub const INT4: u8 = 17;
}

/// Members of the union of options, by the table that each is.
pub(super) mod options {
    pub const CONV: u8 = 1;
    pub const DEPTHWISE: u8 = 2;
    pub const POOL: u8 = 5;
    pub const FULLY_CONNECTED: u8 = 8;
    pub const SOFTMAX: u8 = 9;
    pub const CONCATENATION: u8 = 10;
    pub const ADD: u8 = 11;
    pub const L2_NORM: u8 = 12;
    pub const LOCAL_RESPONSE: u8 = 13;
    pub const RESIZE_BILINEAR: u8 = 15;
    pub const SPACE_TO_DEPTH: u8 = 19;
    pub const MUL: u8 = 21;
    pub const GATHER: u8 = 23;
    pub const REDUCER: u8 = 27;
    pub const SUB: u8 = 28;
    pub const DIV: u8 = 29;
    pub const SQUEEZE: u8 = 30;
    pub const STRIDED_SLICE: u8 = 32;
    pub const CAST: u8 = 37;
    pub const ARG_MAX: u8 = 40;
    pub const TRANSPOSE_CONV: u8 = 49;
    pub const ARG_MIN: u8 = 57;
    pub const ONE_HOT: u8 = 61;
    pub const RESIZE_NEAREST: u8 = 74;
    pub const LEAKY_RELU: u8 = 75;
    pub const MIRROR_PAD: u8 = 77;
    pub const DEPTH_TO_SPACE: u8 = 94;
    pub const BATCH_MATMUL: u8 = 101;
    pub const CUMSUM: u8 = 102;
    pub const GELU: u8 = 116;
}

/// Names of element types, by number.
const KINDS: [&str; 19] = [
    "float32",
    "float16",
    "int32",
    "uint8",
    "int64",
    "string",
    "bool",
    "int16",
    "complex64",
    "int8",
    "float64",
    "complex128",
    "uint64",
    "resource",
    "variant",
    "uint32",
    "uint16",
    "int4",
    "bfloat16",
];

/// Name of an element type.
pub(super) fn kind_name(kind: u8) -> String {
    KINDS.get(usize::from(kind)).map_or_else(|| format!("type {kind}"), |name| name.to_string())
}

/// The type that stands for a stored one; float16 becomes float32, int4 becomes int8.
pub(super) fn dtype(kind: u8) -> Option<DType> {
    Some(match kind {
        kind::FLOAT32 | kind::FLOAT16 => DType::F32,
        kind::INT32 => DType::I32,
        kind::UINT8 => DType::U8,
        kind::INT64 => DType::I64,
        kind::BOOL => DType::Bool,
        kind::INT8 | kind::INT4 => DType::I8,
        _ => return None,
    })
}

/// Name of a builtin operator.
pub(super) fn builtin_name(code: i32) -> &'static str {
    usize::try_from(code).ok().and_then(|i| BUILTINS.get(i)).copied().unwrap_or("UNKNOWN")
}

/// Code of a builtin operator.
pub(super) fn builtin_code(name: &str) -> i32 {
    BUILTINS.iter().position(|b| *b == name).map_or(-1, |code| code as i32)
}

/// Names of builtin operators, by code.
#[rustfmt::skip]
const BUILTINS: [&str; 161] = [
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION", "L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC", "LSH_PROJECTION",
    "LSTM", "MAX_POOL_2D", "MUL", "RELU", "RELU_N1_TO_1", "RELU6", "RESHAPE", "RESIZE_BILINEAR",
    "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH", "CONCAT_EMBEDDINGS", "SKIP_GRAM", "CALL",
    "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD", "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER",
    "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "TRANSPOSE", "MEAN", "SUB", "DIV", "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN", "EXP", "TOPK_V2",
    "SPLIT", "LOG_SOFTMAX", "DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU", "MAXIMUM",
    "ARG_MAX", "MINIMUM", "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL",
    "SELECT", "SLICE", "SIN", "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL",
    "NOT_EQUAL", "LOG", "SUM", "SQRT", "RSQRT", "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT",
    "REDUCE_PROD", "REDUCE_MAX", "PACK", "LOGICAL_OR", "ONE_HOT", "LOGICAL_AND", "LOGICAL_NOT",
    "UNPACK", "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE", "FILL", "FLOOR_MOD",
    "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE", "MIRROR_PAD", "ABS",
    "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND", "COS", "WHERE", "RANK", "ELU",
    "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG", "ROUND", "HARD_SWISH", "IF",
    "WHILE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "SCATTER_ND", "SELECT_V2",
    "DENSIFY", "SEGMENT_SUM", "BATCH_MATMUL", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM",
    "CALL_ONCE", "BROADCAST_TO", "RFFT2D", "CONV_3D", "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE",
    "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "REDUCE_ALL", "CONV_3D_TRANSPOSE",
    "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE", "RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2",
    "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST", "BITWISE_XOR",
];

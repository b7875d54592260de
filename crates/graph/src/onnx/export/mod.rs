//! From a graph to the bytes of a file that every ONNX runtime reads.
//!
//! Names are kept, constants are initializers in the order of the graph's values, so the same
//! graph always gives the same bytes. Every operator is one node, but for the few that ONNX lacks
//! (see `lower`). The file is of opset [`EXPORT_OPSET`], or of the first later one that has
//! everything the graph uses:
//!
//! | opset | ONNX Runtime | needed for |
//! | --- | --- | --- |
//! | 18 | 1.14 | Mish; LpPool with dilations or ceil mode; Resize with antialiasing or a kept aspect ratio; Scatter of maxima or minima |
//! | 19 | 1.15 | dilated AveragePool; Pad that wraps; Resize with symmetric positions |
//! | 20 | 1.17 | Gelu |
//! | 21 | 1.18 | GroupNorm; weights of 4 bits |
//!
//! | file | concern |
//! | --- | --- |
//! | `qoperator` | quantised operators of one node each, where asked for |
//! | `lower` | operators that ONNX lacks |
//! | `int4` | weights that 4 bits are enough for |
//! | `model` | the messages of a whole graph |
//! | `node`, `form` | one node; which operator set it needs |
//! | `arrange`, `elementwise`, `index`, `numeric`, `resize`, `window` | attributes, by family |
//! | `encode` | messages and weights as a stream of bytes |
//! | `file` | files, and weights beside the model |

mod arrange;
mod elementwise;
mod encode;
mod file;
mod form;
mod index;
mod int4;
mod lower;
mod model;
mod node;
mod numeric;
mod qoperator;
mod resize;
mod window;

use std::collections::HashSet;
use std::path::Path;

use super::EXPORT_OPSET;
use crate::limits::MAX_FILE_BYTES;
use crate::{Graph, GraphError, Result, ValueId};

/// Most bytes of weights that are stored in the model itself: what protobuf can hold, less 64 MiB
/// for the structure of a graph.
const MAX_INLINE_BYTES: u64 = MAX_FILE_BYTES - (1 << 26);

/// How a graph is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// With weights in a file beside the model, as by [`export_external`].
    pub external_data: bool,
    /// How quantised operators are written.
    pub form: QuantisedForm,
}

/// How quantised operators are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuantisedForm {
    /// Float operators between DequantizeLinear and QuantizeLinear, which every runtime reads and
    /// the fast ones join.
    #[default]
    Qdq,
    /// QLinearConv, QLinearMatMul and ONNX Runtime's QGemm, QLinearAdd, QLinearMul,
    /// QLinearSigmoid, QLinearLeakyRelu, QLinearAveragePool, QLinearGlobalAveragePool and
    /// QLinearConcat, wherever a float operator stands alone between dequantised values and a
    /// QuantizeLinear; MaxPool and what moves elements on the integers.
    QOperator,
}

/// Writes `graph` to `path` as `options` say.
///
/// # Errors
/// As [`export`].
pub fn export_with(graph: &Graph, path: &Path, options: ExportOptions) -> Result<()> {
    let weights = graph.values().iter().filter_map(|v| v.constant.as_ref());
    let large = weights.map(|t| t.bytes() as u64).sum::<u64>() > MAX_INLINE_BYTES;
    let external = match large || options.external_data {
        true => Some(file::data_name(path)?),
        false => None,
    };
    file::write(&model::model(graph, external.as_deref(), options.form)?, path)
}

/// Writes `graph` to `path`: to a temporary file in the same folder first, then renamed, so that
/// `path` never holds half a model. Weights of about 2 GB and more, which a single file cannot
/// hold, are written beside it as by [`export_external`].
///
/// # Errors
/// As [`to_bytes`], or where a file cannot be written.
pub fn export(graph: &Graph, path: &Path) -> Result<()> {
    export_with(graph, path, ExportOptions::default())
}

/// As [`export`], with every tensor of 1 kB or more in a file beside the model that is called like
/// it, with `.data` appended (`net.onnx.data`). Readers map that file into memory instead of
/// decoding it; the two files must stay together. Both are complete, under temporary names, before
/// either is renamed. Weights are streamed: the memory needed does not depend on their size.
///
/// # Errors
/// As [`export`].
pub fn export_external(graph: &Graph, path: &Path) -> Result<()> {
    export_with(graph, path, ExportOptions { external_data: true, ..ExportOptions::default() })
}

/// The int8 weights of `graph` that are written in 4 bits.
pub fn four_bit_weights(graph: &Graph) -> HashSet<ValueId> {
    int4::weights(graph)
}

/// `graph` as the bytes of an ONNX file.
///
/// # Errors
/// Where the graph is invalid, has two values of one name, holds an operator with types that ONNX
/// does not give it, or exceeds protobuf's 2 GiB.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    to_bytes_with(graph, QuantisedForm::default())
}

/// As [`to_bytes`], with quantised operators in the given form.
///
/// # Errors
/// As [`to_bytes`].
pub fn to_bytes_with(graph: &Graph, form: QuantisedForm) -> Result<Vec<u8>> {
    let model = model::model(graph, None, form)?;
    let size = model.len();
    if size >= MAX_FILE_BYTES {
        return Err(GraphError::Limit {
            place: format!("model '{}'", graph.name),
            what: "size in bytes",
            value: size,
            limit: MAX_FILE_BYTES,
        });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    model.write(&mut bytes).expect("memory takes all bytes");
    Ok(bytes)
}

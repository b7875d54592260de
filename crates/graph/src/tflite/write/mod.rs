//! From a graph to the bytes of a file.
//!
//! Values become tensors in NHWC order, a quantised operator between Dequantize and Quantize one
//! integer operator, and what has no integer operator runs in float between DEQUANTIZE and
//! QUANTIZE, as the graph says. The same graph always gives the same bytes.
//!
//! | file | concern |
//! | --- | --- |
//! | `values` | which tensor holds a value, in which order, as floats or codes |
//! | `params` | scales and zero points of 8-bit values, int8 or uint8 |
//! | `tasks` | integer operator or float, fused activation, what is quantised again |
//! | `nodes`, the rest | one mapping for each operator |
//! | `file`, `flat` | tensors, operators and buffers as a FlatBuffer |
//! | `versions`, `types` | what LiteRT's kernels accept |

mod arrange;
mod file;
mod flat;
mod layers;
mod math;
mod nodes;
mod norms;
mod params;
mod pools;
mod reduce;
mod resize;
mod shapes;
mod tasks;
mod types;
mod values;
mod versions;

use std::path::Path;
use std::sync::Arc;

use crate::tflite::tensors::Quant;
use crate::{DType, Graph, GraphError, Result, ValueId, file as files, passes};
use params::shift;
use values::{Writer, usual};

/// Writes `graph` to `path`: to a temporary file in the same folder first, then renamed, so that
/// `path` never holds half a model. Fails as [`to_bytes`], or where the file cannot be written.
pub fn export(graph: &Graph, path: &Path) -> Result<()> {
    files::write(path, &to_bytes(graph)?)
}

/// `graph` as a TensorFlow Lite file of schema version 3.
///
/// Inputs and outputs of rank 4 are NHWC in the file, others as in the graph; their types are
/// those of the graph. An open batch is written as such (`shape_signature`). Quantised activations
/// are int8, weights int8 and symmetric; where some weights are not symmetric all of them are
/// uint8, with one scale a tensor. Metadata travel as buffers of their names.
///
/// # Errors
/// Names the node where an operator, a type, or parameters of quantisation have no counterpart in
/// TensorFlow Lite; names the input where another dimension than the batch is open. Files beyond
/// 2 GiB are refused.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    graph.validate()?;
    let mut graph = graph.clone();
    graph.remove_unused();
    // There is no BatchNorm in TensorFlow Lite; one behind a convolution vanishes in its weights.
    passes::fold_batch_norm(&mut graph)?;
    passes::merge_reshapes(&mut graph)?;
    let mut writer = Writer::new(&graph)?;
    let inputs = inputs(&mut writer)?;
    for index in 0..graph.nodes.len() {
        if !writer.done[index] {
            writer.node(index)?;
        }
    }
    let outputs = outputs(&mut writer)?;
    let name = if graph.name.is_empty() { "main" } else { &graph.name };
    writer.file.finish(name, &inputs, &outputs, &graph.metadata)
}

fn inputs(writer: &mut Writer) -> Result<Vec<usize>> {
    let graph = writer.graph;
    let mut tensors = vec![];
    for &id in &graph.inputs {
        let value = graph.value(id);
        let open = value.shape.dims().iter().skip(1).any(|d| d.fixed().is_none());
        if open {
            return Err(GraphError::Shape {
                place: format!("input '{}'", value.name),
                problem: format!(
                    "is {}: TFLite is written with an open batch only, give the other dimensions \
                     fixed extents",
                    value.shape
                ),
            });
        }
        tensors.push(input(writer, id)?);
    }
    Ok(tensors)
}

/// The tensor of an input, converted where its 8-bit type is not the one of the file.
fn input(writer: &mut Writer, id: ValueId) -> Result<usize> {
    let value = writer.graph.value(id);
    let order = usual(value.shape.rank());
    let dims = values::ordered(value.shape.dims(), &order);
    let quant = writer.params.get(id).cloned();
    let ours = writer.params.dtype;
    let foreign = quant.as_ref().filter(|_| value.dtype != ours);
    let declared = foreign.map(|q| moved(q, ours, value.dtype)).or(quant.clone());
    let tensor = writer.file.tensor(&value.name, value.dtype, dims.clone(), declared);
    if foreign.is_none() {
        writer.hold_codes(id, &order, tensor);
        return Ok(tensor);
    }
    let codes = writer.file.tensor(&format!("{}.{ours}", value.name), ours, dims, quant);
    writer.emit("QUANTIZE", &[tensor], codes, None);
    writer.hold_codes(id, &order, codes);
    Ok(tensor)
}

fn outputs(writer: &mut Writer) -> Result<Vec<usize>> {
    let graph = writer.graph;
    let mut tensors = vec![];
    for &id in &graph.outputs {
        let tensor = output(writer, id)?;
        let is_input = graph.inputs.contains(&id);
        if !is_input && !tensors.contains(&tensor) {
            writer.file.rename(tensor, &graph.value(id).name);
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

/// The tensor of an output, in the graph's type.
fn output(writer: &mut Writer, id: ValueId) -> Result<usize> {
    let value = writer.graph.value(id);
    let order = usual(value.shape.rank());
    let Some(quant) = writer.params.get(id).cloned() else { return writer.plain(id, &order) };
    let codes = writer.codes_of(id, &order)?;
    let ours = writer.params.dtype;
    if value.dtype == ours {
        return Ok(codes);
    }
    let dims = values::ordered(value.shape.dims(), &order);
    let quant = Some(moved(&quant, ours, value.dtype));
    let tensor = writer.file.tensor(&value.name, value.dtype, dims, quant);
    writer.emit("QUANTIZE", &[codes], tensor, None);
    Ok(tensor)
}

/// The parameters of the same numbers in another 8-bit type.
fn moved(quant: &Quant, from: DType, to: DType) -> Arc<Quant> {
    let zeros = quant.zeros.iter().map(|z| z + shift(from, to)).collect();
    Arc::new(Quant { zeros, ..quant.clone() })
}

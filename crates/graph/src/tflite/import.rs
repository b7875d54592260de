//! From the bytes of a file to a checked graph.

use std::path::Path;

use super::node::OpIn;
use super::operators;
use super::schema::Model;
use super::values::Importer;
use crate::limits::{MAX_NODES, MAX_VALUES};
use crate::{Graph, GraphError, Result, file};

/// Reads the model at `path`. Inputs and outputs of rank 4 become NCHW, which the metadata entry
/// `edgecut.source_layout` = `NHWC` records; quantised ones stay uint8 or int8. A batch that the
/// file leaves open becomes the symbol `batch`.
///
/// Errors name the file, and where in it: [`GraphError::InFile`].
pub fn import(path: &Path) -> Result<Graph> {
    let bytes = file::read(path)?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    model(&stem, &bytes).map_err(|source| source.in_file(&path.display().to_string()))
}

/// As [`import`], from memory. `name` names the model in errors, and becomes its name where the
/// file gives none.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Graph> {
    file::check_size(bytes.len() as u64)
        .and_then(|()| model(name, bytes))
        .map_err(|source| source.in_file(name))
}

fn limit(what: &'static str, value: usize, limit: usize) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    let (value, limit) = (value as u64, limit as u64);
    Err(GraphError::Limit { place: "subgraph".into(), what, value, limit })
}

fn model(name: &str, bytes: &[u8]) -> Result<Graph> {
    let model = Model::read(bytes)?;
    limit("number of operators", model.operators.len(), MAX_NODES)?;
    limit("number of inputs", model.inputs.len(), MAX_NODES)?;
    limit("number of outputs", model.outputs.len(), MAX_NODES)?;
    let title = if model.name.is_empty() { name } else { &model.name };
    let mut importer = Importer::new(&model, title, bytes.len());
    for index in model.inputs.iter(i32::from_le_bytes) {
        importer.add_input(tensor(index)?)?;
    }
    let mut operands = 0usize;
    for index in 0..model.operators.len() {
        let op = OpIn::read(&model, index)?;
        // Vectors may share their bytes, so that a small file could mention many.
        operands = operands.saturating_add(op.operands());
        limit("number of operands", operands, MAX_VALUES)?;
        operators::map(&mut importer, &op)?;
    }
    for index in model.outputs.iter(i32::from_le_bytes) {
        let id = importer.output(tensor(index)?)?;
        importer.graph.outputs.push(id);
    }
    let mut graph = importer.graph;
    if graph.outputs.is_empty() {
        let problem = "has no output: not a model, or truncated".into();
        return Err(GraphError::Malformed { place: "subgraph".into(), problem });
    }
    graph.metadata = model.notes()?;
    graph.metadata.insert("edgecut.source_layout".into(), "NHWC".into());
    graph.remove_unused();
    graph.validate()?;
    Ok(graph)
}

fn tensor(index: i32) -> Result<usize> {
    usize::try_from(index).map_err(|_| GraphError::Malformed {
        place: "subgraph".into(),
        problem: format!("mentions tensor {index}"),
    })
}

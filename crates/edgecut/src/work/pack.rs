//! From a model file to a packed model: one plan for each set of input shapes.

use std::path::Path;
use std::sync::Arc;

use edgecut_graph::{DType, Graph, onnx};
use edgecut_kernels::Pool;
use edgecut_kernels::quant::Affine;
use edgecut_runtime::{CompileOptions, Facts, Model as Runnable, Plan, Storage, pack};

use super::interface::{self, float_ports};
use super::model::{self, Model, ends_in_softmax};
use super::shapes::Shapes;
use crate::errors::{Failure, Result};

/// What was packed.
pub struct Packing {
    /// Plans, one for each set of shapes.
    pub plans: Vec<Arc<Plan>>,
    /// Nodes of the graph.
    pub nodes: usize,
    /// Size of the model's own file.
    pub file_bytes: u64,
}

/// What a model is packed for.
pub struct Wanted<'a> {
    /// Shapes of inputs that the model leaves open; an input with several gives as many plans.
    pub shapes: &'a Shapes,
    /// Extents of an open batch, one plan each.
    pub batches: &'a [u16],
    /// Whether 8-bit inputs and outputs become the numbers that they stand for.
    pub float: bool,
    /// What it computes in, and whether plans are tuned.
    pub options: CompileOptions,
    /// How weights are stored.
    pub storage: Storage,
}

/// Compiles `graph`, for a batch of 1 where that is open, and writes it to `to`.
pub fn pack_graph(graph: &Graph, to: &Path, storage: Storage) -> Result<()> {
    let runnable = Runnable::new(graph.clone(), Arc::new(Pool::new(1)));
    let shapes = input_shapes(&runnable, &[1])?;
    let plans = shapes.iter().map(|shapes| runnable.plan_for(shapes));
    let plans = plans.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(pack(&plans, &describe(graph, None), storage, to)?)
}

/// Compiles the model at `from` for all that is `wanted` and writes `to`, whole or not at all.
pub fn pack_file(from: &Path, to: &Path, wanted: &Wanted) -> Result<Packing> {
    let mut packing = Packing { plans: vec![], nodes: 0, file_bytes: model::check(from)? };
    let mut facts = None;
    // One model for all shapes: its plans share the weights that come out equal.
    for shapes in wanted.shapes.sets() {
        let (graph, codes) = graph(from, &shapes, wanted.float)?;
        packing.nodes = graph.nodes.len();
        facts.get_or_insert_with(|| describe(&graph, codes));
        let runnable = Runnable::new(graph, Arc::new(Pool::new(1)));
        let runnable = runnable.with_options(wanted.options.clone());
        for shapes in input_shapes(&runnable, wanted.batches)? {
            let known = packing
                .plans
                .iter()
                .any(|plan: &Arc<Plan>| plan.inputs().iter().map(|i| &i.shape).eq(&shapes));
            if !known {
                let plan = runnable.plan_for(&shapes);
                packing.plans.push(plan.map_err(|e| Failure::from(e).at(from))?);
            }
        }
    }
    pack(&packing.plans, &facts.unwrap_or_default(), wanted.storage, to)?;
    Ok(packing)
}

/// The shapes of all inputs, for each batch where it is open.
fn input_shapes(model: &Runnable, batches: &[u16]) -> Result<Vec<Vec<Vec<usize>>>> {
    if let Some(fixed) = model.fixed_batch() {
        return Ok(vec![model.batch_shapes(fixed)?]);
    }
    batches.iter().map(|&batch| Ok(model.batch_shapes(batch.into())?)).collect()
}

/// The graph for one set of shapes, and what the codes of its first input stand for where that was
/// 8-bit and is a number now.
fn graph(from: &Path, shapes: &Shapes, float: bool) -> Result<(Graph, Option<Affine>)> {
    let graph = Model::load_with(from, shapes)?.graph;
    let first = graph.inputs.first().copied();
    let codes = first.filter(|_| float).and_then(|id| {
        let (scale, zero) = interface::quantisation(&graph, id)?;
        // int8 is stored with 128 added.
        let zero = if graph.value(id).dtype == DType::I8 { zero + 128 } else { zero };
        Some(Affine::new(scale, u8::try_from(zero).ok()?))
    });
    if !float {
        return Ok((graph, None));
    }
    Ok((float_ports(&graph).map_err(|e| e.at(from))?.0, codes))
}

fn describe(graph: &Graph, pixel_codes: Option<Affine>) -> Facts {
    let mut metadata = graph.metadata.clone();
    // Text about the model, of any length: it belongs to the model, not to its packed form.
    metadata.remove(onnx::DOC_STRING);
    let (name, distribution) = (graph.name.clone(), ends_in_softmax(graph));
    Facts { name, metadata, distribution, pixel_codes }
}

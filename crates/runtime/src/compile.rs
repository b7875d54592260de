//! From a graph to a plan, ahead of time.

use std::sync::Arc;

use edgecut_graph::infer::infer_node;
use edgecut_graph::{Graph, Node, Op, Shape, ValueId, checked_len, passes};
use edgecut_kernels::Isa;
use edgecut_kernels::arena::Span;

use crate::fuse::fuse;
use crate::lower::{Lowered, lower};
use crate::memory::{Life, assign};
use crate::model::{check_shapes, inputs_of};
use crate::plan::{Emitted, Place, Plan, Port, Slot};
use crate::tune::Tuner;
use crate::{MAX_ARENA_BYTES, Result, RuntimeError};

/// What a plan is compiled for.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The extent that symbolic dimensions (the batch) take.
    pub batch: usize,
    /// The instruction set to use. Float32 and integer results do not depend on it.
    pub isa: Isa,
    /// What float convolutions and products compute in.
    pub precision: Precision,
    /// Measures which layers run as one chain; without it, rules say so. Results do not depend on
    /// it.
    pub tuner: Option<Arc<Tuner>>,
}

/// What float convolutions and matrix products with constant weights compute in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Float32: the same bits on every machine.
    #[default]
    F32,
    /// Weights and inputs rounded to bfloat16, sums in float32 ([`edgecut_kernels::bf16`]).
    /// Depthwise convolutions and everything else stay float32. Another kind of unit may change
    /// the last bits of a sum.
    Bf16,
}

impl Default for CompileOptions {
    /// One image, the best instruction set of this machine, float32, no measurements.
    fn default() -> CompileOptions {
        let (isa, precision) = (Isa::detect(), Precision::F32);
        CompileOptions { batch: 1, isa, precision, tuner: None }
    }
}

/// Compiles `graph`: rewrites it ([`passes::canonicalise`]; in a quantised graph only what keeps
/// every bit), folds BatchNorm and constants, fuses, packs weights, plans memory.
///
/// The graph is not changed. Dimensions without a fixed size take `options.batch`; for models whose
/// inputs have several of them there is [`Model`](crate::Model).
///
/// # Errors
/// Where the graph is not valid, or the buffers would need more than [`MAX_ARENA_BYTES`].
pub fn compile(graph: &Graph, options: &CompileOptions) -> Result<Plan> {
    let shapes = graph.inputs.iter().map(|&i| graph.value(i).shape.with_symbols(options.batch));
    let shapes: Vec<_> = shapes.collect();
    compile_fixed(specialise(graph.clone(), &shapes)?, options)
}

/// As [`compile()`] for `shapes`, one for each input in order, which say the batch too. Takes the graph, so that its weights
/// are let go one after the other as they are packed: nobody holds all of them twice.
///
/// # Errors
/// As [`compile()`], and where the shapes do not fit the inputs.
pub fn compile_for(graph: Graph, shapes: &[Vec<usize>], options: &CompileOptions) -> Result<Plan> {
    check_shapes(&inputs_of(&graph), shapes)?;
    compile_fixed(specialise(graph, shapes)?, options)
}

/// Compiles a graph whose shapes are all fixed.
pub(crate) fn compile_fixed(mut graph: Graph, options: &CompileOptions) -> Result<Plan> {
    let isa = options.isa;
    rewrite(&mut graph)?;
    let mut lowered = lower(&mut graph, options.precision)?;
    fuse(&mut lowered, isa, options.tuner.as_deref())?;
    let (places, arena_bytes) = place(&mut lowered)?;
    let ports = |values: &[ValueId], slots: &[Slot]| {
        let pairs = values.iter().zip(slots);
        pairs.map(|(&id, &slot)| port(&graph, id, slot)).collect::<Vec<Port>>()
    };
    let (inputs, outputs) =
        (ports(&graph.inputs, &lowered.inputs), ports(&graph.outputs, &lowered.outputs));
    let (steps, infos) = lowered.steps.into_iter().map(|e| (e.step, e.info)).unzip();
    let plan = Plan { steps, infos, places, inputs, outputs, arena_bytes, isa };
    debug_assert_eq!(plan.check(), Ok(()), "a compiled plan passes the check of one from a file");
    Ok(plan)
}

/// Brings the graph into the form that lowering knows best. A float graph is canonicalised, which
/// changes results by rounding at most. In a quantised one a rounding could tip an integer over, so
/// it sees only the passes that keep every bit; functions spelled in several operators become
/// tables there, whatever they are. BatchNorm is folded in both.
fn rewrite(graph: &mut Graph) -> Result<()> {
    let converts = |op: &Op| matches!(op, Op::Quantize { .. } | Op::Dequantize { .. });
    if graph.nodes.iter().any(|node| converts(&node.op)) {
        passes::remove_identities(graph)?;
        passes::channel_shuffle(graph)?;
        passes::depth_to_space(graph)?;
        passes::merge_transposes(graph)?;
        passes::merge_reshapes(graph)?;
        passes::pad_into_conv(graph)?;
        passes::fold_batch_norm(graph)?;
        passes::silu(graph)?;
        passes::move_integers(graph)?;
        passes::remove_requantise(graph)?;
        graph.remove_unused();
    } else {
        passes::canonicalise(graph)?;
    }
    Ok(())
}

fn port(graph: &Graph, id: ValueId, slot: Slot) -> Port {
    let value = graph.value(id);
    Port { name: value.name.clone(), dtype: value.dtype, shape: value.shape.with_symbols(1), slot }
}

/// The graph whose inputs have these shapes, one each, and all other values those that follow.
pub(crate) fn specialise(mut graph: Graph, shapes: &[Vec<usize>]) -> Result<Graph> {
    graph.validate()?;
    for (input, shape) in graph.inputs.clone().into_iter().zip(shapes) {
        checked_len(shape, &graph.value(input).name)?;
        graph.value_mut(input).shape = Shape::fixed(shape);
    }
    let nodes: Vec<Node> = std::mem::take(&mut graph.nodes);
    for node in &nodes {
        for (&output, (_, shape)) in node.outputs.iter().zip(infer_node(&graph, node)?) {
            graph.value_mut(output).shape = shape;
        }
    }
    graph.nodes = nodes;
    graph.remove_unused();
    Ok(graph)
}

/// Gives every buffer its place.
pub(crate) fn place(lowered: &mut Lowered) -> Result<(Vec<Place>, usize)> {
    let mut shared: Vec<usize> = (0..lowered.buffers.len()).collect();
    let mut lives = lives(lowered);
    for (buffer, life) in lowered.buffers.iter_mut().zip(&mut lives) {
        // What became rows inside a chain needs no memory of its own.
        if life.first > life.last {
            (buffer.bytes, life.bytes) = (0, 0);
        }
    }
    for (index, emitted) in lowered.steps.iter().enumerate() {
        if let Some((x, y)) = in_place(lowered, &lives, &shared, index, emitted) {
            lives[x].last = lives[y].last;
            shared[y] = x;
        }
    }
    let owners: Vec<usize> = (0..shared.len())
        .filter(|&i| shared[i] == i && lowered.buffers[i].constant.is_none())
        .collect();
    let own: Vec<Life> = owners.iter().map(|&i| lives[i]).collect();
    let (offsets, total) = assign(&own);
    if total > MAX_ARENA_BYTES {
        return Err(RuntimeError::TooLarge { bytes: total, limit: MAX_ARENA_BYTES });
    }
    let mut offset_of = vec![0; shared.len()];
    owners.iter().zip(offsets).for_each(|(&i, offset)| offset_of[i] = offset);
    let places =
        lowered.buffers.iter_mut().enumerate().map(|(i, buffer)| match buffer.constant.take() {
            Some(constant) => Place::Constant(constant.into()),
            None => Place::Arena(Span { offset: offset_of[shared[i]], bytes: buffer.bytes }),
        });
    Ok((places.collect(), total))
}

/// From which step to which each buffer's content matters. Inputs and outputs keep theirs from one
/// run to the next, so that a second run without new inputs gives the same outputs.
fn lives(lowered: &Lowered) -> Vec<Life> {
    let end = lowered.steps.len();
    let mut lives: Vec<Life> =
        lowered.buffers.iter().map(|b| Life { bytes: b.bytes, first: end, last: 0 }).collect();
    for (index, emitted) in lowered.steps.iter().enumerate() {
        for slot in emitted.reads.iter().chain(&emitted.writes) {
            let life = &mut lives[slot.index()];
            (life.first, life.last) = (life.first.min(index), life.last.max(index));
        }
    }
    for slot in &lowered.inputs {
        (lives[slot.index()].first, lives[slot.index()].last) = (0, end);
    }
    lowered.outputs.iter().for_each(|slot| lives[slot.index()].last = end);
    lives
}

/// The buffers (owner first) that step `index` may merge: the read one ends with this step.
fn in_place(
    lowered: &Lowered,
    lives: &[Life],
    shared: &[usize],
    index: usize,
    emitted: &Emitted,
) -> Option<(usize, usize)> {
    let (x, y) = emitted.in_place?;
    let x_owner = shared[x.index()];
    let free = |slot: usize| {
        let buffer = &lowered.buffers[slot];
        buffer.constant.is_none() && !buffer.pinned
    };
    let ends_here = lives[x_owner].last == index && free(x_owner) && free(x.index());
    let fits = lowered.buffers[x_owner].bytes == lowered.buffers[y.index()].bytes;
    (ends_here && fits && !lowered.buffers[y.index()].pinned).then_some((x_owner, y.index()))
}

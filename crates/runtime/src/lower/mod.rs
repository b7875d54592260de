//! From nodes to steps: which nodes one step computes together, and where its operands are.
//!
//! Nodes are visited in order. A visit may look ahead along values that have a single reader and
//! take the nodes there into its own step (residual add, clamp, requantisation); those are then
//! skipped. What has no step of its own runs through the reference interpreter, so every valid
//! graph runs and only speed differs.
//!
//! | file | lowers |
//! | --- | --- |
//! | `state` | what is known of each value: constant, buffer, or view of 8-bit data |
//! | `tail` | the nodes that a convolution takes along |
//! | `channels` | some channels of wider tensors: slices, concatenations, shuffles for free |
//! | `layer` | steps of one layer, for convolutions and pooling |
//! | `conv`, `linear` | convolutions and matrix products in float |
//! | `order` | values in channels-last or row-major order |
//! | `elementwise`, `pool`, `rows`, `window` | the other float operators |
//! | `shape`, `take` | operators that move elements |
//! | `quantised`, `quantised_conv` | integer steps out of Dequantize - operator - Quantize |

mod channels;
mod conv;
mod elementwise;
mod fold;
mod layer;
mod linear;
mod order;
mod pool;
mod quantised;
mod quantised_conv;
mod rows;
mod shape;
mod state;
mod tail;
mod take;
mod weights;
mod window;

use std::collections::HashMap;

use edgecut_graph::{DType, Graph, Node, Op, Reduction, ValueId};

use crate::plan::{Buffer, Emitted, Slot, StepInfo};
use crate::step::{Operand, Reference, Source, Step};
use crate::{Precision, Result, layout};
use channels::Join;
use state::Held;

/// Everything that lowering produces, before memory is planned.
#[derive(Default)]
pub(crate) struct Lowered {
    /// Buffers and constants, indexed by slot.
    pub buffers: Vec<Buffer>,
    /// Steps in execution order.
    pub steps: Vec<Emitted>,
    /// Row-major buffers that the caller fills.
    pub inputs: Vec<Slot>,
    /// Row-major buffers that the caller reads.
    pub outputs: Vec<Slot>,
}

/// Lowers a graph whose shapes are all fixed, and takes its constants.
pub(crate) fn lower(graph: &mut Graph, precision: Precision) -> Result<Lowered> {
    let held = graph.values().iter().map(Held::new).collect();
    graph.forget_constants();
    let mut lowering = Lowering::new(graph, held, precision);
    lowering.inputs();
    for index in 0..graph.nodes.len() {
        if !lowering.done[index] {
            lowering.node(index)?;
        }
        lowering.release(index);
    }
    lowering.outputs()?;
    Ok(lowering.out)
}

struct Lowering<'g> {
    graph: &'g Graph,
    precision: Precision,
    /// Nodes that read each value.
    consumers: Vec<Vec<usize>>,
    /// Values that the graph returns.
    returned: Vec<bool>,
    /// Nodes that an earlier step has taken along.
    done: Vec<bool>,
    held: Vec<Held>,
    /// The node that computes each value.
    producers: Vec<Option<usize>>,
    /// Concatenations, by their nodes, whose inputs are written in place.
    joins: HashMap<usize, Join>,
    out: Lowered,
}

/// What a step reads, writes and costs, besides the step itself.
struct Effects {
    kind: &'static str,
    reads: Vec<Slot>,
    writes: Vec<Slot>,
    macs: u64,
    /// A read whose buffer the step may overwrite with this write, if nobody needs it later.
    in_place: Option<(Slot, Slot)>,
}

impl Effects {
    fn new(kind: &'static str, reads: &[Slot], writes: &[Slot]) -> Effects {
        let (reads, writes) = (reads.to_vec(), writes.to_vec());
        Effects { kind, reads, writes, macs: 0, in_place: None }
    }

    fn macs(self, macs: usize) -> Self {
        Effects { macs: macs as u64, ..self }
    }

    fn in_place(self, x: Slot, y: Slot) -> Self {
        Effects { in_place: Some((x, y)), ..self }
    }
}

impl<'g> Lowering<'g> {
    fn new(graph: &'g Graph, held: Vec<Held>, precision: Precision) -> Lowering<'g> {
        let mut returned = vec![false; graph.values().len()];
        graph.outputs.iter().for_each(|o| returned[o.index()] = true);
        Lowering {
            graph,
            precision,
            returned,
            consumers: graph.consumers(),
            done: vec![false; graph.nodes.len()],
            held,
            producers: graph.producers(),
            joins: HashMap::new(),
            out: Lowered::default(),
        }
    }

    /// Lets go of the weights of node `index` where no later product needs them: packed, they exist
    /// once more. Other constants are small, and their readers look back at them.
    fn release(&mut self, index: usize) {
        let product = |&i: &usize| {
            let op = &self.graph.nodes[i].op;
            matches!(op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul)
        };
        for value in self.graph.nodes[index].inputs.iter().flatten() {
            let readers = &self.consumers[value.index()];
            let packed = readers.iter().all(product) && readers.last() == Some(&index);
            if packed && !self.returned[value.index()] {
                self.held[value.index()].constant = None;
            }
        }
    }

    fn inputs(&mut self) {
        for &input in &self.graph.inputs {
            let shape = self.shape(input);
            let slot = self.buffer(self.graph.value(input).dtype, count(&shape));
            self.out.buffers[slot.index()].pinned = true;
            self.out.inputs.push(slot);
            // The reader decides whether the channels-last copy is needed, see `stored`.
            if layout::is_row_major(&shape) {
                self.held[input.index()].slot = Some(slot);
            } else {
                self.held[input.index()].row_major = Some(slot);
            }
        }
    }

    fn outputs(&mut self) -> Result<()> {
        for &output in &self.graph.outputs {
            let slot = self.stored_row_major(output)?;
            self.out.buffers[slot.index()].pinned = true;
            self.out.outputs.push(slot);
        }
        Ok(())
    }

    fn node(&mut self, index: usize) -> Result<()> {
        let node = &self.graph.nodes[index];
        let without_elements = |v: ValueId| count(&self.shape(v)) == 0;
        if node.outputs.iter().all(|&v| without_elements(v)) {
            return Ok(());
        }
        // Kernels have no rule for sums and maxima of nothing; the interpreter has.
        let nothing_to_read = node.inputs.iter().flatten().any(|&v| without_elements(v));
        if self.fold(index)? {
            return Ok(());
        }
        let handled = !nothing_to_read
            && (self.moves(index)? || self.float_only(node) && self.floats(index)?);
        if !handled {
            self.reference(node)?;
        }
        Ok(())
    }

    /// Whether every input and output is float32 or 8-bit data behind Quantize and Dequantize.
    fn float_only(&self, node: &Node) -> bool {
        let converts = matches!(node.op, Op::Quantize { .. } | Op::Dequantize { .. });
        let values = node.inputs.iter().flatten().chain(&node.outputs);
        converts || values.copied().all(|v| self.dtype(v) == DType::F32)
    }

    /// Operators that move elements of any type. Returns whether the node was lowered.
    fn moves(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        match &node.op {
            Op::Concat { axis } => self.concat(index, *axis),
            Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. } => {
                self.reshape(node)
            }
            Op::Transpose { perm } => self.transpose(node, perm),
            Op::Slice { cuts } => self.slice(node, cuts),
            Op::Expand { .. } => self.expand(node),
            Op::Tile { repeats } => self.tile(node, repeats),
            Op::Gather { axis } => self.gather_constant(node, *axis),
            Op::Pad { before, mode, .. } => self.pad(node, before, *mode),
            Op::MaxPool(pool) if self.dtype(node.output()).is_quantised() => {
                self.byte_max_pool(node, pool)
            }
            Op::Resize(resize) => self.nearest(node, resize),
            Op::ChannelShuffle { groups } => self.channel_shuffle(node, *groups),
            Op::DepthToSpace { block, order } => self.depth_to_space(node, *block, *order),
            Op::SpaceToDepth { block } => self.space_to_depth(node, *block),
            _ => Ok(false),
        }
    }

    /// Operators that compute with float32, or with integers that stand for float32. Returns
    /// whether the node was lowered.
    fn floats(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        match &node.op {
            Op::Conv(conv) => Ok(self.quantised_conv(index, conv)? || self.conv(index, conv)?),
            Op::ConvTranspose(conv) => self.conv_transpose(node, conv),
            Op::Gemm(_) | Op::MatMul => {
                Ok(self.quantised_linear(index)? || self.linear(index)? || self.matmul(node)?)
            }
            Op::Quantize { .. } => self.quantize(node),
            Op::Dequantize { .. } => self.dequantize(node),
            Op::BatchNorm { epsilon, .. } => self.batch_norm(node, *epsilon),
            Op::Unary(unary) => Ok(self.tabulate(node)? || self.unary(node, *unary)?),
            Op::Binary(binary) => Ok(self.tabulate(node)?
                || self.quantised_binary(index, *binary)?
                || self.binary(index, *binary)?),
            Op::MaxPool(pool) => self.max_pool(node, pool),
            Op::AveragePool(pool) => self.average_pool(index, pool),
            Op::GlobalAveragePool => self.global_average(index),
            Op::Reduce { kind, axes, .. } => {
                let rank = self.graph.value(node.input(0)?).shape.rank();
                let spatial = *kind == Reduction::Mean && axes == &[2, 3] && rank == 4;
                Ok(spatial && self.global_average(index)? || self.reduce(node, *kind, axes)?)
            }
            Op::Resize(resize) => self.resample(node, resize),
            Op::LayerNorm { epsilon, .. } => self.layer_norm(node, *epsilon),
            Op::Softmax { axis } => self.softmax(node, *axis, false),
            Op::LogSoftmax { axis } => self.softmax(node, *axis, true),
            _ => Ok(false),
        }
    }

    /// The node as the interpreter runs it: right for every operator, slow, and the one step that
    /// allocates.
    fn reference(&mut self, node: &Node) -> Result<()> {
        let (mut reads, mut sources) = (vec![], vec![]);
        for &input in &node.inputs {
            sources.push(match input {
                None => None,
                Some(value) => Some(match self.constant(value)? {
                    Some(tensor) => Source::Constant(tensor),
                    None => {
                        let slot = self.stored(value)?;
                        reads.push(slot);
                        Source::Buffer(Operand {
                            slot,
                            dtype: self.dtype(value),
                            shape: self.shape(value),
                        })
                    }
                }),
            });
        }
        let writes: Vec<Slot> = node.outputs.iter().map(|&o| self.produce(o)).collect();
        let step = Step::Reference(Box::new(Reference::new(node, sources, writes.clone())?));
        self.emit(node, step, Effects::new("reference", &reads, &writes));
        Ok(())
    }

    /// Appends a step that computes (at least) `node`.
    fn emit(&mut self, node: &Node, step: Step, effects: Effects) {
        let shape = self.shape(node.output());
        self.emit_named(&node.name, shape, step, effects);
    }

    /// Appends a step under another name, such as a layout conversion.
    fn emit_named(&mut self, name: &str, shape: Vec<usize>, step: Step, effects: Effects) {
        let touched = effects.reads.iter().chain(&effects.writes);
        let bytes = touched.map(|s| self.out.buffers[s.index()].bytes as u64).sum::<u64>()
            + step.weight_bytes() as u64;
        let info = StepInfo {
            name: name.into(),
            kind: effects.kind.into(),
            shape,
            macs: effects.macs,
            bytes,
        };
        self.out.steps.push(Emitted {
            step,
            info,
            reads: effects.reads,
            writes: effects.writes,
            in_place: effects.in_place,
        });
    }

    /// Extents of a value; all are fixed.
    fn shape(&self, value: ValueId) -> Vec<usize> {
        self.graph.value(value).shape.with_symbols(1)
    }

    fn dtype(&self, value: ValueId) -> DType {
        self.graph.value(value).dtype
    }
}

/// Number of elements of a shape.
fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

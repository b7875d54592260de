//! From a graph to the steps of training.
//!
//! A [`TrainPlan`] is the graph as a list of layers, with every buffer known beforehand. Images are
//! dense NHWC matrices `[n*h*w, c]`; what attention and reshapes make has the graph's own order.
//!
//! - A clamping activation (ReLU, ReLU6) after BatchNorm becomes part of it: one pass over memory
//!   less in each direction, and memory is what these nets wait for.
//! - Addition and a free-standing clamp write over an input that nobody else reads.
//! - Flatten and reshapes to rows are no steps at all: a linear layer's weights are permuted once
//!   instead of its input at every step.
//! - Activations and their gradients share one arena by their lives, and what does not fit a budget is
//!   computed again, see [`memory`].
//! - A Softmax at the end belongs to the loss.

mod compile;
mod gradients;
mod memory;
mod options;
mod tap;
mod timeline;

use edgecut_graph::Graph;

use crate::error::{Result, TrainError};
use crate::grad::Layer;
use crate::params::{ParamId, Params};

use compile::Compiled;
pub(crate) use gradients::{Backward, Target};
pub use memory::{Budget, Memory};
pub use options::{Extra, PlanOptions};
pub use tap::Tap;
use timeline::Timeline;

/// Spatial extent and channels of one image's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Extent {
    /// Pixels of one image: rows of its activation matrix.
    pub fn pixels(&self) -> usize {
        self.h * self.w
    }

    /// Elements of one image.
    pub fn len(&self) -> usize {
        self.pixels() * self.c
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An activation: what it holds and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    /// Elements of one image.
    pub len: usize,
    /// Byte of the arena where it begins in the forward pass; several activations share it where a
    /// layer works in place.
    pub place: usize,
}

/// One layer between activations.
#[derive(Debug)]
pub(crate) struct Step {
    /// Name of the graph's node.
    pub name: String,
    /// What is computed.
    pub layer: Layer,
    /// Activations read.
    pub inputs: Vec<usize>,
    /// Activation written.
    pub output: usize,
    /// Images for the layer that one image of the batch has become: 1 but for nets that fold other
    /// dimensions into the batch, as windowed attention does.
    pub repeat: usize,
}

/// A graph compiled for training.
#[derive(Debug)]
pub struct TrainPlan {
    pub(crate) steps: Vec<Step>,
    pub(crate) activations: Vec<Activation>,
    pub(crate) backward: Vec<Backward>,
    /// Byte of the arena where each gradient slot begins.
    pub(crate) slots: Vec<usize>,
    /// Bytes of the arena.
    pub(crate) arena: usize,
    /// Share of the forward pass that is computed again, by its cost.
    recomputation: f64,
    /// Slot that the loss writes its gradient to.
    pub(crate) loss_slot: usize,
    /// Activation that holds the logits.
    pub(crate) logits: usize,
    pub(crate) taps: Vec<Tap>,
    pub(crate) extras: Vec<ParamId>,
    pub(crate) params: Params,
    pub(crate) batch: usize,
    pub(crate) input: Extent,
    pub(crate) classes: usize,
}

impl TrainPlan {
    /// Compiles `graph` (one float32 image input `[n, c, h, w]`, first output with a logit or a
    /// softmax probability per class) for batches of up to `batch` images, all of it to be trained.
    ///
    /// # Errors
    /// Names the node where an operator has no gradient, or says what keeps the graph from being an
    /// image classifier.
    pub fn new(graph: &Graph, batch: usize) -> Result<TrainPlan> {
        TrainPlan::with(graph, batch, &PlanOptions::default())
    }

    /// As [`TrainPlan::new`], with choices.
    ///
    /// # Errors
    /// Also where nothing is left to be trained, or a tap does not depend on the image.
    pub fn with(graph: &Graph, batch: usize, options: &PlanOptions) -> Result<TrainPlan> {
        let mut compiled = compile::compile(graph, batch, options)?;
        let roots: Vec<usize> = std::iter::once(compiled.logits)
            .chain(compiled.taps.iter().map(|tap| tap.activation))
            .collect();
        if !roots.iter().any(|&root| compiled.needs[root]) {
            let problem = "no parameter that is trained lies between image and output";
            return Err(TrainError::Model { model: graph.name.clone(), problem: problem.into() });
        }
        let Compiled { steps, activations, needs, params, taps, .. } = &mut compiled;
        let mut planned = gradients::plan(steps, activations, &roots, needs);
        for (tap, &slot) in taps.iter_mut().zip(&planned.roots[1..]) {
            tap.slot = slot;
        }
        let gradients = (&planned.backward[..], &planned.slots[..]);
        let outside = (&roots[..], &planned.roots[..]);
        let timeline = Timeline::new(steps, activations, gradients, outside, batch);
        let fixed = options.memory.map_or(0, |budget| {
            own_bytes(steps, params)
                + scratch_bytes(steps, budget.threads)
                + budget.copies * copy_bytes(params)
        });
        let limit = options.memory.map(|budget| budget.bytes.saturating_sub(fixed));
        let placed = memory::place(&timeline, batch, limit)
            .map_err(|least| memory::too_little(options.memory, fixed, least, batch))?;
        let recomputation = placed.schedule.cost / timeline.forward_cost().max(1.0);
        let slots = placed.settle(steps, activations, &mut planned.backward);
        Ok(TrainPlan {
            steps: compiled.steps,
            activations: compiled.activations,
            backward: planned.backward,
            slots,
            arena: placed.bytes,
            recomputation,
            loss_slot: planned.roots[0],
            logits: compiled.logits,
            taps: compiled.taps,
            extras: compiled.extras,
            params: compiled.params,
            batch,
            input: compiled.input,
            classes: compiled.classes,
        })
    }

    /// The values that [`PlanOptions::taps`] asked for, in its order.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// Most images of one batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Extent of the input image.
    pub fn input(&self) -> Extent {
        self.input
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Parameters and running statistics as they are in the graph.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What a step on `threads` threads works on, with so many `copies` of the parameters beside the
    /// plan.
    pub fn memory(&self, threads: usize, copies: usize) -> Memory {
        Memory {
            activations: self.arena,
            scratch: scratch_bytes(&self.steps, threads),
            parameters: own_bytes(&self.steps, &self.params),
            beside: copies * copy_bytes(&self.params),
            recomputed: self.backward.iter().map(|back| back.again.len()).sum(),
            recomputation: self.recomputation,
        }
    }
}

/// Bytes of parameters, their gradients and statistics, and of what layers hold of their own.
fn own_bytes(steps: &[Step], params: &Params) -> usize {
    let held: usize = steps.iter().map(|step| step.layer.held_len()).sum();
    size_of::<f32>() * (2 * params.values.len() + params.stats.len() + held)
}

/// Bytes of one copy of parameters and statistics.
fn copy_bytes(params: &Params) -> usize {
    size_of::<f32>() * (params.values.len() + params.stats.len())
}

/// Bytes of the scratch memory that all layers share.
fn scratch_bytes(steps: &[Step], threads: usize) -> usize {
    let most = steps.iter().map(|step| step.layer.scratch_len(threads)).max();
    size_of::<f32>() * most.unwrap_or(0)
}

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
//! - Gradients of activations share a few slots, see [`gradients`].
//! - A Softmax at the end belongs to the loss.

mod buffers;
mod compile;
mod gradients;
mod options;
mod tap;

use edgecut_graph::Graph;

use crate::error::{Result, TrainError};
use crate::grad::Layer;
use crate::params::{ParamId, Params};

use compile::Compiled;
pub(crate) use gradients::{Backward, Target};
pub use options::{Extra, PlanOptions};
pub use tap::Tap;

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
    /// Buffer; several activations share one where a layer works in place.
    pub buffer: usize,
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
    /// Elements per image of each activation buffer.
    pub(crate) buffers: Vec<usize>,
    pub(crate) backward: Vec<Backward>,
    /// Elements per image of each gradient slot.
    pub(crate) slots: Vec<usize>,
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
        let Compiled { steps, activations, needs, .. } = &mut compiled;
        let buffers = buffers::share(steps, activations, &roots, needs);
        let planned =
            gradients::plan(&compiled.steps, &compiled.activations, &roots, &compiled.needs);
        for (tap, &slot) in compiled.taps.iter_mut().zip(&planned.roots[1..]) {
            tap.slot = slot;
        }
        Ok(TrainPlan {
            steps: compiled.steps,
            activations: compiled.activations,
            buffers,
            backward: planned.backward,
            slots: planned.slots,
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

    /// Bytes of activations, gradients of activations and parameters that a step works on.
    pub fn bytes(&self) -> usize {
        let images = self.buffers.iter().chain(&self.slots).sum::<usize>() * self.batch;
        4 * (images + 2 * self.params.values.len() + self.params.stats.len())
    }
}

//! The steps of a plan: one kernel call each, with shapes, weights and operands decided.
//!
//! Steps are an enum, so a run is a loop over a flat array without dynamic dispatch, look-ups by
//! name, shape inference or allocation. [`Reference`] is the one exception: it runs the graph
//! crate's interpreter for operators and attribute combinations that have no kernel.

mod arrange;
pub(crate) mod check;
mod conv;
mod elementwise;
mod layers;
mod lookup;
mod pool;
mod quantised;
#[cfg(feature = "compile")]
mod reference;
mod rows;
mod table;
mod take;
mod window;

use serde::{Deserialize, Serialize};

use edgecut_kernels::arena::{Span, Views};
use edgecut_kernels::fused::int8::Int8;
use edgecut_kernels::{Activation, Ctx};

pub(crate) use arrange::{Concat, Convert, Move, Part, Shuffle};
pub(crate) use check::{Check, Checked};
pub(crate) use conv::{Conv, Linear, LinearBf16, MatMul, Tail};
pub(crate) use elementwise::{Broadcast, ChannelAffine, Elementwise, binary, unary};
#[cfg(feature = "compile")]
pub(crate) use layers::Steps;
pub(crate) use layers::{Layers, Pixels};
pub(crate) use lookup::Lookup;
pub(crate) use pool::{GlobalAverage, Pool, PoolKind};
pub(crate) use quantised::{
    Average, Meaning, QuantAverage, QuantBinary, QuantConv, QuantLinear, QuantOutput, QuantScale,
    Quantize, QuantizePlanes, RealAverage,
};
#[cfg(feature = "compile")]
pub(crate) use reference::{Operand, Reference, Source};
pub(crate) use rows::{LayerNorm, Reduce, Softmax};
pub(crate) use take::{NOWHERE, Take};
pub(crate) use window::{ConvTranspose, Resample};

use crate::Result;
use crate::plan::{Element, Place, Slot};
#[cfg(feature = "compile")]
use crate::share::SharedWeights;

/// One kernel call. The interpreter last: a runtime without it reads the others alike.
#[derive(Serialize, Deserialize)]
pub(crate) enum Step {
    Conv(Box<Conv>),
    Layers(Box<Layers>),
    QuantLayers(Box<Layers<Int8>>),
    Linear(Box<Linear>),
    LinearBf16(Box<LinearBf16>),
    QuantConv(Box<QuantConv>),
    QuantLinear(Box<QuantLinear>),
    QuantBinary(Box<QuantBinary>),
    QuantScale(QuantScale),
    QuantAverage(QuantAverage),
    RealAverage(RealAverage),
    Quantize(Quantize),
    QuantizePlanes(QuantizePlanes),
    Lookup(Box<Lookup>),
    Move(Move),
    Convert(Convert),
    Concat(Concat),
    Shuffle(Shuffle),
    Take(Box<Take>),
    ConvTranspose(Box<ConvTranspose>),
    MatMul(Box<MatMul>),
    Resample(Box<Resample>),
    Reduce(Reduce),
    LayerNorm(Box<LayerNorm>),
    Pool(Pool),
    GlobalAverage(GlobalAverage),
    Elementwise(Elementwise),
    Broadcast(Broadcast),
    ChannelAffine(ChannelAffine),
    Softmax(Softmax),
    #[cfg(feature = "compile")]
    Reference(Box<Reference>),
}

impl Step {
    /// What is wrong with its operands, where they come from a file: [`check`].
    pub fn check(&self, c: &mut Check) -> Checked {
        match self {
            Step::Conv(step) => step.check(c),
            Step::Layers(step) => step.check(c),
            Step::QuantLayers(step) => step.check(c),
            Step::Linear(step) => step.check(c),
            Step::LinearBf16(step) => step.check(c),
            Step::QuantConv(step) => step.check(c),
            Step::QuantLinear(step) => step.check(c),
            Step::QuantBinary(step) => step.check(c),
            Step::QuantScale(step) => step.check(c),
            Step::QuantAverage(step) => step.check(c),
            Step::RealAverage(step) => step.check(c),
            Step::Quantize(step) => step.check(c),
            Step::QuantizePlanes(step) => step.check(c),
            Step::Lookup(step) => step.check(c),
            Step::Move(step) => step.check(c),
            Step::Convert(step) => step.check(c),
            Step::Concat(step) => step.check(c),
            Step::Shuffle(step) => step.check(c),
            Step::Take(step) => step.check(c),
            Step::ConvTranspose(step) => step.check(c),
            Step::MatMul(step) => step.check(c),
            Step::Resample(step) => step.check(c),
            Step::Reduce(step) => step.check(c),
            Step::LayerNorm(step) => step.check(c),
            Step::Pool(step) => step.check(c),
            Step::GlobalAverage(step) => step.check(c),
            Step::Elementwise(step) => step.check(c),
            Step::Broadcast(step) => step.check(c),
            Step::ChannelAffine(step) => step.check(c),
            Step::Softmax(step) => step.check(c),
            #[cfg(feature = "compile")]
            Step::Reference(step) => step.check(c),
        }
    }

    /// Computes the step.
    pub fn run<'a>(&'a self, env: &mut Env<'a>) -> Result<()> {
        match self {
            Step::Conv(step) => step.run(env),
            Step::Layers(step) => step.run(env),
            Step::QuantLayers(step) => step.run(env),
            Step::Linear(step) => step.run(env),
            Step::LinearBf16(step) => step.run(env),
            Step::QuantConv(step) => step.run(env),
            Step::QuantLinear(step) => step.run(env),
            Step::QuantBinary(step) => step.run(env),
            Step::QuantScale(step) => step.run(env),
            Step::QuantAverage(step) => step.run(env),
            Step::RealAverage(step) => step.run(env),
            Step::Quantize(step) => step.run(env),
            Step::QuantizePlanes(step) => step.run(env),
            Step::Lookup(step) => step.run(env),
            Step::Move(step) => step.run(env),
            Step::Convert(step) => step.run(env),
            Step::Concat(step) => step.run(env),
            Step::Shuffle(step) => step.run(env),
            Step::Take(step) => step.run(env),
            Step::ConvTranspose(step) => step.run(env),
            Step::MatMul(step) => step.run(env),
            Step::Resample(step) => step.run(env),
            Step::Reduce(step) => step.run(env),
            Step::LayerNorm(step) => step.run(env),
            Step::Pool(step) => step.run(env),
            Step::GlobalAverage(step) => step.run(env),
            Step::Elementwise(step) => step.run(env),
            Step::Broadcast(step) => step.run(env),
            Step::ChannelAffine(step) => step.run(env),
            Step::Softmax(step) => step.run(env),
            #[cfg(feature = "compile")]
            Step::Reference(step) => return step.run(env),
        }
        Ok(())
    }

    /// Windows and tails of layers; empty for other steps.
    pub fn form(&self) -> String {
        match self {
            Step::Layers(step) => step.form(|tail| tail.activation),
            Step::QuantLayers(step) => step.form(|tail| {
                tail.as_ref().map_or(Activation::None, |tail| tail.requant.activation())
            }),
            _ => String::new(),
        }
    }

    /// Bytes of the weights and tables that the step owns.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Step::Conv(step) => step.weight_bytes(),
            Step::Layers(step) => step.weight_bytes(),
            Step::QuantLayers(step) => step.weight_bytes(),
            Step::Linear(step) => step.weight_bytes(),
            Step::LinearBf16(step) => step.weight_bytes(),
            Step::QuantConv(step) => step.weight_bytes(),
            Step::QuantLinear(step) => step.weight_bytes(),
            Step::Lookup(step) => step.bytes(),
            Step::Take(step) => step.weight_bytes(),
            Step::ConvTranspose(step) => step.weight_bytes(),
            Step::MatMul(step) => step.weight_bytes(),
            Step::Resample(step) => step.weight_bytes(),
            Step::LayerNorm(step) => step.weight_bytes(),
            Step::ChannelAffine(step) => step.weight_bytes(),
            #[cfg(feature = "compile")]
            Step::Reference(step) => step.weight_bytes(),
            _ => 0,
        }
    }

    #[cfg(feature = "compile")]
    /// Replaces weights that `known` holds already by those.
    pub fn share_weights(&mut self, known: &mut SharedWeights) {
        let bytes = self.weight_bytes();
        match self {
            Step::Conv(step) => known.convolutions.share(bytes, &mut step.weights),
            Step::ConvTranspose(step) => known.convolutions.share(bytes, &mut step.weights),
            Step::Layers(step) => step.share_weights(known),
            Step::QuantLayers(step) => step.share_weights(known),
            Step::Linear(step) => known.matrices.share(bytes, &mut step.weights),
            Step::LinearBf16(step) => known.bf16.share(bytes, &mut step.weights),
            Step::QuantConv(step) => known.quant_convolutions.share(bytes, &mut step.weights),
            Step::QuantLinear(step) => known.quant_matrices.share(bytes, &mut step.weights),
            _ => {}
        }
    }

    /// Bytes of scratch memory on `threads` threads.
    pub fn scratch_bytes(&self, threads: usize) -> usize {
        match self {
            Step::Conv(step) => step.scratch_bytes(threads),
            Step::Layers(step) => step.scratch_bytes(threads),
            Step::QuantLayers(step) => step.scratch_bytes(threads),
            Step::LinearBf16(step) => step.scratch_bytes(threads),
            Step::ConvTranspose(step) => step.scratch_bytes(threads),
            _ => 0,
        }
    }
}

/// What a step runs in: the threads, and the memory of one session.
pub(crate) struct Env<'a> {
    pub ctx: Ctx<'a>,
    pub places: &'a [Place],
    pub views: Views<'a>,
    pub scratch: Views<'a>,
}

impl<'a> Env<'a> {
    /// The elements of a slot. The type is the one that the slot was made with.
    pub fn read<T: Element>(&mut self, slot: Slot) -> &'a [T] {
        match &self.places[slot.index()] {
            Place::Arena(span) => self.views.read(*span),
            Place::Constant(constant) => T::of(constant).expect("a slot has one type"),
        }
    }

    /// As [`Env::read`] for steps with any number of inputs: alive until the next call.
    pub fn peek<T: Element>(&mut self, slot: Slot) -> &[T] {
        match &self.places[slot.index()] {
            Place::Arena(span) => self.views.peek(*span),
            Place::Constant(constant) => T::of(constant).expect("a slot has one type"),
        }
    }

    /// The elements of a buffer, to be written.
    pub fn write<T: Element>(&mut self, slot: Slot) -> &'a mut [T] {
        match &self.places[slot.index()] {
            Place::Arena(span) => self.views.write(*span),
            Place::Constant(_) => unreachable!("no step writes a constant"),
        }
    }

    /// Whether two slots are the same bytes: the step then works in place.
    pub fn same(&self, x: Slot, y: Slot) -> bool {
        let span = |slot: Slot| match &self.places[slot.index()] {
            Place::Arena(span) => Some(span),
            Place::Constant(_) => None,
        };
        span(x).is_some() && span(x) == span(y)
    }

    /// Scratch memory of `len` elements, with whatever the last step left there.
    pub fn scratch<T: Element>(&mut self, len: usize) -> &'a mut [T] {
        self.scratch.write(Span { offset: 0, bytes: len * size_of::<T>() })
    }
}

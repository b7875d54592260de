//! Convolutions and pooling, alone or in chains.

use serde::{Deserialize, Serialize};

use edgecut_kernels::Activation;
use edgecut_kernels::fused::{self, Chain, Family, Float, MAX_OUTERS, Operand, Outer, Place};

use crate::plan::{Element, Slot};
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, valid};
#[cfg(feature = "compile")]
use crate::{share::SharedWeights, step::Step};
#[cfg(feature = "compile")]
use edgecut_kernels::fused::Op;
#[cfg(feature = "compile")]
use edgecut_kernels::fused::int8::{self, Int8};

/// Layers that run together, and the tensors that they read and write.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Layers<F: Family = Float> {
    pub chain: Chain<F>,
    pub outers: Vec<Pixels>,
}

/// A tensor of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pixels {
    pub slot: Slot,
    /// Elements from one pixel to the next; 1 for planes.
    pub stride: usize,
    /// Whether it is written; otherwise it is read.
    pub written: bool,
}

impl<F: Family<Element: Element>> Layers<F> {
    pub fn check(&self, c: &mut Check) -> Checked {
        for pixels in &self.outers {
            let len = c.len::<F::Element>(pixels.slot)?;
            match pixels.written {
                true => c.write::<F::Element>(pixels.slot, len)?,
                false => c.read::<F::Element>(pixels.slot, len)?,
            }
        }
        // First the sizes: they bound how long looking at the chain may take.
        for layer in self.chain.layers() {
            let s = &layer.shape;
            valid(s)?;
            let (count, channels) = match F::planes(layer) {
                1 => (s.in_pixels(), s.cin),
                _ => (s.in_len(), 1),
            };
            self.check_operand(c, layer.x, false, count, channels)?;
            self.check_operand(c, layer.y, true, s.out_pixels(), layer.written())?;
            for &other in layer.residual.iter().chain(&layer.interleave) {
                self.check_operand(c, other, false, s.out_pixels(), s.cout)?;
            }
        }
        let ends = self.chain.layers().last().is_some_and(|l| matches!(l.y.place, Place::Outer(_)));
        ensure(ends, || "the last layer has no result".into())?;
        self.chain.check()
    }

    fn check_operand(
        &self,
        c: &Check,
        operand: Operand,
        written: bool,
        count: usize,
        channels: usize,
    ) -> Checked {
        let Place::Outer(index) = operand.place else { return Ok(()) };
        let pixels = self.outers.get(index).filter(|p| p.written == written);
        let pixels = pixels.ok_or_else(|| format!("there is no outer tensor {index}"))?;
        let len = c.len::<F::Element>(pixels.slot)?;
        let end = (count.saturating_sub(1))
            .checked_mul(pixels.stride)
            .and_then(|start| start.checked_add(operand.channel)?.checked_add(channels));
        let fits = end.is_some_and(|end| end <= len) && pixels.stride >= channels;
        ensure(fits, || format!("outer tensor {index} is smaller than a layer says"))
    }

    /// The windows, and what happens to sums before they are stored, layer by layer; `activation` is
    /// that of a layer's tail.
    pub fn form(&self, activation: impl Fn(&F::Tail) -> Activation) -> String {
        let layer = |layer: &fused::Layer<F>| {
            let s = &layer.shape;
            let mut form = format!("{}x{}/{}", s.kh, s.kw, s.sh);
            let activation = match activation(&layer.tail) {
                Activation::None => "",
                Activation::Clamp(..) => " clamp",
                Activation::HardSwish => " hard-swish",
                Activation::HardSigmoid { .. } => " hard-sigmoid",
                Activation::Sigmoid => " sigmoid",
                Activation::Silu => " silu",
            };
            form += activation;
            form += if layer.residual.is_some() { " add" } else { "" };
            form += if layer.interleave.is_some() { " interleave" } else { "" };
            form
        };
        self.chain.layers().iter().map(layer).collect::<Vec<_>>().join(", ")
    }

    pub fn weight_bytes(&self) -> usize {
        self.chain.layers().iter().map(fused::Layer::weight_bytes).sum()
    }

    fn scratch_len(&self, threads: usize) -> usize {
        self.chain.scratch_len(threads)
    }

    pub fn scratch_bytes(&self, threads: usize) -> usize {
        size_of::<F::Element>() * self.scratch_len(threads)
    }

    pub fn run(&self, env: &mut Env) {
        let mut outers: [Outer<F::Element>; MAX_OUTERS] =
            std::array::from_fn(|_| Outer::Read(&[], 1));
        for (outer, pixels) in outers.iter_mut().zip(&self.outers) {
            *outer = match pixels.written {
                true => Outer::Write(env.write(pixels.slot), pixels.stride),
                false => Outer::Read(env.read(pixels.slot), pixels.stride),
            };
        }
        let scratch = env.scratch(self.scratch_len(env.ctx.pool.threads()));
        fused::run(env.ctx, &self.chain, &mut outers[..self.outers.len()], scratch);
    }
}

/// Families of layers that have a step.
#[cfg(feature = "compile")]
pub(crate) trait Steps: Family<Element: Element> {
    /// The layers of a step of this family.
    fn of(step: &Step) -> Option<&Layers<Self>>;
    /// As [`Steps::of`], to be taken apart.
    fn take(step: Step) -> Option<Layers<Self>>;
    /// The step of layers.
    fn step(layers: Layers<Self>) -> Step;
    /// Replaces the weights of an operator, of `bytes` bytes, by equal ones that are known.
    fn share_weights(op: &mut Self::Op, bytes: usize, known: &mut SharedWeights);
}

#[cfg(feature = "compile")]
impl<F: Steps> Layers<F> {
    /// What decides how long it takes: geometry and operands, not the values of weights.
    pub fn outline(&self) -> String {
        let operand = |o: &Operand| match o.place {
            Place::Outer(index) => format!("{}/{}", o.channel, self.outers[index].stride),
            Place::Ring(ring) => format!("{} of ring {ring}", o.channel),
        };
        let layer = |l: &fused::Layer<F>| {
            let others = l.residual.iter().chain(&l.interleave);
            let others: Vec<String> = others.chain([&l.x, &l.y]).map(operand).collect();
            let kinds = (l.residual.is_some(), l.interleave.is_some(), l.weight_bytes());
            format!("{:?} {kinds:?} {others:?}", l.shape)
        };
        self.chain.layers().iter().map(layer).collect::<Vec<_>>().join("; ")
    }

    pub fn share_weights(&mut self, known: &mut SharedWeights) {
        for layer in self.chain.layers_mut() {
            let bytes = layer.weight_bytes();
            F::share_weights(&mut layer.op, bytes, known);
        }
    }
}

#[cfg(feature = "compile")]
impl Steps for Float {
    fn of(step: &Step) -> Option<&Layers> {
        if let Step::Layers(layers) = step { Some(layers) } else { None }
    }

    fn take(step: Step) -> Option<Layers> {
        if let Step::Layers(layers) = step { Some(*layers) } else { None }
    }

    fn step(layers: Layers) -> Step {
        Step::Layers(Box::new(layers))
    }

    fn share_weights(op: &mut Op, bytes: usize, known: &mut SharedWeights) {
        match op {
            Op::Conv(weights) | Op::PlanarConv(weights) => known.convolutions.share(bytes, weights),
            Op::ConvBf16(weights) => known.bf16.share(bytes, weights),
            Op::SparseConv(weights) => known.sparse.share(bytes, weights),
            Op::Depthwise(weights) => known.depthwise.share(bytes, weights),
            Op::MaxPool | Op::AveragePool(_) => {}
        }
    }
}

#[cfg(feature = "compile")]
impl Steps for Int8 {
    fn of(step: &Step) -> Option<&Layers<Int8>> {
        if let Step::QuantLayers(layers) = step { Some(layers) } else { None }
    }

    fn take(step: Step) -> Option<Layers<Int8>> {
        if let Step::QuantLayers(layers) = step { Some(*layers) } else { None }
    }

    fn step(layers: Layers<Int8>) -> Step {
        Step::QuantLayers(Box::new(layers))
    }

    fn share_weights(op: &mut int8::Op, bytes: usize, known: &mut SharedWeights) {
        match op {
            int8::Op::Conv(weights) | int8::Op::WideConv(weights) => {
                known.quant_convolutions.share(bytes, weights);
            }
            int8::Op::Depthwise(weights) | int8::Op::WideDepthwise(weights) => {
                known.quant_depthwise.share(bytes, weights);
            }
            int8::Op::MaxPool | int8::Op::AveragePool(_) => {}
        }
    }
}

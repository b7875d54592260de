//! Convolutions and pooling in float32, alone or in chains.

use serde::{Deserialize, Serialize};

use edgecut_kernels::fused::{self, Chain, MAX_OUTERS, Op, Operand, Outer, Place};

use crate::plan::Slot;
#[cfg(feature = "compile")]
use crate::share::SharedWeights;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, valid};

/// Layers that run together, and the tensors that they read and write.
#[derive(Serialize, Deserialize)]
pub(crate) struct Layers {
    pub chain: Chain,
    pub outers: Vec<Pixels>,
}

/// A tensor of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pixels {
    pub slot: Slot,
    /// Floats from one pixel to the next; 1 for planes.
    pub stride: usize,
    /// Whether it is written; otherwise it is read.
    pub written: bool,
}

impl Layers {
    pub fn check(&self, c: &mut Check) -> Checked {
        for pixels in &self.outers {
            let len = c.len::<f32>(pixels.slot)?;
            match pixels.written {
                true => c.write::<f32>(pixels.slot, len)?,
                false => c.read::<f32>(pixels.slot, len)?,
            }
        }
        // First the sizes: they bound how long looking at the chain may take.
        for layer in self.chain.layers() {
            let s = &layer.shape;
            valid(s)?;
            let (count, channels) = match layer.op {
                Op::PlanarConv(_) => (s.in_len(), 1),
                _ => (s.in_pixels(), s.cin),
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
        let len = c.len::<f32>(pixels.slot)?;
        let end = (count.saturating_sub(1))
            .checked_mul(pixels.stride)
            .and_then(|start| start.checked_add(operand.channel)?.checked_add(channels));
        let fits = end.is_some_and(|end| end <= len) && pixels.stride >= channels;
        ensure(fits, || format!("outer tensor {index} is smaller than a layer says"))
    }

    pub fn weight_bytes(&self) -> usize {
        self.chain.layers().iter().map(fused::Layer::weight_bytes).sum()
    }

    #[cfg(feature = "compile")]
    pub fn share_weights(&mut self, known: &mut SharedWeights) {
        for layer in self.chain.layers_mut() {
            let bytes = layer.weight_bytes();
            match &mut layer.op {
                Op::Conv(weights) | Op::PlanarConv(weights) => {
                    known.convolutions.share(bytes, weights)
                }
                Op::ConvBf16(weights) => known.bf16.share(bytes, weights),
                Op::Depthwise(weights) => known.depthwise.share(bytes, weights),
                Op::MaxPool | Op::AveragePool(_) => {}
            }
        }
    }

    pub fn scratch_bytes(&self, threads: usize) -> usize {
        4 * self.chain.scratch_len(threads)
    }

    pub fn run(&self, env: &mut Env) {
        let mut outers: [Outer; MAX_OUTERS] = std::array::from_fn(|_| Outer::Read(&[], 1));
        for (outer, pixels) in outers.iter_mut().zip(&self.outers) {
            *outer = match pixels.written {
                true => Outer::Write(env.write(pixels.slot), pixels.stride),
                false => Outer::Read(env.read(pixels.slot), pixels.stride),
            };
        }
        let scratch = env.scratch(self.scratch_bytes(env.ctx.pool.threads()) / 4);
        fused::run(env.ctx, &self.chain, &mut outers[..self.outers.len()], scratch);
    }
}

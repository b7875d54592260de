//! Chains of layers that run together, a few rows at a time.
//!
//! A layer whose result does not fit the second-level cache costs more to store and read again than
//! to compute. Here every thread computes a band of rows of the last layer, and for each few rows
//! pulls what they need from the layers before: an expanded row lives in a ring buffer of as many
//! rows as the window of the next layer reaches over, in the first cache levels, and never sees
//! memory. At the border of two bands both threads compute the rows that both need.
//!
//! All threads meet once per chain. What a row holds does not depend on the band that it is
//! computed for, so neither bands nor row steps can change a bit.

mod demand;
mod run;

use crate::conv::{ConvWeights, conv_scratch_len};
use crate::depthwise::DepthwiseWeights;
use crate::pool2d::Divisor;
use crate::{Activation, Blob, ConvShape, bf16};
use demand::ring_rows;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use run::{Outer, run};

/// Most layers of a chain.
pub const MAX_LAYERS: usize = 16;

/// Most tensors outside of a chain that it reads or writes.
pub const MAX_OUTERS: usize = 8;

/// Rows of a window plus the stride, and rows of a window times channels in planar data: the most
/// row slices that a kernel sees.
pub const MAX_ROWS: usize = 32;

/// What a layer computes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Convolution of pixels.
    Conv(Arc<ConvWeights>),
    /// Convolution of the planes of an NCHW image, which a network's first layer may read.
    PlanarConv(Arc<ConvWeights>),
    /// Convolution in bfloat16, with any window.
    ConvBf16(Arc<bf16::Weights>),
    /// One filter per channel.
    Depthwise(Arc<DepthwiseWeights>),
    /// Maximum over windows; nothing happens to it afterwards.
    MaxPool,
    /// Mean over windows; nothing happens to it afterwards.
    AveragePool(Divisor),
}

/// Where an operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A ring of rows inside the chain.
    Ring(usize),
    /// A whole tensor, by its index among those that [`run`] is given.
    Outer(usize),
}

/// Some channels of every pixel of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operand {
    /// Where the pixels are.
    pub place: Place,
    /// The first channel.
    pub channel: usize,
}

impl Operand {
    /// All channels of tensor `index`.
    pub fn outer(index: usize) -> Operand {
        Operand { place: Place::Outer(index), channel: 0 }
    }

    /// All channels of ring `index`.
    pub fn ring(index: usize) -> Operand {
        Operand { place: Place::Ring(index), channel: 0 }
    }
}

/// One layer of a chain: an operator and what happens to its sums before they are stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layer {
    /// The geometry; `n` is the number of images.
    pub shape: ConvShape,
    /// The operator.
    pub op: Op,
    /// One value per output channel.
    pub bias: Option<Blob<f32>>,
    /// Added to the sum: a tensor of the output's size.
    pub residual: Option<Operand>,
    /// Applied last.
    pub activation: Activation,
    /// Takes the even channels of the output while the result takes the odd ones: a tensor of the
    /// output's size.
    pub interleave: Option<Operand>,
    /// What it reads.
    pub x: Operand,
    /// Where its result goes.
    pub y: Operand,
}

impl Layer {
    /// Bytes of weights and bias.
    pub fn weight_bytes(&self) -> usize {
        let weights = match &self.op {
            Op::Conv(weights) | Op::PlanarConv(weights) => weights.bytes(),
            Op::ConvBf16(weights) => weights.bytes(),
            Op::Depthwise(weights) => weights.bytes(),
            Op::MaxPool | Op::AveragePool(_) => 0,
        };
        weights + self.bias.as_ref().map_or(0, Blob::bytes)
    }

    /// A pointwise layer's geometry as that of one row of `rows` rows.
    fn as_row(&self, rows: usize) -> ConvShape {
        let s = &self.shape;
        ConvShape { n: 1, h: 1, oh: 1, w: rows * s.w, ow: rows * s.ow, ..*s }
    }

    /// Words of scratch memory that the operator needs on one thread.
    fn scratch_len(&self) -> usize {
        match &self.op {
            Op::ConvBf16(_) if self.shape.is_pointwise() => {
                bf16::scratch_len(&self.as_row(self.shape.oh))
            }
            Op::ConvBf16(_) => bf16::scratch_len(&self.shape),
            _ => 0,
        }
    }

    /// Channels that the layer writes per pixel.
    pub fn written(&self) -> usize {
        self.shape.cout * if self.interleave.is_some() { 2 } else { 1 }
    }
}

/// A buffer for a few rows of a tensor that only the chain sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Pixels of a row.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// Rows that it holds.
    pub rows: usize,
}

impl Ring {
    fn row_floats(&self) -> usize {
        self.width * self.channels
    }
}

/// Layers in the order of computation, and the rings between them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chain {
    layers: Vec<Layer>,
    rings: Vec<Ring>,
    /// Rows of the last layers that are computed at a time.
    step: usize,
}

impl Chain {
    /// A chain that computes `step` rows of its last layers at a time. `rings` are pairs of pixels
    /// per row and channels per pixel; each is written by earlier layers than those that read it.
    /// Layers that write outer tensors are the last ones and have equally many rows.
    ///
    /// # Panics
    /// If the layers do not fit together in this way.
    pub fn new(layers: Vec<Layer>, rings: &[[usize; 2]], step: usize) -> Chain {
        let rings = rings.iter().map(|&[width, channels]| Ring { width, channels, rows: 0 });
        let mut chain = Chain { layers, rings: rings.collect(), step: step.max(1) };
        for (ring, rows) in ring_rows(&chain).into_iter().enumerate() {
            chain.rings[ring].rows = rows;
        }
        if let Err(problem) = chain.check() {
            panic!("no chain: {problem}");
        }
        chain
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers, whose weights may be replaced by equal ones.
    pub fn layers_mut(&mut self) -> &mut [Layer] {
        &mut self.layers
    }

    /// The layers, to be put together in another way.
    pub fn into_layers(self) -> Vec<Layer> {
        self.layers
    }

    /// The rings, with the rows that each holds.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Floats of scratch memory that [`run`] needs on `threads` threads: one set of rings each, and
    /// behind it what operators need.
    pub fn scratch_len(&self, threads: usize) -> usize {
        let alone = match &self.layers[..] {
            [Layer { op: Op::ConvBf16(weights), shape, .. }] if shape.is_pointwise() => {
                bf16::product_scratch_len(shape.out_pixels(), weights, threads)
            }
            [Layer { op: Op::Conv(_), shape, .. }] => conv_scratch_len(shape, threads),
            _ => 0,
        };
        alone.max(threads.max(1) * self.worker_len())
    }

    /// Floats of scratch memory of one thread.
    fn worker_len(&self) -> usize {
        let most = self.layers.iter().map(Layer::scratch_len).max().unwrap_or(0);
        self.rings_len() + most.next_multiple_of(16)
    }

    /// Floats of one set of rings.
    fn rings_len(&self) -> usize {
        self.rings.iter().map(|r| r.rows * r.row_floats()).sum::<usize>().next_multiple_of(16)
    }

    /// Images.
    fn images(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.shape.n)
    }

    /// Rows of the last layers.
    fn rows(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.shape.oh)
    }

    /// What is wrong with the chain, if anything: [`run`] relies on all of this.
    pub fn check(&self) -> Result<(), String> {
        let fits = (1..=MAX_LAYERS).contains(&self.layers.len()) && self.step > 0;
        ensure(fits, || format!("{} layers, {} rows at a time", self.layers.len(), self.step))?;
        for (index, layer) in self.layers.iter().enumerate() {
            self.check_layer(index, layer).map_err(|e| format!("layer {index}: {e}"))?;
        }
        ensure(ring_rows(self).iter().zip(&self.rings).all(|(rows, r)| *rows == r.rows), || {
            "rings of other heights than are needed".into()
        })
    }

    fn check_layer(&self, index: usize, layer: &Layer) -> Result<(), String> {
        let s = &layer.shape;
        ensure(s.is_valid() && s.n == self.images(), || format!("{s:?}"))?;
        let planes = if matches!(layer.op, Op::PlanarConv(_)) { s.cin } else { 1 };
        let high = (s.kh.checked_add(s.sh)).and_then(|rows| rows.checked_mul(planes));
        ensure(high.is_some_and(|rows| rows <= MAX_ROWS), || {
            format!("a window that is too high: {s:?}")
        })?;
        let of_shape = match &layer.op {
            Op::Conv(weights) => weights.fit(s),
            Op::PlanarConv(weights) => {
                s.groups == 1 && weights.fit(s) && matches!(layer.x.place, Place::Outer(_))
            }
            Op::ConvBf16(weights) => bf16::fits(s) && weights.fit(s),
            Op::Depthwise(weights) => s.is_depthwise() && weights.fit(s),
            Op::MaxPool | Op::AveragePool(_) => {
                let others = layer.residual.is_some() || layer.interleave.is_some();
                s.is_depthwise()
                    && !others
                    && layer.bias.is_none()
                    && layer.activation == Activation::None
            }
        };
        ensure(of_shape, || format!("weights of another shape than {s:?}"))?;
        let bias = layer.bias.as_ref().is_none_or(|bias| bias.len() == s.cout);
        ensure(bias, || "a bias of another size".into())?;
        self.check_read(index, layer.x, [s.h, s.w, s.cin])?;
        for &other in layer.residual.iter().chain(&layer.interleave) {
            self.check_read(index, other, [s.oh, s.ow, s.cout])?;
        }
        let mut reads = layer.residual.iter().chain(&layer.interleave).chain([&layer.x]);
        ensure(reads.all(|x| x.place != layer.y.place), || "it overwrites what it reads".into())?;
        match layer.y.place {
            Place::Outer(outer) => ensure(outer < MAX_OUTERS && s.oh == self.rows(), || {
                "layers that end a chain have equal heights".into()
            }),
            Place::Ring(ring) => {
                let room = self.rings.get(ring).is_some_and(|ring| {
                    ring.width == s.ow && layer.y.channel + layer.written() <= ring.channels
                });
                ensure(room, || format!("ring {ring} has no room for it"))
            }
        }
    }

    /// Whether earlier layers have written what layer `index` reads.
    fn check_read(
        &self,
        index: usize,
        operand: Operand,
        [rows, width, channels]: [usize; 3],
    ) -> Result<(), String> {
        let Place::Ring(ring) = operand.place else {
            let Place::Outer(outer) = operand.place else { return Ok(()) };
            return ensure(outer < MAX_OUTERS, || format!("no outer tensor {outer}"));
        };
        let written = |layer: &&Layer| layer.y.place == operand.place;
        let mut writers = self.layers[..index].iter().filter(written).peekable();
        let same = writers.peek().is_some() && writers.all(|layer| layer.shape.oh == rows);
        let later = self.layers[index..].iter().any(|layer| written(&layer));
        let wide = self
            .rings
            .get(ring)
            .is_some_and(|ring| ring.width == width && operand.channel + channels <= ring.channels);
        ensure(same && wide && !later, || format!("it reads what nobody wrote to ring {ring}"))
    }
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests;

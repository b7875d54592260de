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

//!
//! | file | has |
//! | --- | --- |
//! | `demand` | which rows of each layer a few rows of the last one need |
//! | `memory` | rings and whole tensors, and the rows that lie in them |
//! | `run` | bands, and the layers of each in turn |
//! | `float`, `int8` | the layers on float32 and on bytes, and their kernels |

mod demand;
mod float;
pub mod int8;
mod memory;
mod run;

use std::fmt::Debug;

use crate::arena::Plain;
use crate::{ConvShape, Ctx, Isa};
use demand::ring_rows;
use memory::Memory;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use float::{Float, Op, Tail};
pub use memory::Outer;
pub use run::run;

/// Most layers of a chain.
pub const MAX_LAYERS: usize = 16;

/// Most tensors outside of a chain that it reads or writes.
pub const MAX_OUTERS: usize = 8;

/// Rows of a window plus the stride, and rows of a window times channels in planar data: the most
/// row slices that a kernel sees.
pub const MAX_ROWS: usize = 32;

/// Elements of which rings and scratch memory are multiples: a cache line of bytes.
const LINE: usize = 64;

/// Layers that hand each other the same type of numbers, and their kernels. A value is never made.
pub trait Family: Clone + Copy + Debug + Sized + 'static {
    /// What tensors and rings hold.
    type Element: Plain + Send + Sync + Debug;
    /// What a layer computes.
    type Op: Clone + Debug + Serialize + DeserializeOwned + Send + Sync;
    /// What happens to its sums, apart from the addition of a tensor and interleaving.
    type Tail: Clone + Debug + Serialize + DeserializeOwned + Send + Sync;

    /// What is wrong with a layer by itself, if anything: kernels rely on it.
    fn check(layer: &Layer<Self>) -> Result<(), String>;
    /// Planes of which a row of the layer's input consists: 1 where it reads pixels.
    fn planes(layer: &Layer<Self>) -> usize;
    /// Bytes of weights and of what else the layer owns.
    fn weight_bytes(layer: &Layer<Self>) -> usize;
    /// Elements of scratch memory that the layer needs on one thread.
    fn scratch_len(layer: &Layer<Self>) -> usize;
    /// Elements of scratch memory that [`Family::alone`] needs on `threads` threads.
    fn alone_scratch_len(layer: &Layer<Self>, threads: usize) -> usize;
    /// Computes a layer on its own, where its kernel for whole tensors has more ways to be shared
    /// out than rows and takes these operands; returns whether it does.
    fn alone(
        ctx: Ctx,
        memory: &Memory<Self>,
        layer: &Layer<Self>,
        scratch: &mut [Self::Element],
    ) -> bool;
    /// Computes row `y` of a layer, and as many of those before `end` as are best computed with it;
    /// returns how many.
    fn produce(isa: Isa, memory: &Memory<Self>, layer: &Layer<Self>, y: usize, end: usize)
    -> usize;
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
#[serde(bound = "")]
pub struct Layer<F: Family = Float> {
    /// The geometry; `n` is the number of images.
    pub shape: ConvShape,
    /// The operator.
    pub op: F::Op,
    /// What happens to its sums.
    pub tail: F::Tail,
    /// Added to the sum: a tensor of the output's size.
    pub residual: Option<Operand>,
    /// Takes the even channels of the output while the result takes the odd ones: a tensor of the
    /// output's size.
    pub interleave: Option<Operand>,
    /// What it reads.
    pub x: Operand,
    /// Where its result goes.
    pub y: Operand,
}

impl<F: Family> Layer<F> {
    /// Bytes of weights and of what else it owns.
    pub fn weight_bytes(&self) -> usize {
        F::weight_bytes(self)
    }

    /// A pointwise layer's geometry as that of one row of `rows` rows.
    fn as_row(&self, rows: usize) -> ConvShape {
        let s = &self.shape;
        ConvShape { n: 1, h: 1, oh: 1, w: rows * s.w, ow: rows * s.ow, ..*s }
    }

    /// Channels that the layer writes per pixel.
    pub fn written(&self) -> usize {
        self.shape.cout * if self.interleave.is_some() { 2 } else { 1 }
    }

    /// The tensors that it reads, beginning with its input.
    fn reads(&self) -> impl Iterator<Item = Operand> {
        [Some(self.x), self.residual, self.interleave].into_iter().flatten()
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
    fn row_len(&self) -> usize {
        self.width * self.channels
    }
}

/// Layers in the order of computation, and the rings between them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Chain<F: Family = Float> {
    layers: Vec<Layer<F>>,
    rings: Vec<Ring>,
    /// Rows of the last layers that are computed at a time.
    step: usize,
}

impl<F: Family> Chain<F> {
    /// A chain that computes `step` rows of its last layers at a time. `rings` are pairs of pixels
    /// per row and channels per pixel; each is written by earlier layers than those that read it.
    /// Layers that write outer tensors are the last ones and have equally many rows.
    ///
    /// # Panics
    /// If the layers do not fit together in this way.
    pub fn new(layers: Vec<Layer<F>>, rings: &[[usize; 2]], step: usize) -> Chain<F> {
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
    pub fn layers(&self) -> &[Layer<F>] {
        &self.layers
    }

    /// The layers, whose weights may be replaced by equal ones.
    pub fn layers_mut(&mut self) -> &mut [Layer<F>] {
        &mut self.layers
    }

    /// The layers, to be put together in another way.
    pub fn into_layers(self) -> Vec<Layer<F>> {
        self.layers
    }

    /// The rings, with the rows that each holds.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Elements of scratch memory that [`run`] needs on `threads` threads: one set of rings each, and
    /// behind it what operators need.
    pub fn scratch_len(&self, threads: usize) -> usize {
        let alone = match &self.layers[..] {
            [layer] => F::alone_scratch_len(layer, threads),
            _ => 0,
        };
        alone.max(threads.max(1) * self.worker_len())
    }

    /// Elements of scratch memory of one thread.
    fn worker_len(&self) -> usize {
        let most = self.layers.iter().map(F::scratch_len).max().unwrap_or(0);
        self.rings_len() + most.next_multiple_of(LINE)
    }

    /// Elements of one set of rings.
    fn rings_len(&self) -> usize {
        self.rings.iter().map(|r| r.rows * r.row_len()).sum::<usize>().next_multiple_of(LINE)
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

    fn check_layer(&self, index: usize, layer: &Layer<F>) -> Result<(), String> {
        let s = &layer.shape;
        ensure(s.is_valid() && s.n == self.images(), || format!("{s:?}"))?;
        let rows = s.kh.checked_add(s.sh).and_then(|rows| rows.checked_mul(F::planes(layer)));
        ensure(rows.is_some_and(|rows| rows <= MAX_ROWS), || {
            format!("a window that is too high: {s:?}")
        })?;
        F::check(layer)?;
        self.check_read(index, layer.x, [s.h, s.w, s.cin])?;
        for &other in layer.residual.iter().chain(&layer.interleave) {
            self.check_read(index, other, [s.oh, s.ow, s.cout])?;
        }
        let overwrites = layer.reads().any(|x| x.place == layer.y.place);
        ensure(!overwrites, || "it overwrites what it reads".into())?;
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
        let written = |layer: &&Layer<F>| layer.y.place == operand.place;
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

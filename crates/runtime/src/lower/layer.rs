//! Steps of one layer, which may become part of a chain later.

use edgecut_graph::Node;
use edgecut_kernels::ConvShape;
use edgecut_kernels::fused::int8::{self, Int8};
use edgecut_kernels::fused::{self, Chain, Float, MAX_ROWS, Op, Operand, Tail};

use super::channels::Channels;
use super::{Effects, Lowering};
use crate::plan::Slot;
use crate::step::{Layers, Pixels, Steps};

/// A layer, and where what it reads lies.
pub(super) struct Layer<F: Steps = Float> {
    pub shape: ConvShape,
    pub op: F::Op,
    pub tail: F::Tail,
    pub x: Channels,
    pub residual: Option<Channels>,
    pub interleave: Option<Channels>,
}

impl Layer {
    /// Only the operator.
    pub fn new(shape: ConvShape, op: Op, x: Channels) -> Layer {
        Layer { shape, op, tail: Tail::default(), x, residual: None, interleave: None }
    }

    /// What a report calls it.
    pub fn kind(&self) -> &'static str {
        match &self.op {
            Op::Conv(_) if self.shape.is_pointwise() => "pointwise",
            Op::Conv(_) | Op::PlanarConv(_) => "conv",
            Op::ConvBf16(_) if self.shape.is_pointwise() => "pointwise.bf16",
            Op::ConvBf16(_) => "conv.bf16",
            Op::SparseConv(_) => "pointwise.sparse",
            Op::Depthwise(_) => "depthwise",
            Op::MaxPool => "max_pool",
            Op::AveragePool(_) => "average_pool",
        }
    }
}

impl Layer<Int8> {
    /// A pooling.
    pub fn pool(shape: ConvShape, op: int8::Op, x: Channels) -> Layer<Int8> {
        Layer { shape, op, tail: None, x, residual: None, interleave: None }
    }

    /// What a report calls it.
    pub fn kind(&self) -> &'static str {
        match &self.op {
            int8::Op::Conv(_) | int8::Op::WideConv(_) if self.shape.is_pointwise() => {
                "pointwise.int8"
            }
            int8::Op::Conv(_) | int8::Op::WideConv(_) => "conv.int8",
            int8::Op::Depthwise(_) | int8::Op::WideDepthwise(_) => "depthwise.int8",
            int8::Op::MaxPool => "max_pool.int8",
            int8::Op::AveragePool(_) => "average_pool.int8",
        }
    }
}

impl<F: Steps> Layer<F> {
    /// The buffers that it reads.
    pub fn reads(&self) -> Vec<Slot> {
        let others = self.residual.iter().chain(&self.interleave);
        std::iter::once(&self.x).chain(others).map(|channels| channels.slot).collect()
    }
}

impl Lowering<'_> {
    /// Appends a step of one layer of `macs` multiply-adds that writes `y`.
    pub(super) fn layer<F: Steps>(
        &mut self,
        node: &Node,
        kind: &'static str,
        macs: usize,
        layer: Layer<F>,
        y: Channels,
    ) {
        let reads = layer.reads();
        let mut outers = vec![];
        let mut operand = |channels: Channels, written| {
            let Channels { slot, first, stride } = channels;
            let pixels = Pixels { slot, stride, written };
            let index = outers.iter().position(|other| *other == pixels).unwrap_or_else(|| {
                outers.push(pixels);
                outers.len() - 1
            });
            Operand { channel: first, ..Operand::outer(index) }
        };
        let layer: fused::Layer<F> = fused::Layer {
            shape: layer.shape,
            op: layer.op,
            tail: layer.tail,
            x: operand(layer.x, false),
            residual: layer.residual.map(|channels| operand(channels, false)),
            interleave: layer.interleave.map(|channels| operand(channels, false)),
            y: operand(y, true),
        };
        let rows = layer.shape.oh.max(1);
        let step = Layers { chain: Chain::new(vec![layer], &[], rows), outers };
        let effects = Effects::new(kind, &reads, &[y.slot]).macs(macs);
        self.emit(node, F::step(step), effects);
    }
}

/// Most bytes of weights that are read once per row: half of a second-level cache.
const MOST_WEIGHTS: usize = 1024 * 1024;

/// Whether a float layer can be part of a chain.
pub(super) fn fits_chain(shape: &ConvShape) -> bool {
    fits_chain_of::<f32>(shape)
}

/// Whether a layer with weights of this type can be part of a chain: the kernels for single rows
/// know its window, and its weights are not too many to be read for every row.
pub(super) fn fits_chain_of<T>(shape: &ConvShape) -> bool {
    let few = shape.k() * shape.cout * size_of::<T>() <= MOST_WEIGHTS;
    let few = few || shape.is_depthwise();
    shape.is_pointwise() || few && shape.kh + shape.sh <= MAX_ROWS
}

/// As [`fits_chain`], for a layer that reads planes.
pub(super) fn fits_planar_chain(shape: &ConvShape) -> bool {
    fits_chain(shape) && (shape.kh + shape.sh) * shape.cin <= MAX_ROWS
}

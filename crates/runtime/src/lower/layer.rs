//! Steps of one layer, which may become part of a chain later.

use edgecut_graph::Node;
use edgecut_kernels::fused::{self, Chain, MAX_ROWS, Op, Operand};
use edgecut_kernels::{Activation, Blob, ConvShape};

use super::channels::Channels;
use super::{Effects, Lowering};
use crate::plan::Slot;
use crate::step::{Layers, Pixels, Step};

/// A layer, and where what it reads lies.
pub(super) struct Layer {
    pub shape: ConvShape,
    pub op: Op,
    pub x: Channels,
    pub bias: Option<Blob<f32>>,
    pub residual: Option<Channels>,
    pub activation: Activation,
    pub interleave: Option<Channels>,
}

impl Layer {
    /// Only the operator.
    pub fn new(shape: ConvShape, op: Op, x: Channels) -> Layer {
        let activation = Activation::None;
        Layer { shape, op, x, bias: None, residual: None, activation, interleave: None }
    }

    /// The buffers that it reads.
    pub fn reads(&self) -> Vec<Slot> {
        let others = self.residual.iter().chain(&self.interleave);
        std::iter::once(&self.x).chain(others).map(|channels| channels.slot).collect()
    }

    fn kind(&self) -> &'static str {
        match &self.op {
            Op::Conv(_) if self.shape.is_pointwise() => "pointwise",
            Op::Conv(_) | Op::PlanarConv(_) => "conv",
            Op::ConvBf16(_) if self.shape.is_pointwise() => "pointwise.bf16",
            Op::ConvBf16(_) => "conv.bf16",
            Op::Depthwise(_) => "depthwise",
            Op::MaxPool => "max_pool",
            Op::AveragePool(_) => "average_pool",
        }
    }
}

impl Lowering<'_> {
    /// Appends a step of one layer that writes `y`.
    pub(super) fn layer(&mut self, node: &Node, layer: Layer, y: Channels) {
        let (kind, reads) = (layer.kind(), layer.reads());
        let pools = matches!(layer.op, Op::MaxPool | Op::AveragePool(_));
        let macs = if pools { 0 } else { layer.shape.macs() };
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
        let layer = fused::Layer {
            shape: layer.shape,
            op: layer.op,
            bias: layer.bias,
            x: operand(layer.x, false),
            residual: layer.residual.map(|channels| operand(channels, false)),
            activation: layer.activation,
            interleave: layer.interleave.map(|channels| operand(channels, false)),
            y: operand(y, true),
        };
        let rows = layer.shape.oh.max(1);
        let step = Layers { chain: Chain::new(vec![layer], &[], rows), outers };
        let effects = Effects::new(kind, &reads, &[y.slot]).macs(macs);
        self.emit(node, Step::Layers(Box::new(step)), effects);
    }
}

/// Most floats of weights that are read once per row: half of a second-level cache.
const MOST_WEIGHTS: usize = 256 * 1024;

/// Whether the layer can be part of a chain: the kernels for single rows know its window, and its
/// weights are not too many to be read for every row.
pub(super) fn fits_chain(shape: &ConvShape) -> bool {
    let few = shape.is_depthwise() || shape.k() * shape.cout <= MOST_WEIGHTS;
    shape.is_pointwise() || few && shape.kh + shape.sh <= MAX_ROWS
}

/// The same for a layer that reads planes.
pub(super) fn fits_planar_chain(shape: &ConvShape) -> bool {
    fits_chain(shape) && (shape.kh + shape.sh) * shape.cin <= MAX_ROWS
}

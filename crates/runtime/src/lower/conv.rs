//! Convolutions in float32.

use edgecut_graph::{Conv, Node, ValueId};
use edgecut_kernels::bf16;
use edgecut_kernels::conv::ConvWeights;
use edgecut_kernels::depthwise::DepthwiseWeights;
use edgecut_kernels::fused::{self, Op};
use edgecut_kernels::{Activation, Blob, ConvShape, sparse};

use super::channels::{Channels, Shuffled};
use super::layer::{Layer, fits_chain, fits_planar_chain};
use super::tail::Ahead;
use super::weights::{conv_matrix, conv_shape};
use super::{Effects, Lowering};
use crate::plan::Slot;
use crate::step::{self, Step, Tail};
use crate::{Precision, Result};

/// Most channels that a convolution reads as planes: those of a picture, and one.
const MOST_PLANES: usize = 4;

/// How the input of a convolution is there.
#[derive(Clone, Copy)]
enum Source {
    /// As the caller's planes.
    Planes(Slot),
    /// Before a shuffle that the weights absorb.
    Shuffled(Shuffled),
    /// As pixels, or it can be had so.
    Pixels,
}

/// A convolution's weights, `[kh * kw * cin / groups, cout]`, and its bias.
struct Filters {
    shape: ConvShape,
    matrix: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Lowering<'_> {
    /// A convolution with constant weights, with bias, residual add, activation, and the
    /// concatenation and shuffle of a ShuffleNet unit. Returns whether the node was lowered.
    pub(super) fn conv(&mut self, index: usize, conv: &Conv) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(weights) = self.constant(node.input(1)?)? else { return Ok(false) };
        let Some(bias) = self.optional_constant(node, 2)? else { return Ok(false) };
        let shape = conv_shape(conv, &self.shape(node.input(0)?), &self.shape(node.output()));
        let filters = Filters {
            shape,
            matrix: conv_matrix(&shape, weights.f32s()?),
            bias: bias.map(|b| b.f32s().map(<[f32]>::to_vec)).transpose()?,
        };
        let source = self.source(node.input(0)?, &shape);
        // The result of a depthwise convolution has the order of its input, a residual has not.
        let reordered = shape.is_depthwise() && matches!(source, Source::Shuffled(_));
        let mut ahead = self.ahead(node.output(), !reordered);
        if ahead.taken.is_empty()
            && let Some(activation) = self.activation_behind_join(ahead.out)
        {
            ahead.activation = activation;
        }
        self.take(&ahead.taken);
        match fits_chain(&shape) {
            true => self.conv_layer(node, source, filters, ahead)?,
            false => self.whole_conv(node, source, filters, ahead)?,
        }
        Ok(true)
    }

    /// How a convolution finds its input.
    fn source(&self, input: ValueId, shape: &ConvShape) -> Source {
        let held = &self.held[input.index()];
        let few = shape.groups == 1 && shape.cin <= MOST_PLANES && !shape.is_pointwise();
        let absorbs = !shape.is_depthwise() || fits_chain(shape);
        match (held.shuffled, held.row_major) {
            _ if held.slot.is_some() => Source::Pixels,
            (Some(shuffled), _) if absorbs => Source::Shuffled(shuffled),
            (_, Some(slot)) if few && fits_planar_chain(shape) => Source::Planes(slot),
            _ => Source::Pixels,
        }
    }

    /// A step of its own, for windows that are high and weights that are large.
    fn whole_conv(
        &mut self,
        node: &Node,
        source: Source,
        filters: Filters,
        ahead: Ahead,
    ) -> Result<()> {
        let weights = filters.pack(source).into();
        let Filters { shape, bias, .. } = filters;
        let x = match source {
            Source::Shuffled(shuffled) => shuffled.slot,
            _ => self.stored(node.input(0)?)?,
        };
        let (tail, mut reads) = self.tail(bias, ahead.residual, ahead.activation)?;
        reads.push(x);
        let y = self.produce(ahead.out);
        let step = Step::Conv(Box::new(step::Conv { x, y, shape, weights, tail }));
        self.emit(node, step, Effects::new("conv", &reads, &[y]).macs(shape.macs()));
        Ok(())
    }

    /// A layer that may become part of a chain.
    fn conv_layer(
        &mut self,
        node: &Node,
        source: Source,
        filters: Filters,
        mut ahead: Ahead,
    ) -> Result<()> {
        let shape = filters.shape;
        let x = match source {
            Source::Planes(slot) => Channels { slot, first: 0, stride: 1 },
            Source::Shuffled(shuffled) => Channels::all(shuffled.slot, shape.cin),
            Source::Pixels => self.channels(node.input(0)?)?,
        };
        if shape.is_depthwise() {
            return self.depthwise_layer(node, source, filters, ahead, x);
        }
        let op = match source {
            Source::Planes(_) => Op::PlanarConv(filters.pack(source).into()),
            Source::Pixels if self.precision == Precision::Bf16 && fits_bf16(&shape) => {
                Op::ConvBf16(bf16::Weights::pack(&shape, &filters.matrix).into())
            }
            Source::Pixels if filters.are_sparse() => {
                let Filters { shape, matrix, .. } = &filters;
                Op::SparseConv(sparse::Weights::pack(shape.cin, shape.cout, matrix).into())
            }
            _ => Op::Conv(filters.pack(source).into()),
        };
        let macs = match &op {
            Op::SparseConv(weights) => shape.out_pixels() * weights.macs(),
            _ => shape.macs(),
        };
        let mut layer = self.layer_with(shape, op, x, filters.bias, &ahead)?;
        if let Some(halves) = self.interleaving_behind(ahead.out) {
            layer.interleave = Some(self.channels(halves.other)?);
            ahead.out = halves.out;
            self.take(&halves.taken);
        }
        let y = self.destination(ahead.out, &layer.reads());
        self.layer(node, layer.kind(), macs, layer, y);
        Ok(())
    }

    fn depthwise_layer(
        &mut self,
        node: &Node,
        source: Source,
        mut filters: Filters,
        ahead: Ahead,
        x: Channels,
    ) -> Result<()> {
        let shape = filters.shape;
        if let Source::Shuffled(shuffled) = source {
            filters.reorder(&shuffled.places(shape.cin));
        }
        let op = Op::Depthwise(DepthwiseWeights::pack(&shape, &filters.matrix).into());
        let layer = self.layer_with(shape, op, x, filters.bias, &ahead)?;
        let y = match source {
            Source::Shuffled(Shuffled { groups, .. }) => {
                let slot = self.buffer(self.dtype(ahead.out), shape.out_len());
                self.held[ahead.out.index()].shuffled = Some(Shuffled { slot, groups });
                Channels::all(slot, shape.cout)
            }
            _ => self.destination(ahead.out, &layer.reads()),
        };
        self.layer(node, layer.kind(), shape.macs(), layer, y);
        Ok(())
    }

    fn layer_with(
        &mut self,
        shape: ConvShape,
        op: Op,
        x: Channels,
        bias: Option<Vec<f32>>,
        ahead: &Ahead,
    ) -> Result<Layer> {
        let residual = ahead.residual.map(|value| self.channels(value)).transpose()?;
        let tail = fused::Tail { bias: bias.map(Blob::from), activation: ahead.activation };
        Ok(Layer { tail, residual, ..Layer::new(shape, op, x) })
    }

    /// The tail of a float step, and what it reads.
    pub(super) fn tail(
        &mut self,
        bias: Option<Vec<f32>>,
        residual: Option<ValueId>,
        activation: Activation,
    ) -> Result<(Tail, Vec<Slot>)> {
        let residual = residual.map(|value| self.stored(value)).transpose()?;
        let bias = bias.map(Blob::from);
        Ok((Tail { bias, residual, activation }, residual.into_iter().collect()))
    }
}

/// Fewer input channels than this stay float32: tiles have room for 32, and most networks begin with
/// 3, where rounding costs most.
const FEWEST_BF16_CHANNELS: usize = 8;

/// Whether a layer of a chain is worth computing in bfloat16.
fn fits_bf16(shape: &ConvShape) -> bool {
    bf16::fits(shape) && shape.cin_per_group() >= FEWEST_BF16_CHANNELS
}

impl Filters {
    /// Whether a pointwise convolution is faster without the weights that are zero.
    fn are_sparse(&self) -> bool {
        let s = &self.shape;
        s.is_pointwise()
            && s.groups == 1
            && sparse::pays(s.out_pixels(), s.cin, s.cout, &self.matrix)
    }

    /// For an input that is there like this.
    fn pack(&self, source: Source) -> ConvWeights {
        let (shape, matrix) = (&self.shape, &self.matrix);
        match source {
            Source::Planes(_) => ConvWeights::pack_planar(shape, matrix),
            Source::Shuffled(s) => ConvWeights::pack_shuffled(shape, matrix, s.groups),
            Source::Pixels => ConvWeights::pack(shape, matrix),
        }
    }

    /// Depthwise: for an input, and with a result, whose channel c is at `places[c]`.
    fn reorder(&mut self, places: &[usize]) {
        let move_row = |row: &mut [f32]| {
            let from = row.to_vec();
            from.iter().zip(places).for_each(|(x, &place)| row[place] = *x);
        };
        self.matrix.chunks_exact_mut(places.len()).for_each(move_row);
        self.bias.iter_mut().for_each(|bias| move_row(bias));
    }
}

//! Convolutions of 8-bit data.

use edgecut_graph::{Conv, Node};
use edgecut_kernels::ConvShape;
use edgecut_kernels::fused::MAX_ROWS;
use edgecut_kernels::fused::int8::{Int8, Op, Tail, stacked};
use edgecut_kernels::quant::{ConvWeights, DepthwiseWeights, MAX_K};

use super::channels::{Channels, Shuffled};
use super::layer::{Layer, fits_chain_of};
use super::quantised::{Bytes, MOST_PLANES, Operands, output, requant};
use super::tail::QuantAhead;
use super::weights::{conv_matrix, conv_shape};
use super::{Effects, Lowering};
use crate::Result;
use crate::plan::Slot;
use crate::step::{QuantConv, Step};

/// How the input of a convolution is there.
#[derive(Clone, Copy)]
enum Source {
    /// Before a shuffle that the weights absorb.
    Shuffled(Shuffled),
    Pixels(Channels),
}

/// Integer weights, `[kh * kw * cin / groups, cout]`, scales, and biases of a convolution.
struct Filters {
    shape: ConvShape,
    matrix: Vec<i16>,
    scales: Vec<f32>,
    bias: Vec<i32>,
    zero_point: u8,
}

impl Lowering<'_> {
    /// A convolution of integers. Returns whether the node was lowered.
    pub(super) fn quantised_conv(&mut self, index: usize, conv: &Conv) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let shape = conv_shape(conv, &self.shape(node.input(0)?), &self.shape(node.output()));
        if shape.k() > MAX_K {
            return Ok(false);
        }
        let Some(operands) = self.operands(node, shape.cout, 0)? else { return Ok(false) };
        let ahead = self.finish_ahead(node.output(), true)?;
        match (ahead, operands.weights.narrow()) {
            (Some(ahead), narrow) if fits_layer(&shape, narrow.is_none()) => {
                self.int_layer(node, shape, operands, ahead)?;
            }
            (ahead, Some(narrow)) if ahead.is_some() || !is_filter_bank(&shape) => {
                self.whole_int_conv(node, shape, operands, narrow, ahead.as_ref())?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A step of its own: for windows that are high, for weights that are large, and for results
    /// that stay float.
    fn whole_int_conv(
        &mut self,
        node: &Node,
        shape: ConvShape,
        operands: Operands,
        narrow: Vec<i8>,
        ahead: Option<&QuantAhead>,
    ) -> Result<()> {
        let Operands { x, affine, weights, bias } = operands;
        let x = self.stored_bytes(x)?;
        let residual = match ahead.and_then(|ahead| ahead.residual) {
            Some((value, affine)) => Some((self.stored(value)?, affine)),
            None => None,
        };
        let y = self.produce_finished(node, ahead);
        let matrix = conv_matrix(&shape, &narrow);
        let packed = ConvWeights::pack(&shape, &matrix, affine.zero_point);
        let output = output(affine, &weights.scales, packed.sums(), &bias, ahead);
        let step = QuantConv { x, y, residual, shape, weights: packed.into(), output };
        let reads: Vec<Slot> = [x].into_iter().chain(residual.map(|(slot, _)| slot)).collect();
        let effects = Effects::new("conv.int8", &reads, &[y]).macs(shape.macs());
        self.emit(node, Step::QuantConv(Box::new(step)), effects);
        Ok(())
    }

    /// A layer that may become part of a chain.
    fn int_layer(
        &mut self,
        node: &Node,
        shape: ConvShape,
        Operands { x, affine, weights, bias }: Operands,
        mut ahead: QuantAhead,
    ) -> Result<()> {
        let source = self.int_source(x, &shape)?;
        let mut filters = Filters {
            matrix: conv_matrix(&shape, &weights.data),
            zero_point: affine.zero_point,
            scales: weights.scales,
            shape,
            bias,
        };
        let x = match source {
            Source::Shuffled(shuffled) => Channels::all(shuffled.slot, shape.cin),
            Source::Pixels(channels) => channels,
        };
        let shuffled = match source {
            Source::Shuffled(shuffled) if is_filter_bank(&shape) => {
                filters.reorder(&shuffled.places(shape.cin));
                Some(shuffled)
            }
            _ => None,
        };
        filters.fill_pixels(x);
        let (op, sums) = filters.pack(source);
        let requant = requant(affine, &filters.scales, &sums, &filters.bias, &ahead);
        let residual = ahead.residual.map(|(value, _)| self.channels(value)).transpose()?;
        let tail = Tail { requant, residual: ahead.residual.map(|(_, affine)| affine) };
        self.take(&ahead.taken);
        let mut layer: Layer<Int8> =
            Layer { shape: filters.shape, op, tail: Some(tail), x, residual, interleave: None };
        if !is_filter_bank(&shape)
            && let Some(halves) = self.interleaving_behind(ahead.out)
        {
            layer.interleave = Some(self.channels(halves.other)?);
            ahead.out = halves.out;
            self.take(&halves.taken);
        }
        let y = match shuffled {
            Some(Shuffled { groups, .. }) => {
                let slot = self.buffer(self.dtype(ahead.out), shape.out_len());
                self.held[ahead.out.index()].shuffled = Some(Shuffled { slot, groups });
                Channels::all(slot, shape.cout)
            }
            None => self.destination(ahead.out, &layer.reads()),
        };
        self.layer(node, layer.kind(), shape.macs(), layer, y);
        Ok(())
    }

    fn int_source(&mut self, x: Bytes, shape: &ConvShape) -> Result<Source> {
        let value = match x {
            Bytes::Slot(slot) => return Ok(Source::Pixels(Channels::all(slot, shape.cin))),
            Bytes::Value(value) => value,
        };
        let held = &self.held[value.index()];
        match held.shuffled.filter(|_| held.slot.is_none()) {
            Some(shuffled) => Ok(Source::Shuffled(shuffled)),
            None => Ok(Source::Pixels(self.channels(value)?)),
        }
    }
}

/// Whether a layer of a chain can compute the convolution; with wide weights the window counts twice.
fn fits_layer(shape: &ConvShape, wide: bool) -> bool {
    match wide {
        true => fits_chain_of::<i16>(shape) && 2 * shape.kh <= MAX_ROWS,
        false => fits_chain_of::<i8>(shape),
    }
}

/// Whether a convolution has a filter a channel.
fn is_filter_bank(shape: &ConvShape) -> bool {
    shape.is_depthwise() && shape.groups > 1
}

impl Filters {
    /// A filter a channel: for an input, and with a result, whose channel c is at `places[c]`.
    fn reorder(&mut self, places: &[usize]) {
        fn move_row<T: Copy>(row: &mut [T], places: &[usize]) {
            let from = row.to_vec();
            from.iter().zip(places).for_each(|(x, &place)| row[place] = *x);
        }
        self.matrix.chunks_exact_mut(places.len()).for_each(|row| move_row(row, places));
        move_row(&mut self.bias, places);
        if self.scales.len() > 1 {
            move_row(&mut self.scales, places);
        }
    }

    /// Multiplies what fills up pixels of 4 bytes by 0, so that a row of a window is one run.
    fn fill_pixels(&mut self, x: Channels) {
        let (s, stride) = (&mut self.shape, x.stride);
        if s.groups > 1 || s.cin == stride || stride != MOST_PLANES || x.first > 0 {
            return;
        }
        let (tap, nothing) = (s.cin * s.cout, (stride - s.cin) * s.cout);
        let filled = |tap: &[i16]| [tap, &vec![0; nothing]].concat();
        self.matrix = self.matrix.chunks_exact(tap).flat_map(filled).collect();
        s.cin = stride;
    }

    /// For an input that is there like this; and the sum of each channel's weights.
    fn pack(&self, source: Source) -> (Op, Vec<i32>) {
        let (wide, shape, matrix) = self.matrices();
        let (shape, zero_point) = (&shape, self.zero_point);
        if is_filter_bank(shape) {
            let weights = DepthwiseWeights::pack(shape, &matrix, zero_point);
            let sums = weights.sums().to_vec();
            let op = if wide { Op::WideDepthwise } else { Op::Depthwise };
            return (op(weights.into()), sums);
        }
        let weights = match source {
            Source::Shuffled(Shuffled { groups, .. }) => {
                ConvWeights::pack_shuffled(shape, &matrix, zero_point, groups)
            }
            Source::Pixels(_) => ConvWeights::pack(shape, &matrix, zero_point),
        };
        let sums = weights.sums().to_vec();
        let op = if wide { Op::WideConv } else { Op::Conv };
        (op(weights.into()), sums)
    }

    /// The weights as int8, and their shape; where they are wider, as two matrices that add up to them
    /// one behind the other.
    fn matrices(&self) -> (bool, ConvShape, Vec<i8>) {
        let low = |w: i16| w.clamp(i8::MIN.into(), i8::MAX.into());
        let narrow = self.matrix.iter().map(|&w| low(w) as i8);
        if self.matrix.iter().all(|&w| w == low(w)) {
            return (false, self.shape, narrow.collect());
        }
        let rest = self.matrix.iter().map(|&w| (w - low(w)) as i8);
        (true, stacked(&self.shape), narrow.chain(rest).collect())
    }
}

//! Convolutions in float32.

use std::sync::Arc;

use edgecut_graph::{Conv, Node, ValueId};
use edgecut_kernels::conv::ConvWeights;
use edgecut_kernels::depthwise::DepthwiseWeights;
use edgecut_kernels::fused::{Chain, Layer, MAX_ROWS, Op, Operand};
use edgecut_kernels::{Activation, Blob, ConvShape};

use super::weights::{conv_matrix, conv_shape};
use super::{Effects, Lowering};
use crate::Result;
use crate::plan::Slot;
use crate::step::{self, Layers, Pixels, Step, Tail};

impl Lowering<'_> {
    /// A convolution with constant weights, with bias, residual add and activation. Returns whether
    /// the node was lowered.
    pub(super) fn conv(&mut self, index: usize, conv: &Conv) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(weights) = self.constant(node.input(1)?)? else { return Ok(false) };
        let Some(bias) = self.optional_constant(node, 2)? else { return Ok(false) };
        let bias = bias.map(|b| b.f32s().map(<[f32]>::to_vec)).transpose()?;
        let shape = conv_shape(conv, &self.shape(node.input(0)?), &self.shape(node.output()));
        let x = self.stored(node.input(0)?)?;
        let ahead = self.ahead(node.output(), true);
        let (tail, mut reads) = self.tail(bias, ahead.residual, ahead.activation)?;
        self.take(&ahead.taken);
        let y = self.produce(ahead.out);
        // For a depthwise convolution the matrix is `[kh * kw, c]`.
        let weights = conv_matrix(&shape, weights.f32s()?);
        let (op, kind) = if shape.is_depthwise() && shape.groups > 1 && fits_chain(&shape) {
            (Op::Depthwise(DepthwiseWeights::pack(&shape, &weights).into()), "depthwise")
        } else {
            let weights = Arc::new(ConvWeights::pack(&shape, &weights));
            if !shape.is_pointwise() {
                reads.push(x);
                let step = Step::Conv(Box::new(step::Conv { x, y, shape, weights, tail }));
                self.emit(node, step, Effects::new("conv", &reads, &[y]).macs(shape.macs()));
                return Ok(true);
            }
            (Op::Conv(weights), "pointwise")
        };
        self.layer(node, shape, op, kind, tail, (x, y));
        Ok(true)
    }

    /// A step of one layer, which may become part of a chain later.
    pub(super) fn layer(
        &mut self,
        node: &Node,
        shape: ConvShape,
        op: Op,
        kind: &'static str,
        tail: Tail,
        (x, y): (Slot, Slot),
    ) {
        let mut outers = vec![
            Pixels { slot: x, stride: shape.cin, written: false },
            Pixels { slot: y, stride: shape.cout, written: true },
        ];
        let mut reads = vec![x];
        if let Some(slot) = tail.residual {
            reads.push(slot);
            outers.push(Pixels { slot, stride: shape.cout, written: false });
        }
        let layer = Layer {
            shape,
            op,
            bias: tail.bias,
            residual: tail.residual.map(|_| Operand::outer(2)),
            activation: tail.activation,
            interleave: None,
            x: Operand::outer(0),
            y: Operand::outer(1),
        };
        let step = Layers { chain: Chain::new(vec![layer], &[], shape.oh.max(1)), outers };
        let effects = Effects::new(kind, &reads, &[y]).macs(shape.macs());
        self.emit(node, Step::Layers(Box::new(step)), effects);
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

/// Whether the layer can be part of a chain: the kernels for single rows know its window.
fn fits_chain(shape: &ConvShape) -> bool {
    shape.is_pointwise() || shape.is_depthwise() && shape.kh + shape.sh <= MAX_ROWS
}

//! Convolutions in float32.

use std::sync::Arc;

use edgecut_graph::{Conv, ValueId};
use edgecut_kernels::conv::ConvWeights;
use edgecut_kernels::{Activation, Blob};

use super::weights::{conv_matrix, conv_shape};
use super::{Effects, Lowering};
use crate::Result;
use crate::plan::Slot;
use crate::step::{self, Step, Tail};

impl Lowering<'_> {
    /// A convolution with constant weights, with bias, residual add and activation. Returns
    /// whether the node was lowered.
    pub(super) fn conv(&mut self, index: usize, conv: &Conv) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(weights) = self.constant(node.input(1)?)? else { return Ok(false) };
        let Some(bias) = self.optional_constant(node, 2)? else { return Ok(false) };
        let bias = bias.map(|b| b.f32s().map(<[f32]>::to_vec)).transpose()?;
        let shape = conv_shape(conv, &self.shape(node.input(0)?), &self.shape(node.output()));
        let x = self.stored(node.input(0)?)?;
        let ahead = self.ahead(node.output(), true);
        let (tail, mut reads) = self.tail(bias, ahead.residual, ahead.activation)?;
        reads.push(x);
        self.take(&ahead.taken);
        let y = self.produce(ahead.out);
        // For a depthwise convolution the matrix is `[kh * kw, c]`.
        let weights = conv_matrix(&shape, weights.f32s()?);
        let (step, kind) = if shape.is_depthwise() && shape.groups > 1 {
            let step = step::Depthwise { x, y, shape, weights: Arc::new(weights.into()), tail };
            (Step::Depthwise(Box::new(step)), "depthwise")
        } else {
            let weights = ConvWeights::pack(&shape, &weights).into();
            let step = step::Conv { x, y, shape, weights, tail };
            (Step::Conv(Box::new(step)), if shape.is_pointwise() { "pointwise" } else { "conv" })
        };
        self.emit(node, step, Effects::new(kind, &reads, &[y]).macs(shape.macs()));
        Ok(true)
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

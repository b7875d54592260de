//! Integer steps out of what QDQ spells in float.
//!
//! DequantizeLinear makes a [`View`] and no step. A convolution of a view with dequantised
//! constant weights, followed (over clamps) by QuantizeLinear, is one integer step with the sums
//! requantised; without the QuantizeLinear its sums become floats directly. What does not fit, for
//! instance weights beyond int8 or sums beyond int32, runs in float as it is written.

use edgecut_graph::{Binary, Conv, DType, Node, ValueId};
use edgecut_kernels::elementwise::Walk;
use edgecut_kernels::quant::{
    Affine, ConvWeights, DepthwiseWeights, Dequant, MAX_K, PackedWeights, Requant,
};

use super::state::View;
use super::weights::{IntWeights, conv_matrix, conv_shape};
use super::{Effects, Lowering};
use crate::plan::Slot;
use crate::step::{
    self, QuantBinary, QuantConv, QuantDepthwise, QuantLinear, QuantOutput, Quantize, Step,
};
use crate::{Result, layout};

/// Integer operands of a convolution or product.
struct Operands {
    x: Slot,
    affine: Affine,
    weights: IntWeights,
    bias: Vec<i32>,
}

impl Lowering<'_> {
    /// QuantizeLinear with one scale: a table over 8-bit data, nothing at all where it undoes a
    /// DequantizeLinear.
    pub(super) fn quantize(&mut self, node: &Node) -> Result<bool> {
        let Some(affine) = self.affine(node)? else { return Ok(false) };
        let (x, y) = (node.input(0)?, node.output());
        let shape = self.shape(y);
        let held = &self.held[x.index()];
        if let Some(view) = held.view.clone() {
            let slot = self.recode(node, &view, |v| affine.quantize(v));
            self.held[y.index()].slot = Some(slot);
            return Ok(true);
        }
        // Conversion to channels-last moves a quarter of the bytes after quantisation.
        let row_major = held.row_major.filter(|_| held.slot.is_none());
        let from = match row_major {
            Some(slot) => slot,
            None => self.stored(x)?,
        };
        let to = self.buffer(DType::U8, crate::lower::count(&shape));
        let step = Step::Quantize(Quantize { x: from, y: to, affine });
        self.emit(node, step, Effects::new("quantize", &[from], &[to]));
        self.held[y.index()].slot = Some(match row_major {
            Some(_) => self.channels_last(&node.name, to, DType::U8, &shape),
            None => to,
        });
        Ok(true)
    }

    /// DequantizeLinear of 8-bit data with one scale.
    pub(super) fn dequantize(&mut self, node: &Node) -> Result<bool> {
        let x = node.input(0)?;
        let Some(affine) = self.affine(node)?.filter(|_| self.dtype(x).is_quantised()) else {
            return Ok(false);
        };
        let slot = self.stored(x)?;
        self.held[node.output().index()].view = Some(View::new(slot, affine));
        Ok(true)
    }

    /// Data and parameters of a value that is a plain dequantisation.
    fn quantised(&self, value: ValueId) -> Option<(Slot, Affine)> {
        let view = self.held[value.index()].view.as_ref()?;
        Some((view.slot, view.affine?))
    }

    /// The integer operands of a layer of `channels` outputs, whose weights have their output
    /// channels along `axis`; `None` where some are not integers or sums could leave int32.
    fn operands(&mut self, node: &Node, channels: usize, axis: usize) -> Result<Option<Operands>> {
        let Some((x, affine)) = self.quantised(node.input(0)?) else { return Ok(None) };
        let Some(weights) = self.int_weights(node.input(1)?, axis)? else { return Ok(None) };
        let reach = reach(&weights.data, channels, axis);
        let unit = |c: usize| affine.scale * weights.scale(c);
        let bias = self.int_bias(node, channels, unit, |c| reach[c])?;
        Ok(bias.map(|bias| Operands { x, affine, weights, bias }))
    }

    /// A convolution of integers. Returns whether the node was lowered.
    pub(super) fn quantised_conv(&mut self, index: usize, conv: &Conv) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let shape = conv_shape(conv, &self.shape(node.input(0)?), &self.shape(node.output()));
        if shape.k() > MAX_K {
            return Ok(false);
        }
        let Some(Operands { x, affine, weights, bias }) = self.operands(node, shape.cout, 0)?
        else {
            return Ok(false);
        };
        let depthwise = shape.is_depthwise() && shape.groups > 1;
        let ahead = self.quantise_ahead(node.output())?;
        if depthwise && ahead.is_none() {
            return Ok(false);
        }
        let (out, taken) = match &ahead {
            Some(ahead) => (ahead.out, ahead.taken.clone()),
            None => (node.output(), vec![]),
        };
        self.take(&taken);
        let y = self.produce(out);
        let to = ahead.map(|a| (a.affine, a.clamp));
        let matrix = conv_matrix(&shape, &weights.data);
        let macs = shape.macs();
        let (step, kind) = if let (true, Some((to, clamp))) = (depthwise, to) {
            let taps =
                DepthwiseWeights::new(shape.kh * shape.kw, shape.cout, &matrix, affine.zero_point);
            let requant =
                Requant::new(affine, &weights.scales, taps.sums(), Some(&bias), to, clamp);
            let step = QuantDepthwise { x, y, shape, weights: taps.into(), requant };
            (Step::QuantDepthwise(Box::new(step)), "depthwise.int8")
        } else {
            let packed = ConvWeights::pack(&shape, &matrix, affine.zero_point);
            let output = output(affine, &weights.scales, packed.sums(), &bias, to);
            let step = QuantConv { x, y, shape, weights: packed.into(), output };
            let kind = if shape.is_pointwise() { "pointwise.int8" } else { "conv.int8" };
            (Step::QuantConv(Box::new(step)), kind)
        };
        self.emit(node, step, Effects::new(kind, &[x], &[y]).macs(macs));
        Ok(true)
    }

    /// A matrix product of integers. Returns whether the node was lowered.
    pub(super) fn quantised_linear(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(product) = self.product(node)? else { return Ok(false) };
        let plain =
            product.dense && product.alpha == 1.0 && product.beta == 1.0 && product.k <= MAX_K;
        let addend = node.inputs.get(2).copied().flatten().map(|v| self.shape(v));
        let per_column =
            addend.is_none_or(|s| s.iter().product::<usize>() == 1 || s.last() == Some(&product.n));
        if !plain || !per_column {
            return Ok(false);
        }
        let axis = product.column_axis();
        let Some(Operands { x, affine, weights, bias }) = self.operands(node, product.n, axis)?
        else {
            return Ok(false);
        };
        let ahead = self.quantise_ahead(node.output())?;
        let (out, taken) = match &ahead {
            Some(ahead) => (ahead.out, ahead.taken.clone()),
            None => (node.output(), vec![]),
        };
        self.take(&taken);
        let y = self.produce(out);
        let matrix = product.matrix(&weights.data);
        let packed = PackedWeights::new(product.k, product.n, &matrix, product.n);
        let to = ahead.map(|a| (a.affine, a.clamp));
        let output = output(affine, &weights.scales, packed.sums(), &bias, to);
        let macs = product.rows * product.k * product.n;
        let step = QuantLinear { x, y, rows: product.rows, weights: packed.into(), output };
        let effects = Effects::new("linear.int8", &[x], &[y]).macs(macs);
        self.emit(node, Step::QuantLinear(Box::new(step)), effects);
        Ok(true)
    }

    /// A function of two 8-bit tensors that is quantised again, computed exactly as it is written.
    pub(super) fn quantised_binary(&mut self, index: usize, op: Binary) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let values = [node.input(0)?, node.input(1)?];
        let views = values.map(|v| self.held[v.index()].view.clone());
        let [Some(a), Some(b)] = views else { return Ok(false) };
        let (Some(op), Some(ahead)) = (step::binary(op), self.quantise_ahead(node.output())?)
        else {
            return Ok(false);
        };
        self.take(&ahead.taken);
        let shape = self.shape(node.output());
        let [a_steps, b_steps] = values.map(|v| self.steps_along(v, &shape, false));
        let walk = Walk::new(&layout::physical(&shape), &a_steps, &b_steps);
        let y = self.produce(ahead.out);
        let (reads, y_affine) = ([a.slot, b.slot], (y, ahead.affine));
        let operand = |view: View| (view.slot, view.meaning());
        let (a, b) = (operand(a), operand(b));
        let step = QuantBinary { op, a, b, y: y_affine, clamp: ahead.clamp, walk };
        let effects = Effects::new("elementwise.int8", &reads, &[y]);
        self.emit(node, Step::QuantBinary(Box::new(step)), effects);
        Ok(true)
    }
}

/// What becomes of sums: bytes where they are quantised again, else floats.
fn output(
    x: Affine,
    scales: &[f32],
    sums: &[i32],
    bias: &[i32],
    to: Option<(Affine, (u8, u8))>,
) -> QuantOutput {
    match to {
        Some((y, clamp)) => QuantOutput::Bytes(Requant::new(x, scales, sums, Some(bias), y, clamp)),
        None => QuantOutput::Floats(Dequant::new(x, scales, sums, Some(bias))),
    }
}

/// The largest magnitude that each channel's sum can reach: 255 times its absolute weights.
fn reach(weights: &[i8], channels: usize, axis: usize) -> Vec<i64> {
    let mut reach = vec![0i64; channels];
    let inner = if axis == 0 { weights.len() / channels } else { 1 };
    for (i, &w) in weights.iter().enumerate() {
        reach[i / inner % channels] += 255 * i64::from(w.unsigned_abs());
    }
    reach
}

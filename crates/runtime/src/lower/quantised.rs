//! Integer steps out of what QDQ spells in float.
//!
//! DequantizeLinear makes no step: a float value may be the meaning of an 8-bit one ([`Held::codes`])
//! or a function of it ([`View`]). A convolution of such a value with dequantised constant weights,
//! followed by QuantizeLinear (over a residual addition, an activation and clamps), is one integer
//! layer with the sums requantised; without the QuantizeLinear its sums become floats directly.
//! What does not fit, for instance weights beyond int8 or sums beyond int32, runs in float as it is
//! written.
//!
//! [`Held::codes`]: super::state::Held::codes

use edgecut_graph::{Binary, DType, Node, ValueId};
use edgecut_kernels::elementwise::{self, Walk};
use edgecut_kernels::quant::{Affine, Dequant, MAX_K, PackedWeights, Requant, Scale};

use super::channels::Channels;
use super::state::View;
use super::tail::QuantAhead;
use super::weights::IntWeights;
use super::{Effects, Lowering, count};
use crate::plan::Slot;
use crate::step::{
    self, QuantBinary, QuantLinear, QuantOutput, QuantScale, Quantize, QuantizePlanes, Step,
};
use crate::{Result, layout};

/// Where 8-bit data is.
#[derive(Clone, Copy)]
pub(super) enum Bytes {
    Value(ValueId),
    Slot(Slot),
}

/// Integer operands of a convolution or product.
pub(super) struct Operands {
    pub x: Bytes,
    pub affine: Affine,
    pub weights: IntWeights,
    pub bias: Vec<i32>,
}

/// Most channels of a picture whose planes are quantised to pixels of 4 bytes, which is what a
/// product takes at a time.
pub(super) const MOST_PLANES: usize = 4;

impl Lowering<'_> {
    /// QuantizeLinear with one scale: a table over 8-bit data, nothing at all where it undoes a
    /// DequantizeLinear.
    pub(super) fn quantize(&mut self, node: &Node) -> Result<bool> {
        let Some(affine) = self.affine(node)? else { return Ok(false) };
        let (x, y) = (node.input(0)?, node.output());
        if let Some(view) = self.view(x)? {
            let slot = self.recode(node, &view, |v| affine.quantize(v));
            self.held[y.index()].slot = Some(slot);
            return Ok(true);
        }
        let held = &self.held[x.index()];
        let row_major = held.row_major.filter(|_| held.slot.is_none());
        match row_major {
            Some(planes) if self.is_read_by_pixels(y) && self.shape(y)[1] <= MOST_PLANES => {
                self.quantize_planes(node, planes, affine);
            }
            // Conversion to channels-last moves a quarter of the bytes after quantisation.
            Some(slot) => {
                let bytes = self.quantize_slot(node, slot, affine);
                let slot = self.channels_last(&node.name, bytes, DType::U8, &self.shape(y));
                self.held[y.index()].slot = Some(slot);
            }
            None => {
                let slot = self.stored(x)?;
                self.held[y.index()].slot = Some(self.quantize_slot(node, slot, affine));
            }
        }
        Ok(true)
    }

    fn quantize_slot(&mut self, node: &Node, x: Slot, affine: Affine) -> Slot {
        let y = self.buffer(DType::U8, count(&self.shape(node.output())));
        let step = Step::Quantize(Quantize { x, y, affine });
        self.emit(node, step, Effects::new("quantize", &[x], &[y]));
        y
    }

    /// The planes of a picture to pixels of 4 bytes, whose last ones may be nothing.
    fn quantize_planes(&mut self, node: &Node, x: Slot, affine: Affine) {
        let shape = self.shape(node.output());
        let (images, channels, pixels) = (shape[0], shape[1], shape[2] * shape[3]);
        let y = self.buffer(DType::U8, images * pixels * MOST_PLANES);
        let step = QuantizePlanes { x, y, images, channels, pixels, affine };
        self.emit(node, Step::QuantizePlanes(step), Effects::new("quantize", &[x], &[y]));
        let part = Channels { slot: y, first: 0, stride: MOST_PLANES };
        self.held[node.output().index()].part = Some(part);
    }

    /// DequantizeLinear of 8-bit data with one scale.
    pub(super) fn dequantize(&mut self, node: &Node) -> Result<bool> {
        let x = node.input(0)?;
        let Some(affine) = self.affine(node)?.filter(|_| self.dtype(x).is_quantised()) else {
            return Ok(false);
        };
        self.held[node.output().index()].codes = Some((x, affine));
        Ok(true)
    }

    /// Data and parameters of a value that is a plain dequantisation.
    fn quantised(&self, value: ValueId) -> Option<(Bytes, Affine)> {
        let held = &self.held[value.index()];
        match held.codes {
            Some((bytes, affine)) => Some((Bytes::Value(bytes), affine)),
            None => held.view.as_ref().and_then(|v| Some((Bytes::Slot(v.slot), v.affine?))),
        }
    }

    /// 8-bit data in physical order.
    pub(super) fn stored_bytes(&mut self, bytes: Bytes) -> Result<Slot> {
        match bytes {
            Bytes::Value(value) => self.stored(value),
            Bytes::Slot(slot) => Ok(slot),
        }
    }

    /// The integer operands of a layer of `channels` outputs, whose weights have their output
    /// channels along `axis`; `None` where some are not integers or sums could leave int32.
    pub(super) fn operands(
        &mut self,
        node: &Node,
        channels: usize,
        axis: usize,
    ) -> Result<Option<Operands>> {
        let Some((x, affine)) = self.quantised(node.input(0)?) else { return Ok(None) };
        let Some(weights) = self.int_weights(node.input(1)?, axis)? else { return Ok(None) };
        let reach = reach(&weights.data, channels, axis);
        let unit = |c: usize| affine.scale * weights.scale(c);
        let bias = self.int_bias(node, channels, unit, |c| reach[c])?;
        Ok(bias.map(|bias| Operands { x, affine, weights, bias }))
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
        let Some(narrow) = weights.narrow() else { return Ok(false) };
        let x = self.stored_bytes(x)?;
        let ahead = self.finish_ahead(node.output(), false)?;
        let y = self.produce_finished(node, ahead.as_ref());
        let matrix = product.matrix(&narrow);
        let packed = PackedWeights::new(product.k, product.n, &matrix, product.n);
        let output = output(affine, &weights.scales, packed.sums(), &bias, ahead.as_ref());
        let macs = product.rows * product.k * product.n;
        let step = QuantLinear { x, y, rows: product.rows, weights: packed.into(), output };
        let effects = Effects::new("linear.int8", &[x], &[y]).macs(macs);
        self.emit(node, Step::QuantLinear(Box::new(step)), effects);
        Ok(true)
    }

    /// A function of two 8-bit tensors that is quantised again, computed exactly as it is written; but
    /// a product with a number a channel rounds once.
    pub(super) fn quantised_binary(&mut self, index: usize, op: Binary) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let values = [node.input(0)?, node.input(1)?];
        if !values.iter().all(|v| self.held[v.index()].is_view()) {
            return Ok(false);
        }
        let (Some(op), Some(ahead)) = (step::binary(op), self.quantise_ahead(node.output())?)
        else {
            return Ok(false);
        };
        let [Some(a), Some(b)] = [self.view(values[0])?, self.view(values[1])?] else {
            return Ok(false);
        };
        self.take(&ahead.taken);
        let shape = self.shape(node.output());
        if op == elementwise::Binary::Mul
            && let Some([x, gates]) = self.gated([(values[0], &a), (values[1], &b)], &shape)
        {
            let y = self.produce(ahead.out);
            let scale = Scale::new(x.1, gates.1, ahead.affine, ahead.clamp);
            let (pixels, channels) = (shape[2] * shape[3], shape[1]);
            let step = QuantScale { x: x.0, gates: gates.0, y, pixels, channels, scale };
            let effects = Effects::new("scale.int8", &[x.0, gates.0], &[y]);
            self.emit(node, Step::QuantScale(step), effects);
            return Ok(true);
        }
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

    /// The images and the numbers a channel that two factors of a product of this shape are, in this
    /// order, where they are plainly dequantised.
    fn gated(
        &self,
        factors: [(ValueId, &View); 2],
        shape: &[usize],
    ) -> Option<[(Slot, Affine); 2]> {
        let is_image = |value: ValueId| shape.len() == 4 && self.shape(value) == shape;
        let is_gate = |value: ValueId| {
            let gate = self.shape(value);
            let [c, 1, 1] = gate[..].get(gate.len().checked_sub(3)?..)? else { return None };
            let images = gate[..gate.len() - 3].iter().product::<usize>();
            (*c == shape[1] && [1, shape[0]].contains(&images)).then_some(())
        };
        let [a, b] = factors;
        let (image, gate) = match (is_image(a.0), is_image(b.0)) {
            (true, _) if is_gate(b.0).is_some() => (a.1, b.1),
            (_, true) if is_gate(a.0).is_some() => (b.1, a.1),
            _ => return None,
        };
        Some([(image.slot, image.affine?), (gate.slot, gate.affine?)])
    }

    /// A new buffer for what a step with sums makes: the 8-bit value that `ahead` found, else the
    /// result of the node.
    pub(super) fn produce_finished(&mut self, node: &Node, ahead: Option<&QuantAhead>) -> Slot {
        let Some(ahead) = ahead else { return self.produce(node.output()) };
        self.take(&ahead.taken);
        self.produce(ahead.out)
    }
}

/// What becomes of sums: bytes where they are quantised again, else floats.
pub(super) fn output(
    x: Affine,
    scales: &[f32],
    sums: &[i32],
    bias: &[i32],
    ahead: Option<&QuantAhead>,
) -> QuantOutput {
    match ahead {
        Some(ahead) => QuantOutput::Bytes(requant(x, scales, sums, bias, ahead)),
        None => QuantOutput::Floats(Dequant::new(x, scales, sums, Some(bias))),
    }
}

/// How sums become the 8-bit value that was found ahead.
pub(super) fn requant(
    x: Affine,
    scales: &[f32],
    sums: &[i32],
    bias: &[i32],
    ahead: &QuantAhead,
) -> Requant {
    let requant = Requant::new(x, scales, sums, Some(bias), ahead.affine, ahead.clamp);
    requant.activated(ahead.activation)
}

/// The largest magnitude that each channel's sum can reach: 255 times its absolute weights.
fn reach(weights: &[i16], channels: usize, axis: usize) -> Vec<i64> {
    let mut reach = vec![0i64; channels];
    let inner = if axis == 0 { weights.len() / channels } else { 1 };
    for (i, &w) in weights.iter().enumerate() {
        reach[i / inner % channels] += 255 * i64::from(w.unsigned_abs());
    }
    reach
}

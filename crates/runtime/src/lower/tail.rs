//! Looking ahead: the nodes behind a result that its own step can compute.
//!
//! Only values with a single reader qualify, and only where the graph does not return them: the
//! step then never stores them.

use edgecut_graph::{Binary, DType, Node, Op, Unary, ValueId};
use edgecut_kernels::Activation;
use edgecut_kernels::quant::Affine;

use super::Lowering;
use crate::Result;
use crate::plan::flip;

/// What a float product or convolution takes along.
pub(super) struct Ahead {
    /// The value that the step stores in the end.
    pub out: ValueId,
    /// A value of the same shape, added before the activation.
    pub residual: Option<ValueId>,
    pub activation: Activation,
    /// The nodes that are then done.
    pub taken: Vec<usize>,
}

/// The limits that another float step takes along.
pub(super) struct ClampAhead {
    /// The value that the step stores in the end.
    pub out: ValueId,
    /// Lower and upper limit.
    pub clamp: Option<(f32, f32)>,
    /// The node that is then done.
    pub taken: Vec<usize>,
}

/// A QuantizeLinear that an integer step takes along, with what comes before it.
pub(super) struct QuantAhead {
    /// The 8-bit value.
    pub out: ValueId,
    pub affine: Affine,
    /// A dequantised value of the same shape that is added first: the 8-bit value, and its meaning.
    pub residual: Option<(ValueId, Affine)>,
    /// Applied next, unless it is a clamp.
    pub activation: Activation,
    /// Lowest and highest code that the clamps leave.
    pub clamp: (u8, u8),
    /// The nodes that are then done.
    pub taken: Vec<usize>,
}

impl Lowering<'_> {
    /// The one node that reads `value`, if nobody else needs it.
    pub(super) fn sole_reader(&self, value: ValueId) -> Option<usize> {
        match self.consumers[value.index()][..] {
            [reader] if !self.returned[value.index()] => Some(reader),
            _ => None,
        }
    }

    /// A residual add (where asked for) and an activation behind `out`.
    pub(super) fn ahead(&self, out: ValueId, residual: bool) -> Ahead {
        let mut ahead = Ahead { out, residual: None, activation: Activation::None, taken: vec![] };
        if residual && let Some((index, other)) = self.residual_add(out) {
            ahead.residual = Some(other);
            ahead.take(index, &self.graph.nodes[index]);
        }
        if let Some(index) = self.sole_reader(ahead.out) {
            let node = &self.graph.nodes[index];
            if let Some(activation) = activation(&node.op) {
                ahead.activation = activation;
                ahead.take(index, node);
            }
        }
        ahead
    }

    /// A clamp behind `out`.
    pub(super) fn clamp_ahead(&self, out: ValueId) -> ClampAhead {
        let reader = self.sole_reader(out).map(|index| (index, &self.graph.nodes[index]));
        match reader.and_then(|(index, node)| Some((index, node, limits(&node.op)?))) {
            Some((index, node, clamp)) => {
                ClampAhead { out: node.output(), clamp: Some(clamp), taken: vec![index] }
            }
            None => ClampAhead { out, clamp: None, taken: vec![] },
        }
    }

    /// The 8-bit value that `value` dequantises, if that is there: the Dequantize itself may come
    /// later.
    fn codes(&mut self, value: ValueId) -> Result<Option<(ValueId, Affine)>> {
        if let Some(codes) = self.held[value.index()].codes {
            return Ok(Some(codes));
        }
        let Some(index) = self.producers[value.index()] else { return Ok(None) };
        let node = &self.graph.nodes[index];
        let bytes = node.input(0)?;
        let fits = matches!(node.op, Op::Dequantize { .. })
            && self.dtype(bytes).is_quantised()
            && !self.is_constant(bytes)
            && self.held[bytes.index()].ready();
        if !fits {
            return Ok(None);
        }
        Ok(self.affine(node)?.map(|affine| (bytes, affine)))
    }

    /// The Add that reads `value` and a value of the same shape that is already computed.
    fn residual_add(&self, value: ValueId) -> Option<(usize, ValueId)> {
        self.add_behind(value).filter(|(_, other)| self.held[other.index()].ready())
    }

    /// The Add that reads `value`, and the value of the same shape that it adds.
    fn add_behind(&self, value: ValueId) -> Option<(usize, ValueId)> {
        let index = self.sole_reader(value)?;
        let node = &self.graph.nodes[index];
        let (a, b) = (node.inputs[0]?, node.inputs.get(1).copied().flatten()?);
        let other = if a == value { b } else { a };
        let fits = node.op == Op::Binary(Binary::Add)
            && other != value
            && self.graph.value(other).shape == self.graph.value(value).shape;
        fits.then_some((index, other))
    }

    /// The QuantizeLinear behind `value`, over any clamps in between.
    pub(super) fn quantise_ahead(&mut self, value: ValueId) -> Result<Option<QuantAhead>> {
        self.quantise_behind(value, None, Activation::None, vec![])
    }

    /// The QuantizeLinear behind the sums of a product: over a residual add (where asked for), an
    /// activation, and any clamps, in this order.
    pub(super) fn finish_ahead(
        &mut self,
        mut value: ValueId,
        residual: bool,
    ) -> Result<Option<QuantAhead>> {
        let (mut taken, mut added, mut activation) = (vec![], None, Activation::None);
        if residual
            && let Some((index, other)) = self.add_behind(value)
            && let Some(codes) = self.codes(other)?
        {
            added = Some(codes);
            taken.push(index);
            value = self.graph.nodes[index].output();
        }
        if let Some(index) = self.sole_reader(value)
            && let Some(found) = self::activation(&self.graph.nodes[index].op)
            && !matches!(found, Activation::Clamp(..))
        {
            activation = found;
            taken.push(index);
            value = self.graph.nodes[index].output();
        }
        self.quantise_behind(value, added, activation, taken)
    }

    fn quantise_behind(
        &mut self,
        value: ValueId,
        residual: Option<(ValueId, Affine)>,
        activation: Activation,
        mut taken: Vec<usize>,
    ) -> Result<Option<QuantAhead>> {
        let (mut out, mut clamps) = (value, vec![]);
        while let Some(index) = self.sole_reader(out) {
            let node = &self.graph.nodes[index];
            taken.push(index);
            out = node.output();
            if let Some(bounds) = node.op.clamp_bounds() {
                clamps.push(bounds);
            } else if matches!(node.op, Op::Quantize { .. })
                && let Some(affine) = self.affine(node)?
            {
                // Quantisation is monotone: limits on numbers are limits on codes.
                let clamp = clamps.iter().fold((0, 255), |range: (u8, u8), &(low, high)| {
                    let (low, high) = (affine.quantize(low), affine.quantize(high));
                    (range.0.max(low).min(high), range.1.max(low).min(high))
                });
                return Ok(Some(QuantAhead { out, affine, residual, activation, clamp, taken }));
            } else {
                break;
            }
        }
        Ok(None)
    }

    /// Scale and zero point of a Quantize or Dequantize, where they are constants for the whole
    /// tensor and its other side is 8-bit; the zero point as the plan stores such data.
    pub(super) fn affine(&mut self, node: &Node) -> Result<Option<Affine>> {
        let Some(scale) = self.constant(node.input(1)?)? else { return Ok(None) };
        let Some(zero) = self.optional_constant(node, 2)? else { return Ok(None) };
        let (scale, count) = (scale.f32s()?[0], scale.len());
        if count != 1 || !(scale.is_finite() && scale > 0.0) {
            return Ok(None);
        }
        let dtype = match (&zero, &node.op) {
            (Some(zero), _) => zero.dtype(),
            (None, Op::Dequantize { .. }) => self.dtype(node.input(0)?),
            (None, _) => DType::U8,
        };
        let zero = match zero {
            Some(zero) => zero.to_i64()?.first().copied().unwrap_or(0),
            None => 0,
        };
        Ok(match dtype {
            DType::U8 => Some(Affine::new(scale, zero as u8)),
            DType::I8 => Some(Affine::new(scale, flip(zero as i8))),
            _ => None,
        })
    }

    /// Marks nodes as computed by an earlier step.
    pub(super) fn take(&mut self, nodes: &[usize]) {
        nodes.iter().for_each(|&index| self.done[index] = true);
    }
}

/// The bounds of a clamp. Crossed ones have a meaning in ONNX, but not one that kernels need to
/// know.
fn limits(op: &Op) -> Option<(f32, f32)> {
    op.clamp_bounds().filter(|(low, high)| low <= high)
}

/// The activation that a node is, where an epilogue has it.
pub(super) fn activation(op: &Op) -> Option<Activation> {
    Some(match *op {
        Op::Unary(Unary::HardSwish) => Activation::HardSwish,
        Op::Unary(Unary::HardSigmoid { alpha, beta }) => Activation::HardSigmoid { alpha, beta },
        Op::Unary(Unary::Sigmoid) => Activation::Sigmoid,
        Op::Unary(Unary::Silu) => Activation::Silu,
        _ => return limits(op).map(|(low, high)| Activation::Clamp(low, high)),
    })
}

impl Ahead {
    fn take(&mut self, index: usize, node: &Node) {
        self.taken.push(index);
        self.out = node.output();
    }
}

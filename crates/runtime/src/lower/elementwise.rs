//! Elementwise functions, broadcasts, BatchNorm on its own, softmax.

use std::sync::Arc;

use edgecut_graph::{Binary, Node, Tensor, Unary, ValueId, interpret};
use edgecut_kernels::elementwise::{self, Walk};

use super::order::{self, Found};
use super::state::View;
use super::{Effects, Lowering, count};
use crate::Result;
use crate::plan::Slot;
use crate::step::{self, Broadcast, ChannelAffine, Elementwise, Step};

impl Lowering<'_> {
    /// A function of single elements over 8-bit data and single numbers only changes the table.
    /// The interpreter computes the new one, so the results are its own. Returns whether the node
    /// was such a function.
    pub(super) fn tabulate(&mut self, node: &Node) -> Result<bool> {
        let shape = self.shape(node.output());
        let (mut arguments, mut bytes) = (vec![], None);
        for &input in node.inputs.iter().flatten() {
            if let Some(view) = self.view(input)? {
                let same = bytes.is_none_or(|slot| slot == view.slot);
                if !same || self.shape(input) != shape {
                    return Ok(false);
                }
                bytes = Some(view.slot);
                arguments.push(Tensor::vector(view.table.to_vec()));
            } else if count(&self.shape(input)) == 1
                && let Some(number) = self.constant(input)?
            {
                arguments.push(number.reshaped([])?);
            } else {
                return Ok(false);
            }
        }
        let Some(slot) = bytes else { return Ok(false) };
        let arguments: Vec<Option<&Tensor>> = arguments.iter().map(Some).collect();
        let result = interpret::run_node(self.graph, node, &arguments)?;
        let Ok(table) = <[f32; 256]>::try_from(result[0].f32s()?) else { return Ok(false) };
        let unchanged = node.inputs.iter().flatten().find_map(|input| {
            let view = self.held[input.index()].view.as_ref()?;
            (*view.table == table).then_some(view.affine)?
        });
        let view = View { slot, table: Arc::new(table), affine: unchanged };
        self.held[node.output().index()].view = Some(view);
        Ok(true)
    }

    /// A function of one value.
    pub(super) fn unary(&mut self, node: &Node, function: Unary) -> Result<bool> {
        let Found { slot: x, row_major } = self.found(node.input(0)?)?;
        let y = self.produce_as(node.output(), row_major);
        let step = Step::Elementwise(Elementwise { x, y, function: step::unary(function) });
        self.emit(node, step, Effects::new("elementwise", &[x], &[y]).in_place(x, y));
        Ok(true)
    }

    /// A function of two values, with the clamp behind it.
    pub(super) fn binary(&mut self, index: usize, op: Binary) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(op) = step::binary(op) else { return Ok(false) };
        let (mut a, mut b) = (node.input(0)?, node.input(1)?);
        let ahead = self.clamp_ahead(node.output());
        let shape = self.shape(node.output());
        let commutes = matches!(op, elementwise::Binary::Add | elementwise::Binary::Mul);
        if commutes && self.shape(a) != shape && self.shape(b) == shape {
            // The first operand may be overwritten.
            (a, b) = (b, a);
        }
        let order = self.common_order(&[a, b], &shape);
        let dims: Vec<usize> =
            order::order(shape.len(), order).into_iter().map(|axis| shape[axis]).collect();
        let (a_steps, b_steps) =
            (self.steps_along(a, &shape, order), self.steps_along(b, &shape, order));
        let walk = Walk::new(&dims, &a_steps, &b_steps);
        let (a, b) = (self.stored_as(a, order)?, self.stored_as(b, order)?);
        self.take(&ahead.taken);
        let y = self.produce_as(ahead.out, order);
        let step = Step::Broadcast(Broadcast { op, a, b, y, clamp: ahead.clamp, walk });
        let effects = Effects::new("elementwise", &[a, b], &[y]);
        let effects = match a != b && walk.is_along_first() {
            true => effects.in_place(a, y),
            false => effects,
        };
        self.emit(node, step, effects);
        Ok(true)
    }

    /// Whether a function of these values is best computed in row-major order: one of the result's
    /// shape is there in that order only, and none in the other.
    fn common_order(&self, values: &[ValueId], shape: &[usize]) -> bool {
        let full = values.iter().filter(|&&v| self.shape(v) == shape && !self.is_constant(v));
        let row_major: Vec<bool> = full.map(|&v| self.is_row_major_only(v)).collect();
        !row_major.is_empty() && row_major.iter().all(|&only| only)
    }

    fn stored_as(&mut self, value: ValueId, row_major: bool) -> Result<Slot> {
        if row_major { self.stored_row_major(value) } else { self.stored(value) }
    }

    /// How far `value` moves along each dimension in memory of a result that it broadcasts to.
    pub(super) fn steps_along(
        &self,
        value: ValueId,
        result: &[usize],
        row_major: bool,
    ) -> Vec<usize> {
        let shape = self.shape(value);
        let (missing, strides) = (result.len() - shape.len(), order::strides(&shape, row_major));
        let step = |axis: usize| match axis.checked_sub(missing) {
            Some(own) if shape[own] > 1 => strides[own],
            _ => 0,
        };
        order::order(result.len(), row_major).into_iter().map(step).collect()
    }

    /// A BatchNorm that no convolution has absorbed, over values whose channels are innermost.
    pub(super) fn batch_norm(&mut self, node: &Node, epsilon: f32) -> Result<bool> {
        let rank = self.shape(node.output()).len();
        let mut parameters = vec![];
        for index in 1..5 {
            let Some(tensor) = self.constant(node.input(index)?)? else { return Ok(false) };
            parameters.push(tensor.f32s()?.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
        }
        if rank != 4 && rank != 2 {
            return Ok(false);
        }
        let [scale, bias, mean, variance] = [0, 1, 2, 3].map(|i| &parameters[i]);
        let factor = |c: usize| scale[c] / (variance[c] + f64::from(epsilon)).sqrt();
        let channels = 0..scale.len();
        let x = self.stored(node.input(0)?)?;
        let ahead = self.clamp_ahead(node.output());
        self.take(&ahead.taken);
        let y = self.produce(ahead.out);
        let step = ChannelAffine {
            x,
            y,
            scale: channels.clone().map(|c| factor(c) as f32).collect(),
            shift: channels.map(|c| (bias[c] - mean[c] * factor(c)) as f32).collect(),
            clamp: ahead.clamp,
        };
        self.emit(node, Step::ChannelAffine(step), Effects::new("batch_norm", &[x], &[y]));
        Ok(true)
    }
}

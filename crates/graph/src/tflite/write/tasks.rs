//! Whether a node is computed in integers, and what it takes over from the nodes behind it.
//!
//! Dequantize, operator, clamp, Quantize is one integer operator of the file. A clamp that the
//! operator has as fused activation becomes that. Another one is applied to the integers, which is
//! the same because quantising is monotone: `q(clamp(x)) = clamp(q(x))` between `q(min)` and
//! `q(max)`. Where the operator cannot have the parameters of the Quantize, its own result is
//! quantised again, unless that would round twice: then it runs in float as it is written.

use std::sync::Arc;

use super::params::shift;
use super::values::{Writer, ordered};
use crate::tflite::tensors::{Quant, integers};
use crate::{DType, Node, Op, Result, ValueId};

/// Which parameters the result of an integer operator may have.
#[derive(Clone, Copy)]
pub(super) enum Integer {
    /// Any.
    Any,
    /// These, of int8: scale and zero point.
    Only(f32, i64),
    /// Those of its first input; what it computes is one of its inputs' numbers.
    Input,
    /// There is no integer operator.
    Never,
}

/// One operator to be written.
pub(super) struct Task {
    /// Whether it computes codes from codes.
    pub integer: bool,
    /// Fused activation, as the schema numbers them.
    pub activation: u8,
    /// The value that is made in the end.
    pub out: ValueId,
    /// Parameters that `out` has in the graph.
    wanted: Option<Arc<Quant>>,
    /// Parameters of what the operator computes.
    own: Option<Arc<Quant>>,
    /// Bounds to apply behind it.
    clamp: Option<(f32, f32)>,
}

/// The fused activation that these bounds are.
fn fused(bounds: (f32, f32)) -> Option<u8> {
    match bounds {
        (0.0, f32::INFINITY) => Some(1),
        (-1.0, 1.0) => Some(2),
        (0.0, 6.0) => Some(3),
        _ => None,
    }
}

impl Writer<'_> {
    /// How to write the node at `index`. `inputs` are those that must have codes for an integer
    /// operator; `fuses` says whether it has a fused activation.
    pub fn task(
        &mut self,
        index: usize,
        inputs: &[ValueId],
        kind: Integer,
        fuses: bool,
    ) -> Result<Task> {
        let node = &self.graph.nodes[index];
        let clamp = self.only_reader(node.output()).filter(|&i| {
            let op = &self.graph.nodes[i].op;
            op.clamp_bounds().is_some()
        });
        let bounds = clamp.and_then(|i| self.graph.nodes[i].op.clamp_bounds());
        let last = clamp.map_or(node.output(), |i| self.graph.nodes[i].output());
        let quantize = self
            .only_reader(last)
            .filter(|&i| matches!(self.graph.nodes[i].op, Op::Quantize { .. }));
        let all = !inputs.is_empty() && inputs.iter().all(|&id| self.quant(id).is_some());
        if let (Some(quantize), true) = (quantize, all) {
            let out = self.graph.nodes[quantize].output();
            let wanted = self.params.get(out).cloned();
            let own = self.own_params(kind, inputs, wanted.as_ref());
            if own.is_some() {
                clamp.into_iter().chain([quantize]).for_each(|i| self.done[i] = true);
                let activation = bounds.filter(|_| fuses).and_then(fused);
                let clamp = bounds.filter(|_| activation.is_none());
                let activation = activation.unwrap_or(0);
                return Ok(Task { integer: true, activation, out, wanted, own, clamp });
            }
        }
        let activation = bounds.filter(|_| fuses).and_then(fused);
        let out = if activation.is_some() { last } else { node.output() };
        if let (Some(clamp), Some(_)) = (clamp, activation) {
            self.done[clamp] = true;
        }
        let activation = activation.unwrap_or(0);
        Ok(Task { integer: false, activation, out, wanted: None, own: None, clamp: None })
    }

    fn own_params(
        &self,
        kind: Integer,
        inputs: &[ValueId],
        wanted: Option<&Arc<Quant>>,
    ) -> Option<Arc<Quant>> {
        let wanted = wanted?;
        match kind {
            Integer::Any => Some(wanted.clone()),
            Integer::Only(scale, zero) => {
                let zero = zero + shift(DType::I8, self.params.dtype);
                (wanted.scales == [scale] && wanted.zeros == [zero]).then(|| wanted.clone())
            }
            Integer::Input => self.quant(*inputs.first()?).cloned(),
            Integer::Never => None,
        }
    }

    /// The one node that reads a value which the graph does not return.
    fn only_reader(&self, id: ValueId) -> Option<usize> {
        match self.readers[id.index()][..] {
            [reader] if !self.graph.is_output(id) => Some(reader),
            _ => None,
        }
    }

    /// The tensor of an input: its codes for an integer task, else its own type.
    pub fn input(&mut self, task: &Task, id: ValueId, order: &[usize]) -> Result<usize> {
        if task.integer { self.codes_of(id, order) } else { self.plain(id, order) }
    }

    /// Tensor `x` with the parameters of what `task` computes: codes that have others are quantised
    /// again.
    pub fn like_own(&mut self, task: &Task, x: usize) -> Result<usize> {
        match &task.own {
            Some(own) => self.requantised(x, own),
            None => Ok(x),
        }
    }

    fn requantised(&mut self, x: usize, quant: &Arc<Quant>) -> Result<usize> {
        if self.has_params(x, quant) {
            return Ok(x);
        }
        let from = &self.file.tensors[x];
        let (name, dtype, dims) =
            (format!("{}.quantize", from.name), from.dtype, from.dims.clone());
        let y = self.file.tensor(&name, dtype, dims, Some(quant.clone()));
        self.emit("QUANTIZE", &[x], y, None);
        Ok(y)
    }

    fn has_params(&self, tensor: usize, quant: &Quant) -> bool {
        let own = self.file.tensors[tensor].quant.as_ref();
        own.is_some_and(|own| own.scales == quant.scales && own.zeros == quant.zeros)
    }

    /// The tensor that the operator of `task` writes; [`Writer::complete`] makes it the value.
    pub fn output(&mut self, task: &Task, order: &[usize]) -> usize {
        let value = self.graph.value(task.out);
        let dims = ordered(value.shape.dims(), order);
        let dtype = if task.integer { self.params.dtype } else { value.dtype };
        self.file.tensor(&value.name, dtype, dims, task.own.clone())
    }

    /// Applies what is left of `task` to `tensor`, which holds its result in this order.
    pub fn complete(&mut self, task: Task, tensor: usize, order: &[usize]) -> Result<()> {
        let Some(wanted) = &task.wanted else {
            self.hold(task.out, order, tensor);
            return Ok(());
        };
        let bounds = task.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let tensor = self.bounded(tensor, bounds, wanted)?;
        self.hold_codes(task.out, order, tensor);
        Ok(())
    }

    /// The codes in `x` with these parameters, then between these bounds.
    pub fn bounded(
        &mut self,
        x: usize,
        (min, max): (f32, f32),
        quant: &Arc<Quant>,
    ) -> Result<usize> {
        let x = self.requantised(x, quant)?;
        let x = self.clamped(x, "MAXIMUM", min, quant)?;
        self.clamped(x, "MINIMUM", max, quant)
    }

    /// The codes in `x`, bounded on one side; `x` itself where its type bounds them as much.
    fn clamped(
        &mut self,
        x: usize,
        op: &'static str,
        bound: f32,
        quant: &Arc<Quant>,
    ) -> Result<usize> {
        let dtype = self.file.tensors[x].dtype;
        let (lowest, highest) = if dtype == DType::U8 { (0, 255) } else { (-128, 127) };
        // As Quantize computes it; the cast saturates.
        let code = ((bound / quant.scales[0]).round_ties_even() + quant.zeros[0] as f32) as i64;
        let code = code.clamp(lowest, highest);
        if code == if op == "MAXIMUM" { lowest } else { highest } {
            return Ok(x);
        }
        let from = &self.file.tensors[x];
        let (name, dims) = (from.name.clone(), from.dims.clone());
        let bound = integers(dtype, vec![], &[code])?;
        let bound = self.file.constant(&format!("{name}.bound"), &bound, Some(quant.clone()));
        let y = self.file.tensor(&format!("{name}.clamp"), dtype, dims, Some(quant.clone()));
        self.emit(op, &[x, bound], y, None);
        Ok(y)
    }

    /// For operators that move elements: the tensor of `id` in this order, as codes where it has
    /// them.
    pub fn moved(&mut self, id: ValueId, order: &[usize]) -> Result<usize> {
        if self.quant(id).is_some() { self.codes_of(id, order) } else { self.plain(id, order) }
    }

    /// The tensor for the result of a node that moved the elements of tensor `x`.
    pub fn move_to(&mut self, node: &Node, x: usize, order: &[usize]) -> usize {
        let id = node.output();
        let from = &self.file.tensors[x];
        let (dtype, quant) = (from.dtype, from.quant.clone());
        let dims = ordered(self.graph.value(id).shape.dims(), order);
        let y = self.file.tensor(&self.name(id), dtype, dims, quant);
        self.hold_codes(id, order, y);
        y
    }
}

//! Operators that only move elements: reshape, transpose, slice, concat, pad.
//!
//! Over 8-bit data they move the bytes, and the result is again a view of 8-bit data.

use std::sync::Arc;

use edgecut_graph::{Cut, DType, Node};

use super::state::{View, codes};
use super::{Effects, Lowering, count};
use crate::plan::Slot;
use crate::step::{Concat, Fill, Lookup, Move, Pad, Step};
use crate::{Result, layout};

impl Lowering<'_> {
    /// Reshape, Flatten, Squeeze, Unsqueeze: another shape over the same row-major order. Free
    /// where neither side is an image with several channels and pixels.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let (from, to) = (self.shape(x), self.shape(y));
        if let Some(row_major) = self.held[x.index()].row_major {
            let slot = self.channels_last(&node.name, row_major, self.dtype(x), &to);
            self.held[y.index()].slot = Some(slot);
            return Ok(true);
        }
        self.rearrange(node, |lowering, slot, dtype| {
            if from == to {
                return slot;
            }
            let slot = lowering.row_major(&node.name, slot, dtype, &from);
            lowering.channels_last(&node.name, slot, dtype, &to)
        })
    }

    pub(super) fn transpose(&mut self, node: &Node, perm: &[usize]) -> Result<bool> {
        let strides = layout::strides(&self.shape(node.input(0)?));
        let strides: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
        self.gather(node, 0, &strides)
    }

    pub(super) fn slice(&mut self, node: &Node, cuts: &[Cut]) -> Result<bool> {
        let mut strides = layout::strides(&self.shape(node.input(0)?));
        let start = cuts.iter().map(|cut| cut.start * strides[cut.axis]).sum();
        cuts.iter().for_each(|cut| strides[cut.axis] *= cut.step);
        self.gather(node, start, &strides)
    }

    /// A result whose element steps through the input by `strides` (for each logical dimension of
    /// the result) from `start`.
    fn gather(&mut self, node: &Node, start: usize, strides: &[usize]) -> Result<bool> {
        let shape = self.shape(node.output());
        let order = layout::order(shape.len());
        let dims: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let strides: Vec<usize> = order.iter().map(|&a| strides[a]).collect();
        let len = count(&shape);
        self.rearrange(node, |lowering, x, dtype| {
            if start == 0
                && lowering.out.buffers[x.index()].bytes == len * dtype.bytes()
                && is_dense(&dims, &strides)
            {
                return x;
            }
            let y = lowering.buffer(dtype, len);
            let step = Step::Move(Move::gather(x, y, dtype, start, &dims, &strides));
            lowering.emit(node, step, Effects::new("move", &[x], &[y]));
            y
        })
    }

    /// Applies a move of elements to what holds the node's input: the bytes of a view, or the
    /// elements themselves.
    fn rearrange(
        &mut self,
        node: &Node,
        apply: impl Fn(&mut Self, Slot, DType) -> Slot,
    ) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        if let Some(view) = self.held[x.index()].view.clone() {
            let slot = apply(self, view.slot, DType::U8);
            self.held[y.index()].view = Some(View { slot, ..view });
        } else {
            let slot = self.stored(x)?;
            self.held[y.index()].slot = Some(apply(self, slot, self.dtype(x)));
        }
        Ok(true)
    }

    /// Values side by side. 8-bit data stays 8-bit where all of it means the same, or where the
    /// result is quantised again.
    pub(super) fn concat(&mut self, index: usize, axis: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let values = (0..node.inputs.len()).map(|i| node.input(i));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let views = values.iter().map(|v| self.held[v.index()].view.clone());
        if let Some(views) = views.collect::<Option<Vec<View>>>() {
            let first = views[0].clone();
            if views.iter().all(|v| v.table == first.table) {
                let slots: Vec<Slot> = views.iter().map(|v| v.slot).collect();
                let y = self.buffer(DType::U8, count(&self.shape(node.output())));
                self.join(node, axis, &slots, y, DType::U8)?;
                self.held[node.output().index()].view = Some(View { slot: y, ..first });
                return Ok(true);
            }
            if let Some(ahead) = self.quantise_ahead(node.output())? {
                let code = |x: f32| ahead.affine.quantize(x).clamp(ahead.clamp.0, ahead.clamp.1);
                let slots: Vec<Slot> =
                    views.iter().map(|view| self.recode(node, view, code)).collect();
                self.take(&ahead.taken);
                let y = self.produce(ahead.out);
                self.join(node, axis, &slots, y, DType::U8)?;
                return Ok(true);
            }
        }
        let slots = values.iter().map(|&v| self.stored(v)).collect::<Result<Vec<Slot>>>()?;
        let y = self.produce(node.output());
        self.join(node, axis, &slots, y, self.dtype(node.output()))?;
        Ok(true)
    }

    fn join(
        &mut self,
        node: &Node,
        axis: usize,
        slots: &[Slot],
        y: Slot,
        dtype: DType,
    ) -> Result<()> {
        let mut parts = vec![];
        for (i, &slot) in slots.iter().enumerate() {
            let shape = layout::physical(&self.shape(node.input(i)?));
            parts.push((slot, count(&shape[layout::axis(shape.len(), axis)..])));
        }
        let kind = if dtype.is_quantised() { "concat.int8" } else { "concat" };
        let step = Step::Concat(Concat { parts, y, dtype });
        self.emit(node, step, Effects::new(kind, slots, &[y]));
        Ok(())
    }

    /// The bytes of a view under another code; its own buffer where no code changes.
    pub(super) fn recode(&mut self, node: &Node, view: &View, code: impl Fn(f32) -> u8) -> Slot {
        let table = view.table.map(code);
        if table == codes() {
            return view.slot;
        }
        let bytes = self.out.buffers[view.slot.index()].bytes;
        let y = self.buffer(DType::U8, bytes);
        let step = Step::Lookup(Box::new(Lookup::to_bytes(view.slot, y, table)));
        let effects = Effects::new("lookup.int8", &[view.slot], &[y]).in_place(view.slot, y);
        self.emit(node, step, effects);
        y
    }

    /// Constant padding; over 8-bit data where some code stands for the constant.
    pub(super) fn pad(&mut self, node: &Node, before: &[usize], value: f32) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let (from, to) = (self.shape(x), self.shape(y));
        let order = layout::order(before.len());
        let before = order.iter().map(|&a| before[a]).collect();
        let view = self.held[x.index()].view.clone();
        let code = view.as_ref().and_then(|v| v.table.iter().position(|&t| t == value));
        let (x, slot, fill) = match (view, code) {
            (Some(view), Some(code)) => {
                let slot = self.buffer(DType::U8, count(&to));
                let table = Arc::clone(&view.table);
                self.held[y.index()].view = Some(View { slot, table, affine: view.affine });
                (view.slot, slot, Fill::Byte(code as u8))
            }
            _ => (self.stored(x)?, self.produce(y), Fill::Float(value)),
        };
        let (x_dims, y_dims) = (layout::physical(&from), layout::physical(&to));
        let step = Step::Pad(Pad { x, y: slot, fill, x_dims, y_dims, before });
        self.emit(node, step, Effects::new("pad", &[x], &[slot]));
        Ok(true)
    }
}

/// Whether `strides` are those of a dense tensor of extents `dims`.
fn is_dense(dims: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    dims.iter().zip(strides).rev().all(|(&dim, &stride)| {
        let fits = dim == 1 || stride == expected;
        expected *= dim;
        fits
    })
}

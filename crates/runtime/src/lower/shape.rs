//! Operators that only move elements: reshape, transpose, slice, concat.
//!
//! Over 8-bit data they move the bytes, and the result is again a view of 8-bit data.

use edgecut_graph::{Cut, DType, Node};

use super::channels::concat_kind;
use super::order::Found;
use super::state::{View, codes};
use super::{Effects, Lowering, count};
use crate::plan::Slot;
use crate::step::{Concat, Lookup, Part, Step};
use crate::{Result, layout};

impl Lowering<'_> {
    /// Reshape, Flatten, Squeeze, Unsqueeze: another shape over the same row-major order. Free
    /// unless an image with several channels and pixels must change its order for it.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let (from, to) = (self.shape(x), self.shape(y));
        if let Some(view) = self.view(x)? {
            let slot = if from == to {
                view.slot
            } else {
                let slot = self.row_major(&node.name, view.slot, DType::U8, &from);
                self.channels_last(&node.name, slot, DType::U8, &to)
            };
            self.held[y.index()].view = Some(View { slot, ..view });
        } else if from == to {
            let found = self.found(x)?;
            self.hold(y, found);
        } else {
            let slot = self.stored_row_major(x)?;
            self.hold(y, Found { slot, row_major: true });
        }
        Ok(true)
    }

    pub(super) fn transpose(&mut self, node: &Node, perm: &[usize]) -> Result<bool> {
        self.gather(node, |steps| (0, perm.iter().map(|&p| steps[p]).collect()))
    }

    pub(super) fn slice(&mut self, node: &Node, cuts: &[Cut]) -> Result<bool> {
        if let &[Cut { axis: 1, start, step: 1, .. }] = cuts
            && self.slice_of_channels(node, start)?
        {
            return Ok(true);
        }
        self.gather(node, |steps| {
            // A cut of one element may state any step: it does not matter then.
            let start = cuts.iter().map(|cut| cut.start * steps[cut.axis]).sum();
            let mut steps = steps.to_vec();
            cuts.iter().for_each(|cut| steps[cut.axis] = steps[cut.axis].saturating_mul(cut.step));
            (start, steps)
        })
    }

    /// Dimensions of extent 1, repeated: a step of 0.
    pub(super) fn expand(&mut self, node: &Node) -> Result<bool> {
        let (from, to) = (self.shape(node.input(0)?), self.shape(node.output()));
        self.gather(node, |steps| {
            let own = |axis: usize| axis.checked_sub(to.len() - from.len());
            let step = |axis: usize| own(axis).filter(|&a| from[a] != 1).map_or(0, |a| steps[a]);
            (0, (0..to.len()).map(step).collect())
        })
    }

    /// Values side by side. 8-bit data stays 8-bit where all of it means the same, or where the
    /// result is quantised again.
    pub(super) fn concat(&mut self, index: usize, axis: usize) -> Result<bool> {
        if self.concat_channels(index)? {
            return Ok(true);
        }
        let node = &self.graph.nodes[index];
        let values = (0..node.inputs.len()).map(|i| node.input(i));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let views = values.iter().map(|&v| self.view(v)).collect::<Result<Vec<_>>>()?;
        if let Some(views) = views.into_iter().collect::<Option<Vec<View>>>() {
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
        let (mut parts, mut row) = (vec![], 0);
        for (i, &slot) in slots.iter().enumerate() {
            let shape = layout::physical(&self.shape(node.input(i)?));
            let len = count(&shape[layout::axis(shape.len(), axis)..]);
            parts.push(Part::new(slot, [0, len], len, row));
            row += len;
        }
        let step = Step::Concat(Concat { parts, y, row, dtype });
        self.emit(node, step, Effects::new(concat_kind(dtype), slots, &[y]));
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
}

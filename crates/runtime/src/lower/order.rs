//! Values in the order that a step wants: channels-last, row-major, or whichever is there.
//!
//! Images are channels-last inside a plan. Attention, layer normalisation and reshapes think in
//! rows instead; what they make stays row-major until somebody needs an image of it, so that a
//! chain of them converts nothing.

use edgecut_graph::{Op, ValueId};

use super::{Lowering, count};
use crate::plan::{Constant, Slot};
use crate::{Result, layout};

/// A buffer that holds a value.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub slot: Slot,
    /// Whether it is in row-major order, not in physical order.
    pub row_major: bool,
}

/// Strides of each logical dimension in either order.
pub(super) fn strides(shape: &[usize], row_major: bool) -> Vec<usize> {
    if row_major { layout::row_major_strides(shape) } else { layout::strides(shape) }
}

/// The logical dimension at each position in memory.
pub(super) fn order(rank: usize, row_major: bool) -> Vec<usize> {
    if row_major { (0..rank).collect() } else { layout::order(rank) }
}

impl Lowering<'_> {
    /// The value in whichever order it is there already.
    pub(super) fn found(&mut self, value: ValueId) -> Result<Found> {
        let held = &self.held[value.index()];
        match held.row_major.filter(|_| held.slot.is_none()) {
            Some(slot) => Ok(Found { slot, row_major: true }),
            None => Ok(Found { slot: self.stored(value)?, row_major: false }),
        }
    }

    /// Whether the value is there in row-major order only.
    pub(super) fn is_row_major_only(&self, value: ValueId) -> bool {
        let held = &self.held[value.index()];
        held.slot.is_none() && held.row_major.is_some()
    }

    /// The value in row-major order: converted or copied out of the constants once, then
    /// remembered.
    pub(super) fn stored_row_major(&mut self, value: ValueId) -> Result<Slot> {
        if let Some(slot) = self.held[value.index()].row_major {
            return Ok(slot);
        }
        let shape = self.shape(value);
        let known = self.held[value.index()].slot.is_some();
        let slot = if layout::is_row_major(&shape) {
            self.stored(value)?
        } else if let (false, Some(tensor)) = (known, self.constant(value)?) {
            self.constant_slot(Constant::row_major(&tensor))
        } else {
            let slot = self.stored(value)?;
            let name = self.graph.value(value).name.clone();
            self.row_major(&name, slot, self.dtype(value), &shape)
        };
        self.held[value.index()].row_major = Some(slot);
        Ok(slot)
    }

    /// Says that `slot` holds the value in row-major order.
    pub(super) fn hold(&mut self, value: ValueId, found: Found) {
        let same = layout::is_row_major(&self.shape(value));
        let held = &mut self.held[value.index()];
        if found.row_major && !same {
            held.row_major = Some(found.slot);
        } else {
            held.slot = Some(found.slot);
        }
    }

    /// A new buffer that will hold `value` in the order asked for.
    pub(super) fn produce_as(&mut self, value: ValueId, row_major: bool) -> Slot {
        let slot = self.buffer(self.dtype(value), count(&self.shape(value)));
        self.hold(value, Found { slot, row_major });
        slot
    }

    /// Whether all readers of a value that is about to be made want it row-major.
    pub(super) fn prefers_row_major(&self, value: ValueId) -> bool {
        let readers = &self.consumers[value.index()];
        let by_rows = |&index: &usize| {
            let shapes = matches!(
                self.graph.nodes[index].op,
                Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. }
            );
            shapes || matches!(self.graph.nodes[index].op, Op::MatMul | Op::LayerNorm { .. })
        };
        let returned = self.returned[value.index()];
        (returned || !readers.is_empty()) && readers.iter().all(by_rows)
    }
}

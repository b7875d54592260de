//! Which slot holds the gradient of which activation, and when.
//!
//! The backward pass walks the steps from the last to the first. A gradient lives from the first
//! layer that contributes to it until the layer that made the activation has consumed it; its slot
//! is no memory yet, see [`timeline`](super::timeline).
//!
//! Addition copies nothing: both inputs share the slot of the output's gradient until one of
//! their layers wants to change it. Who shares is known here, so the copy is in the plan exactly
//! where it is needed.

use super::{Activation, Step};

/// What a layer's backward pass does with the gradient of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nobody needs it.
    Skip,
    /// Writes it to this slot.
    Write(usize),
    /// Adds it to this slot.
    Accumulate(usize),
    /// Writes it to `temporary`, which is then added to `to`.
    Add {
        /// Slot for the contribution.
        temporary: usize,
        /// Slot of the sum.
        to: usize,
    },
    /// Turns the output's gradient, which nobody else needs any more, into it.
    InPlace,
    /// Is the output's gradient itself, shared: nothing to do.
    Share,
}

/// One step of the backward pass.
#[derive(Debug)]
pub(crate) struct Backward {
    /// Index into the plan's steps.
    pub step: usize,
    /// Slot of the output's gradient.
    pub slot: usize,
    /// Steps whose outputs are no longer there and are computed again before this one, in order, and
    /// where each output lies then.
    pub again: Vec<(usize, usize)>,
    /// Copies `(from, to)` of shared slots that this step is about to change.
    pub copies: Vec<(usize, usize)>,
    /// One for each input. They are served from the last to the first: what shares the output's
    /// gradient comes after what may overwrite it.
    pub targets: Vec<Target>,
}

pub(super) struct Planned {
    pub backward: Vec<Backward>,
    /// Elements of one image of each slot.
    pub slots: Vec<usize>,
    /// Where the gradient of each root is put before the backward pass.
    pub roots: Vec<usize>,
}

/// Slots, each for one gradient and what turns into others in its place.
#[derive(Default)]
struct Slots {
    sizes: Vec<usize>,
    owners: Vec<usize>,
}

impl Slots {
    fn take(&mut self, len: usize) -> usize {
        self.sizes.push(len);
        self.owners.push(1);
        self.sizes.len() - 1
    }

    fn release(&mut self, slot: usize) {
        self.owners[slot] -= 1;
    }
}

impl Backward {
    /// The slots that this step uses.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        let copies = self.copies.iter().flat_map(|&(from, to)| [from, to]);
        let targets = self.targets.iter().flat_map(|target| match *target {
            Target::Skip | Target::InPlace | Target::Share => [None, None],
            Target::Write(slot) | Target::Accumulate(slot) => [Some(slot), None],
            Target::Add { temporary, to } => [Some(temporary), Some(to)],
        });
        copies.chain(targets.flatten()).chain([self.slot])
    }
}

/// Plans the backward pass of `steps` from the activations `roots`, whose gradients come from
/// outside. What no trained parameter lies before (`needs`) gets none: neither the image, nor the
/// frozen layers that a net begins with.
pub(super) fn plan(
    steps: &[Step],
    activations: &[Activation],
    roots: &[usize],
    needs: &[bool],
) -> Planned {
    let mut slots = Slots::default();
    let mut held: Vec<Option<usize>> = vec![None; activations.len()];
    let mut root_slots = vec![];
    for &root in roots {
        // Two roots may be one activation; what comes from outside is one gradient then.
        let slot = *held[root].get_or_insert_with(|| slots.take(activations[root].len));
        root_slots.push(slot);
    }
    let mut backward = vec![];
    for (index, step) in steps.iter().enumerate().rev() {
        // A layer that the roots do not depend on, or without parameters that are trained before.
        let Some(slot) = held[step.output].take() else { continue };
        if !needs[step.output] {
            slots.release(slot);
            continue;
        }
        let mut plan =
            Backward { step: index, slot, again: vec![], copies: vec![], targets: vec![] };
        let mut given_away = false;
        for (at, &input) in step.inputs.iter().enumerate().rev() {
            let len = activations[input].len;
            let target = match held[input] {
                _ if !needs[input] && step.layer.can_skip() => Target::Skip,
                // Written for nothing, where such a layer is the first that is trained.
                _ if !needs[input] => {
                    let unused = slots.take(len);
                    slots.release(unused);
                    Target::Write(unused)
                }
                None if step.layer.shares_gradient(at) => {
                    slots.owners[slot] += 1;
                    held[input] = Some(slot);
                    Target::Share
                }
                None if step.layer.gradient_in_place() && slots.owners[slot] == 1 => {
                    given_away = true;
                    held[input] = Some(slot);
                    Target::InPlace
                }
                None => {
                    let new = slots.take(len);
                    held[input] = Some(new);
                    Target::Write(new)
                }
                Some(current) => {
                    let own = if slots.owners[current] == 1 {
                        current
                    } else {
                        let own = slots.take(len);
                        plan.copies.push((current, own));
                        slots.release(current);
                        held[input] = Some(own);
                        own
                    };
                    if step.layer.accumulates() || step.layer.shares_gradient(at) {
                        Target::Accumulate(own)
                    } else {
                        let temporary = slots.take(len);
                        slots.release(temporary);
                        Target::Add { temporary, to: own }
                    }
                }
            };
            plan.targets.push(target);
        }
        plan.targets.reverse();
        if !given_away {
            slots.release(slot);
        }
        backward.push(plan);
    }
    Planned { backward, slots: slots.sizes, roots: root_slots }
}

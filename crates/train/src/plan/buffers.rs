//! Which buffer holds which activation.
//!
//! The backward pass looks at activations again, so most live to its end and have a buffer of their
//! own. Two kinds do not: a layer that works in place writes over an input that no other layer reads,
//! now or in its backward pass; and what only layers without a backward pass read, such as the
//! frozen layers that a net begins with, makes room as soon as it has been read.

use super::{Activation, Step};

/// Gives every activation a buffer; returns the buffers' sizes. `roots` are looked at from outside;
/// `needs` tells which activations a gradient passes.
pub(super) fn share(
    steps: &[Step],
    activations: &mut [Activation],
    roots: &[usize],
    needs: &[bool],
) -> Vec<usize> {
    let count = activations.len();
    let mut readers = vec![0; count];
    let mut last = vec![0; count];
    // Activation 0 is the input image.
    let mut passing = needs.iter().map(|needs| !needs).collect::<Vec<bool>>();
    passing[0] = false;
    for (index, step) in steps.iter().enumerate() {
        for &input in &step.inputs {
            readers[input] += 1;
            last[input] = index;
            passing[input] &= !needs[step.output];
        }
    }
    let mut pinned = vec![false; count];
    pinned[0] = true;
    for &root in roots {
        (pinned[root], passing[root]) = (true, false);
    }
    let mut buffers = Buffers::default();
    buffers.take(&mut activations[0], false);
    for (index, step) in steps.iter().enumerate() {
        pinned[step.output] |= step.layer.keeps_output();
        let reusable = |&&a: &&usize| readers[a] == 1 && !pinned[a];
        let reuse = if step.layer.in_place() { step.inputs.iter().find(reusable) } else { None };
        let output = step.output;
        match reuse.map(|&input| activations[input].buffer) {
            Some(buffer) => {
                activations[output].buffer = buffer;
                buffers.join(buffer, passing[output]);
            }
            None => buffers.take(&mut activations[output], passing[output]),
        }
        let mut read = step.inputs.clone();
        read.sort_unstable();
        read.dedup();
        for input in read.into_iter().filter(|&a| last[a] == index) {
            buffers.leave(activations[input].buffer);
        }
    }
    buffers.sizes
}

#[derive(Default)]
struct Buffers {
    sizes: Vec<usize>,
    /// Activations in each that are still to be read.
    alive: Vec<usize>,
    /// Whether it must stay as it is for the backward pass.
    kept: Vec<bool>,
    free: Vec<usize>,
}

impl Buffers {
    /// Finds a buffer for an activation, the one that was freed last if there is one: it may still
    /// be in the cache.
    fn take(&mut self, activation: &mut Activation, passing: bool) {
        let free = if passing { self.free.pop() } else { None };
        let buffer = free.unwrap_or_else(|| {
            self.sizes.push(0);
            self.alive.push(0);
            self.kept.push(false);
            self.sizes.len() - 1
        });
        self.sizes[buffer] = self.sizes[buffer].max(activation.len);
        activation.buffer = buffer;
        self.join(buffer, passing);
    }

    fn join(&mut self, buffer: usize, passing: bool) {
        self.alive[buffer] += 1;
        self.kept[buffer] |= !passing;
    }

    fn leave(&mut self, buffer: usize) {
        self.alive[buffer] -= 1;
        if self.alive[buffer] == 0 && !self.kept[buffer] {
            self.free.push(buffer);
        }
    }
}

//! The arena as layers see it: what they write, and what they read beside it.

use std::ops::Range;

use crate::plan::Activation;

/// Runs of the arena that nobody writes, each with the float where it begins.
type Parts<'a> = [(usize, &'a [f32]); 3];

/// The activations that a layer reads.
pub(crate) struct Reads<'a> {
    pub parts: Parts<'a>,
    pub activations: &'a [Activation],
    /// Byte of the arena where each activation lies now.
    pub places: &'a [usize],
    pub inputs: &'a [usize],
    pub n: usize,
}

impl<'a> Reads<'a> {
    /// Whether input `i` lies at `place`.
    pub fn lies_at(&self, i: usize, place: usize) -> bool {
        self.places[self.inputs[i]] == place
    }

    /// Input `i`, `[n, h, w, c]`.
    pub fn get(&self, i: usize) -> &'a [f32] {
        self.activation(self.inputs[i])
    }

    /// Any activation that is there.
    pub fn activation(&self, a: usize) -> &'a [f32] {
        let (start, len) = (self.places[a] / size_of::<f32>(), self.activations[a].len * self.n);
        let [first, second, third] = self.parts;
        let (begin, part) = match start {
            _ if start >= third.0 => third,
            _ if start >= second.0 => second,
            _ => first,
        };
        &part[start - begin..][..len]
    }
}

/// Calls `f` with two disjoint ranges of `arena` to be written, and with all that lies around them.
pub(crate) fn with_parts<R>(
    arena: &mut [f32],
    a: Range<usize>,
    b: Range<usize>,
    f: impl FnOnce(Parts, &mut [f32], &mut [f32]) -> R,
) -> R {
    let swapped = b.start < a.start;
    let [low, high] = if swapped { [b, a] } else { [a, b] };
    let (before, rest) = arena.split_at_mut(low.start);
    let (first, rest) = rest.split_at_mut(low.len());
    let (between, rest) = rest.split_at_mut(high.start - low.end);
    let (second, after) = rest.split_at_mut(high.len());
    let parts = [(0, &*before), (low.end, &*between), (high.end, &*after)];
    if swapped { f(parts, second, first) } else { f(parts, first, second) }
}

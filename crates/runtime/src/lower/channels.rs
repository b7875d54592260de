//! Some channels of every pixel of a wider tensor.
//!
//! Convolutions and poolings read and write pixels at any distance, floats and bytes alike. So a slice of channels
//! is only a place to look at, and what will be concatenated is written side by side at once. A
//! channel shuffle moves nothing either: whoever multiplies channels has its weights in another
//! order instead. Whoever cannot do so gets a dense copy, once.

use edgecut_graph::{DType, Node, Op, ValueId};
use edgecut_kernels::Activation;

use super::tail::activation;
use super::{Effects, Lowering, count};
use crate::Result;
use crate::plan::Slot;
use crate::step::{Concat, Move, Part, Shuffle, Step};

/// Channels of every pixel of a batch of images in a buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Channels {
    pub slot: Slot,
    /// The first of them.
    pub first: usize,
    /// Elements from one pixel to the next.
    pub stride: usize,
}

impl Channels {
    /// All `channels` of a dense buffer.
    pub fn all(slot: Slot, channels: usize) -> Channels {
        Channels { slot, first: 0, stride: channels }
    }

    /// From the `count`th on.
    fn skip(self, count: usize) -> Channels {
        Channels { first: self.first + count, ..self }
    }
}

/// A shuffled value that nobody has moved.
#[derive(Clone, Copy)]
pub(super) struct Shuffled {
    /// The dense buffer from before the shuffle.
    pub slot: Slot,
    pub groups: usize,
}

impl Shuffled {
    /// Where each of the shuffled channels is.
    pub fn places(&self, channels: usize) -> Vec<usize> {
        let members = channels / self.groups;
        (0..channels).map(|c| c % self.groups * members + c / self.groups).collect()
    }
}

/// A concatenation whose inputs are written side by side by those who compute them.
pub(super) struct Join {
    /// The value that comes out: behind the activation, if the inputs take one along.
    out: ValueId,
    y: Channels,
    activation: Activation,
    /// Nodes that are then done.
    taken: Vec<usize>,
}

/// The other half of a ShuffleNet unit, behind the convolution of one.
pub(super) struct Halves {
    /// The half that is concatenated before it.
    pub other: ValueId,
    /// The shuffled channels of both.
    pub out: ValueId,
    /// The nodes that are then done.
    pub taken: [usize; 2],
}

impl Lowering<'_> {
    /// The channels of an image batch, where they are.
    pub(super) fn channels(&mut self, value: ValueId) -> Result<Channels> {
        let held = &self.held[value.index()];
        match held.part.filter(|_| held.slot.is_none()) {
            Some(part) => Ok(part),
            None => Ok(Channels::all(self.stored(value)?, self.shape(value)[1])),
        }
    }

    /// Where a step that reads `reads` is to write `value`: side by side with what it will be
    /// concatenated with, else in a buffer of its own.
    pub(super) fn destination(&mut self, value: ValueId, reads: &[Slot]) -> Channels {
        let part = self.part_of_join(value).filter(|part| !reads.contains(&part.slot));
        if let Some(part) = part {
            self.held[value.index()].part = Some(part);
            return part;
        }
        let channels = self.shape(value)[1];
        Channels::all(self.produce(value), channels)
    }

    /// What the concatenation that reads `value`, and nobody else does, has behind it.
    pub(super) fn activation_behind_join(&mut self, value: ValueId) -> Option<Activation> {
        let concat = self.concatenation_of(value)?;
        self.join_of(concat);
        let join = &self.joins[&concat];
        (join.activation != Activation::None).then_some(join.activation)
    }

    /// A dense copy of channels.
    pub(super) fn copied(
        &mut self,
        name: &str,
        x: Channels,
        dtype: DType,
        shape: &[usize],
    ) -> Slot {
        let y = self.buffer(dtype, count(shape));
        let dims = [count(shape) / shape[1], shape[1]];
        let step = Move::gather(x.slot, y, dtype, x.first, &dims, &[x.stride, 1]);
        let effects = Effects::new("move", &[x.slot], &[y]);
        self.emit_named(name, shape.to_vec(), Step::Move(step), effects);
        y
    }

    /// A dense copy of channels that were shuffled.
    pub(super) fn shuffled(
        &mut self,
        name: &str,
        Shuffled { slot: x, groups }: Shuffled,
        dtype: DType,
        shape: &[usize],
    ) -> Slot {
        let y = self.buffer(dtype, count(shape));
        let step = Shuffle { x, y, dtype, channels: shape[1], groups };
        let effects = Effects::new("shuffle", &[x], &[y]);
        self.emit_named(name, shape.to_vec(), Step::Shuffle(step), effects);
        y
    }

    /// Whether all readers of an image batch read pixels at any distance.
    pub(super) fn is_read_by_pixels(&self, value: ValueId) -> bool {
        self.is_image(value)
            && self.all_readers(value, &|node| {
                let op = &node.op;
                matches!(
                    op,
                    Op::Conv(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::Concat { axis: 1 }
                )
            })
    }

    /// Whether somebody reads `value`, the graph does not return it, and all of its readers are like
    /// this; instead of a Dequantize those that read its result.
    fn all_readers(&self, value: ValueId, like: &dyn Fn(&Node) -> bool) -> bool {
        let readers = &self.consumers[value.index()];
        let fits = |&index: &usize| match &self.graph.nodes[index] {
            Node { op: Op::Dequantize { .. }, outputs, .. } => {
                outputs.iter().all(|&output| self.all_readers(output, like))
            }
            node => like(node),
        };
        !self.returned[value.index()] && !readers.is_empty() && readers.iter().all(fits)
    }

    fn is_image(&self, value: ValueId) -> bool {
        let dtype = self.dtype(value);
        (dtype == DType::F32 || dtype.is_quantised()) && self.shape(value).len() == 4
    }

    /// A slice of channels that nobody needs to copy. Returns whether the node is one.
    pub(super) fn slice_of_channels(&mut self, node: &Node, start: usize) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let fits = self.is_read_by_pixels(y)
            && !self.held[x.index()].is_view()
            && !self.is_row_major_only(x);
        if fits {
            self.held[y.index()].part = Some(self.channels(x)?.skip(start));
        }
        Ok(fits)
    }

    /// A shuffle that those behind it absorb, as far as they can. Returns whether the node is one.
    pub(super) fn shuffle_of_channels(&mut self, node: &Node, groups: usize) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let convolved = self.all_readers(y, &|node| matches!(node.op, Op::Conv(_)));
        let fits = self.is_image(y) && convolved && !self.held[x.index()].is_view();
        if fits {
            let slot = self.stored(x)?;
            self.held[y.index()].shuffled = Some(Shuffled { slot, groups });
        }
        Ok(fits)
    }

    /// The concatenation of an equal half with `value` and the shuffle of both, where that half is
    /// there already.
    pub(super) fn interleaving_behind(&self, value: ValueId) -> Option<Halves> {
        let concat = self.sole_reader(value)?;
        let shuffle = self.interleaves(concat)?;
        let &[Some(other), Some(second)] = &self.graph.nodes[concat].inputs[..] else {
            return None;
        };
        let fits = second == value && self.held[other.index()].ready();
        let out = self.graph.nodes[shuffle].output();
        fits.then_some(Halves { other, out, taken: [concat, shuffle] })
    }

    /// The node that shuffles what a concatenation of two different, equal halves makes.
    fn interleaves(&self, concat: usize) -> Option<usize> {
        let node = &self.graph.nodes[concat];
        let &[Some(a), Some(b)] = &node.inputs[..] else { return None };
        let halves = node.op == Op::Concat { axis: 1 }
            && self.is_image(a)
            && a != b
            && self.shape(a) == self.shape(b);
        let shuffle = self.sole_reader(node.output()).filter(|_| halves)?;
        let is_shuffle = self.graph.nodes[shuffle].op == Op::ChannelShuffle { groups: 2 };
        is_shuffle.then_some(shuffle)
    }

    /// The concatenation of channels that reads `value`, if all that it joins is computed, each once.
    fn concatenation_of(&self, value: ValueId) -> Option<usize> {
        let joins = |&index: &usize| {
            let node = &self.graph.nodes[index];
            let fits = |input: ValueId| {
                let held = &self.held[input.index()];
                self.is_image(input) && !self.is_constant(input) && !held.is_view()
            };
            node.op == Op::Concat { axis: 1 }
                && !self.done[index]
                && self.interleaves(index).is_none()
                && node.inputs.iter().flatten().all(|&input| fits(input))
                && node.inputs.iter().filter(|&&input| input == Some(value)).count() == 1
        };
        self.consumers[value.index()].iter().copied().find(joins)
    }

    /// The place of `value` in the result of the concatenation that reads it.
    fn part_of_join(&mut self, value: ValueId) -> Option<Channels> {
        if !self.is_read_by_pixels(value) {
            return None;
        }
        let concat = self.concatenation_of(value)?;
        self.join_of(concat);
        let inputs = self.graph.nodes[concat].inputs.iter().flatten();
        let before = inputs.take_while(|&&input| input != value);
        let before: usize = before.map(|&input| self.shape(input)[1]).sum();
        Some(self.joins[&concat].y.skip(before))
    }

    /// Decides where the inputs of a concatenation go, unless that is known.
    fn join_of(&mut self, concat: usize) {
        if self.joins.contains_key(&concat) {
            return;
        }
        let out = self.graph.nodes[concat].output();
        let behind = self.common_activation(concat);
        let taken = behind.map(|(index, _)| index).into_iter().collect();
        let out = behind.map_or(out, |(index, _)| self.graph.nodes[index].output());
        let activation = behind.map_or(Activation::None, |(_, activation)| activation);
        // Its result may be part of another concatenation.
        let y = self.part_of_join(out).unwrap_or_else(|| {
            let shape = self.shape(out);
            Channels::all(self.buffer(self.dtype(out), count(&shape)), shape[1])
        });
        self.joins.insert(concat, Join { out, y, activation, taken });
    }

    /// The activation behind a concatenation, and its node, where every step that makes an input can
    /// take it along.
    fn common_activation(&self, concat: usize) -> Option<(usize, Activation)> {
        let node = &self.graph.nodes[concat];
        let reader = self.sole_reader(node.output())?;
        let activation = activation(&self.graph.nodes[reader].op)?;
        let takes = |&value: &ValueId| {
            let is_new = self.sole_reader(value).is_some() && !self.held[value.index()].ready();
            let maker = self.producers[value.index()].map(|index| &self.graph.nodes[index]);
            is_new && maker.is_some_and(|maker| self.takes_activation(maker, activation))
        };
        node.inputs.iter().flatten().all(takes).then_some((reader, activation))
    }

    /// Whether the step that a node becomes can apply an activation to its results, or need not.
    fn takes_activation(&self, node: &Node, activation: Activation) -> bool {
        let known = |input: &Option<ValueId>| {
            input.is_none_or(|input| self.held[input.index()].constant.is_some())
        };
        match &node.op {
            Op::Conv(_) => node.inputs[1..].iter().all(known),
            Op::MaxPool(_) | Op::AveragePool(_) => {
                activation == Activation::RELU && self.is_rectified(node.output())
            }
            _ => false,
        }
    }

    /// Whether a value is known to hold no negative numbers.
    fn is_rectified(&self, mut value: ValueId) -> bool {
        loop {
            let Some(index) = self.producers[value.index()] else { return false };
            let node = &self.graph.nodes[index];
            match (&node.op, node.inputs.first()) {
                (Op::MaxPool(pool) | Op::AveragePool(pool), Some(Some(input)))
                    if pool.meets_data() =>
                {
                    value = *input;
                }
                (op, _) => return op.clamp_bounds().is_some_and(|(low, _)| low >= 0.0),
            }
        }
    }

    /// Joins channels where at least one of the inputs is in its place already: copies the others
    /// there. Returns whether the node is such a concatenation.
    pub(super) fn concat_channels(&mut self, index: usize) -> Result<bool> {
        let Some(join) = self.joins.remove(&index) else { return Ok(false) };
        let node = &self.graph.nodes[index];
        let (mut parts, mut reads, mut y) = (vec![], vec![], join.y);
        for input in 0..node.inputs.len() {
            let input = node.input(input)?;
            let channels = self.shape(input)[1];
            if self.held[input.index()].part != Some(y) {
                let mut x = self.channels(input)?;
                if x.slot == y.slot {
                    // A step does not read what it writes.
                    let shape = self.shape(input);
                    x = Channels::all(
                        self.copied(&node.name, x, self.dtype(input), &shape),
                        channels,
                    );
                }
                reads.push(x.slot);
                parts.push(Part::new(x.slot, [x.first, x.stride], channels, y.first));
            }
            y = y.skip(channels);
        }
        if !parts.is_empty() {
            let Channels { slot, stride, .. } = join.y;
            let dtype = self.dtype(node.output());
            let step = Concat { parts, y: slot, row: stride, dtype };
            let effects = Effects::new(concat_kind(dtype), &reads, &[slot]);
            self.emit(node, Step::Concat(step), effects);
        }
        self.take(&join.taken);
        let whole = join.y == Channels::all(join.y.slot, self.shape(join.out)[1]);
        let held = &mut self.held[join.out.index()];
        match whole {
            true => held.slot = Some(join.y.slot),
            false => held.part = Some(join.y),
        }
        Ok(true)
    }
}

/// What a report calls a concatenation.
pub(super) fn concat_kind(dtype: DType) -> &'static str {
    if dtype.is_quantised() { "concat.int8" } else { "concat" }
}

//! Convolution weights, packed for the products that use them.

use serde::{Deserialize, Serialize};

use super::pack::{PackedWeights, groups_of};
use crate::Blob;
use crate::conv::{ChannelRuns, ConvShape};

/// Groups times shuffled groups that a file may ask for: they are walked to check its weights.
const MAX_RUNS: usize = 1 << 24;

/// One packed matrix per group, and what the padding of the input contributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvWeights {
    groups: Vec<PackedWeights>,
    /// Groups of the shuffle that the input has yet to go through, 1 for none.
    shuffle: usize,
    zero_point: u8,
    /// The sum of the weights of each output channel.
    sums: Blob<i32>,
    /// What a kernel row that lies in the padding adds to each output channel: `[kh][cout]`.
    pads: Blob<i32>,
}

impl ConvWeights {
    /// Packs `weights[kh, kw, cin / groups, cout]` for inputs of this zero point.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says.
    pub fn pack(shape: &ConvShape, weights: &[i8], zero_point: u8) -> ConvWeights {
        ConvWeights::pack_shuffled(shape, weights, zero_point, 1)
    }

    /// Packs the weights of a convolution behind a channel shuffle (a transposition of `[shuffle,
    /// cin / shuffle]` channels) for an input that has not been shuffled: each group reads its
    /// channels where they are, so the shuffle costs nothing.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says, or the channels are not a multiple of
    /// `shuffle`.
    pub fn pack_shuffled(
        shape: &ConvShape,
        weights: &[i8],
        zero_point: u8,
        shuffle: usize,
    ) -> ConvWeights {
        shape.check();
        let shuffle = shuffle.max(1);
        assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
        assert!(shape.cin.is_multiple_of(shuffle), "a shuffle of {shuffle} and {shape:?}");
        let (k, n, taps) = (shape.cin_per_group(), shape.cout_per_group(), shape.kh * shape.kw);
        let pack = |group: usize| {
            let channels = ChannelRuns::new(shape, group, shuffle);
            let order: Vec<usize> = channels.shuffled().collect();
            let lens: Vec<usize> = channels.each().map(|(_, len)| len).collect();
            let runs = (0..taps).flat_map(|_| lens.iter().copied());
            PackedWeights::of_runs(runs, n, |row| {
                let row = row / k * k + order[row % k];
                &weights[row * shape.cout + group * n..][..n]
            })
        };
        let groups: Vec<PackedWeights> = (0..shape.groups).map(pack).collect();
        let sums = groups.iter().flat_map(|w| w.sums().iter().copied()).collect();
        let rows = shape.kw * k;
        let pad = |i: usize| {
            let (ky, channel) = (i / shape.cout, i % shape.cout);
            let weight = |row: usize| i32::from(weights[row * shape.cout + channel]);
            let sum = (ky * rows..(ky + 1) * rows).map(weight).fold(0i32, i32::wrapping_add);
            sum.wrapping_mul(zero_point.into())
        };
        let pads = (0..shape.kh * shape.cout).map(pad).collect();
        ConvWeights { groups, shuffle, zero_point, sums, pads }
    }

    /// Whether these are the weights of a convolution of this shape, which must be valid, with all
    /// of their data: those from a file may lack some.
    pub fn fit(&self, shape: &ConvShape) -> bool {
        let whole = |(group, matrix): (usize, &PackedWeights)| {
            let groups = groups_of(self.channels(shape, group).each().map(|(_, len)| len));
            matrix.are(shape.k(), shape.kh * shape.kw * groups, shape.cout_per_group())
        };
        self.groups.len() == shape.groups
            && self.shuffle > 0
            && self.shuffle.saturating_mul(shape.groups) <= MAX_RUNS
            && shape.cin.is_multiple_of(self.shuffle)
            && self.groups.iter().enumerate().all(whole)
            && self.sums.len() == shape.cout
            && self.pads.len() == shape.kh * shape.cout
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let matrices: usize = self.groups.iter().map(PackedWeights::bytes).sum();
        matrices + 4 * (self.sums.len() + self.pads.len())
    }

    /// The sum of the weights of each output channel, for [`Requant::new`](super::Requant::new).
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// The matrix, where one multiplies all channels of a single tap in their order.
    pub fn plain(&self) -> Option<&PackedWeights> {
        match &self.groups[..] {
            [matrix] if self.shuffle == 1 && matrix.fit(matrix.k(), matrix.n()) => Some(matrix),
            _ => None,
        }
    }

    /// The channels that a group reads.
    pub(super) fn channels(&self, shape: &ConvShape, group: usize) -> ChannelRuns {
        ChannelRuns::new(shape, group, self.shuffle)
    }

    pub(super) fn group(&self, group: usize) -> &PackedWeights {
        &self.groups[group]
    }

    /// The byte of the padding.
    pub(super) fn zero_point(&self) -> u8 {
        self.zero_point
    }

    /// What each kernel row adds where it lies in the padding.
    pub(super) fn pads(&self) -> &[i32] {
        &self.pads
    }
}

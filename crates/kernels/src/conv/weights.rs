//! Convolution weights, packed for the products that use them.

use serde::{Deserialize, Serialize};

use super::ConvShape;
use super::rows::planar;
use super::runs::ChannelRuns;
use crate::gemm::PackedB;

/// One packed matrix per group; buffers are kept when weights are packed again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConvWeights {
    groups: Vec<PackedB>,
    /// Groups of the shuffle that the input has yet to go through, if above 1.
    shuffle: usize,
}

impl ConvWeights {
    /// Packs `weights[kh, kw, cin / groups, cout]` for [`conv`](super::conv).
    pub fn pack(shape: &ConvShape, weights: &[f32]) -> ConvWeights {
        let mut packed = ConvWeights::default();
        packed.repack(shape, weights);
        packed
    }

    /// As [`ConvWeights::pack`], without allocation after the first time.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says.
    pub fn repack(&mut self, shape: &ConvShape, weights: &[f32]) {
        let n = shape.cout_per_group();
        self.shuffle = 1;
        self.each_group(shape, weights, |packed, group| {
            packed.repack_rows(shape.k(), n, weights, 1, |i| i * shape.cout + group * n);
        });
    }

    /// Packs the weights of a convolution behind a channel shuffle (a transposition of `[shuffle,
    /// cin / shuffle]` channels) for an input that has not been shuffled: each group reads its
    /// channels where they are, so the shuffle costs nothing.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says, or the channels are not a multiple of
    /// `shuffle`.
    pub fn pack_shuffled(shape: &ConvShape, weights: &[f32], shuffle: usize) -> ConvWeights {
        assert!(shape.cin.is_multiple_of(shuffle.max(1)), "a shuffle of {shuffle} and {shape:?}");
        let mut packed = ConvWeights { shuffle, ..ConvWeights::default() };
        let (k, n) = (shape.cin_per_group(), shape.cout_per_group());
        packed.each_group(shape, weights, |packed, group| {
            let order: Vec<usize> = ChannelRuns::new(shape, group, shuffle).shuffled().collect();
            packed.repack_rows(shape.k(), n, weights, 1, |i| {
                (i / k * k + order[i % k]) * shape.cout + group * n
            });
        });
        packed
    }

    /// Packs the weights of a first convolution for [`planar_conv_row`](super::planar_conv_row).
    ///
    /// # Panics
    /// If `weights` has another size than the shape says, or the shape has groups.
    pub fn pack_planar(shape: &ConvShape, weights: &[f32]) -> ConvWeights {
        let planes = planar(shape);
        let mut packed = ConvWeights::default();
        let taps = shape.kh * shape.kw;
        packed.each_group(&planes, weights, |packed, _| {
            // Rows are [c, ky, kx] instead of [ky, kx, c].
            packed.repack_rows(planes.k(), shape.cout, weights, 1, |i| {
                (i % taps * shape.cin + i / taps) * shape.cout
            });
        });
        packed
    }

    /// Packs the same weights for [`conv_backward_input`](super::conv_backward_input): rows and
    /// columns exchanged, and for stride 1 the kernel turned round.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says.
    pub fn repack_for_input_gradient(&mut self, shape: &ConvShape, weights: &[f32]) {
        let (cin, cout) = (shape.cin_per_group(), shape.cout_per_group());
        let turned = shape.input_gradient_shape().is_some();
        self.each_group(shape, weights, |packed, group| {
            if turned {
                let taps = shape.kh * shape.kw;
                packed.repack_rows(taps * cout, cin, weights, shape.cout, |i| {
                    let (tap, channel) = (taps - 1 - i / cout, i % cout);
                    tap * cin * shape.cout + group * cout + channel
                });
            } else {
                let first = group * cout;
                packed.repack_rows(cout, shape.k(), weights, shape.cout, |i| first + i);
            }
        });
    }

    /// Whether these are the weights of a [`conv`](super::conv) or of
    /// [`conv_row`](super::conv_row)s of this shape, which must be valid.
    pub fn fit(&self, shape: &ConvShape) -> bool {
        shape.cin.is_multiple_of(self.shuffle())
            && self.are(shape.groups, shape.k(), shape.cout_per_group())
    }

    /// Whether these are the weights of [`planar_conv_row`](super::planar_conv_row)s of this shape,
    /// which must be valid.
    pub fn fit_planar(&self, shape: &ConvShape) -> bool {
        shape.groups == 1 && self.fit(&planar(shape))
    }

    /// Whether these are the weights of a [`conv_backward_input`](super::conv_backward_input) of
    /// this shape, which must be valid.
    pub fn fit_input_gradient(&self, shape: &ConvShape) -> bool {
        match shape.input_gradient_shape() {
            Some(turned) => self.fit(&turned),
            None => self.are(shape.groups, shape.cout_per_group(), shape.k()),
        }
    }

    /// Bytes of the packed data.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(PackedB::bytes).sum()
    }

    /// The matrix, where one multiplies all channels in their order.
    pub(crate) fn plain(&self) -> Option<&PackedB> {
        match &self.groups[..] {
            [matrix] if self.shuffle() == 1 => Some(matrix),
            _ => None,
        }
    }

    pub(super) fn shuffle(&self) -> usize {
        self.shuffle.max(1)
    }

    pub(super) fn group(&self, group: usize) -> &PackedB {
        &self.groups[group]
    }

    /// Asserts that these are `groups` matrices of `k` by `n`.
    pub(super) fn check(&self, groups: usize, k: usize, n: usize) {
        assert!(
            self.are(groups, k, n),
            "weights were packed for another use than {groups} products of {k} x {n}"
        );
    }

    fn are(&self, groups: usize, k: usize, n: usize) -> bool {
        self.groups.len() == groups && self.groups.iter().all(|b| b.fit(k, n))
    }

    fn each_group(
        &mut self,
        shape: &ConvShape,
        weights: &[f32],
        pack: impl Fn(&mut PackedB, usize),
    ) {
        shape.check();
        assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
        self.groups.resize_with(shape.groups, PackedB::new);
        for (group, packed) in self.groups.iter_mut().enumerate() {
            pack(packed, group);
        }
    }
}

//! Depthwise weights as the kernels read them.

use serde::{Deserialize, Serialize};

use crate::simd::LANES;
use crate::{Blob, ConvShape};

/// Depthwise weights in blocks of 16 channels, `[c / 16][kh * kw][16]`, filled up with zeros: the
/// taps of a block are neighbours, at most once loaded per row of the output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseWeights {
    taps: usize,
    channels: usize,
    data: Blob<f32>,
}

impl DepthwiseWeights {
    /// Packs `weights[kh, kw, c]` for [`depthwise`](super::depthwise).
    pub fn pack(shape: &ConvShape, weights: &[f32]) -> DepthwiseWeights {
        let mut packed = DepthwiseWeights::default();
        packed.repack(shape, weights);
        packed
    }

    /// As [`DepthwiseWeights::pack`], without allocation after the first time.
    ///
    /// # Panics
    /// If the shape is not depthwise or `weights` has another size than it says.
    pub fn repack(&mut self, shape: &ConvShape, weights: &[f32]) {
        self.fill(shape, weights, |tap| tap);
    }

    /// Packs the same weights from the last tap to the first, for
    /// [`depthwise_backward_input`](super::depthwise_backward_input).
    ///
    /// # Panics
    /// As [`DepthwiseWeights::repack`].
    pub fn repack_for_input_gradient(&mut self, shape: &ConvShape, weights: &[f32]) {
        self.fill(shape, weights, |tap| shape.kh * shape.kw - 1 - tap);
    }

    fn fill(&mut self, shape: &ConvShape, weights: &[f32], place: impl Fn(usize) -> usize) {
        assert!(shape.is_depthwise(), "not depthwise: {shape:?}");
        assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
        (self.taps, self.channels) = (shape.kh * shape.kw, shape.cin);
        let data = self.data.reset(self.taps * self.channels.next_multiple_of(LANES));
        for (tap, row) in weights.chunks_exact(self.channels.max(1)).enumerate() {
            for (block, channels) in row.chunks(LANES).enumerate() {
                let start = (block * self.taps + place(tap)) * LANES;
                data[start..start + channels.len()].copy_from_slice(channels);
            }
        }
    }

    /// Products per output: `kh * kw`.
    pub fn taps(&self) -> usize {
        self.taps
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bytes of the packed data.
    pub fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// Whether these are weights of such a convolution.
    pub fn fit(&self, shape: &ConvShape) -> bool {
        let len = self.taps.checked_mul(self.channels.next_multiple_of(LANES));
        (self.taps, self.channels) == (shape.kh * shape.kw, shape.cin)
            && len == Some(self.data.len())
    }

    /// Asserts that these are weights of `shape`, whatever file they come from.
    pub(super) fn check(&self, shape: &ConvShape) {
        assert!(self.fit(shape), "weights of another shape than {shape:?}");
    }

    /// The weights of the 16 channels from `channel`, a multiple of 16, on: `[taps][16]`.
    #[inline(always)]
    pub(super) fn block(&self, channel: usize) -> &[f32] {
        let start = channel / LANES * self.taps * LANES;
        &self.data[start..start + self.taps * LANES]
    }
}

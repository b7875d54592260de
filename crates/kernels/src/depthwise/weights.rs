//! Depthwise weights as the kernels read them.

use crate::simd::LANES;
use crate::{Blob, ConvShape};
use serde::{Deserialize, Serialize};

/// Depthwise weights in blocks of 16 channels, `[c / 16][kh * kw][16]`, filled up with zeros: the
/// taps of a block are neighbours, read once per row of the output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseWeights {
    taps: usize,
    channels: usize,
    data: Blob<f32>,
}

impl DepthwiseWeights {
    /// Packs `weights[kh, kw, c]`.
    ///
    /// # Panics
    /// If the shape is not depthwise or `weights` has another size than it says.
    pub fn pack(shape: &ConvShape, weights: &[f32]) -> DepthwiseWeights {
        assert!(shape.is_depthwise(), "not depthwise: {shape:?}");
        assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
        let (taps, channels) = (shape.kh * shape.kw, shape.cin);
        let mut data = vec![0.0; taps * channels.next_multiple_of(LANES)];
        for (block, packed) in data.chunks_exact_mut((taps * LANES).max(1)).enumerate() {
            let first = block * LANES;
            let len = LANES.min(channels - first);
            for (tap, row) in packed.chunks_exact_mut(LANES).enumerate() {
                row[..len].copy_from_slice(&weights[tap * channels + first..][..len]);
            }
        }
        DepthwiseWeights { taps, channels, data: data.into() }
    }

    /// Whether these are weights of such a convolution.
    pub fn fit(&self, shape: &ConvShape) -> bool {
        let len = self.taps.checked_mul(self.channels.next_multiple_of(LANES));
        (self.taps, self.channels) == (shape.kh * shape.kw, shape.cin)
            && len == Some(self.data.len())
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

    pub(super) fn view(&self) -> View<'_> {
        View {
            data: &self.data,
            channels: self.channels,
            block: self.taps * LANES,
            first: 0,
            step: LANES as isize,
        }
    }
}

/// Where each weight lies.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    /// Channels of a tap that exist.
    channels: usize,
    /// Floats from one block of 16 channels to the next.
    block: usize,
    /// Where tap 0 of block 0 begins.
    first: usize,
    /// Floats from one tap to the next.
    step: isize,
}

impl<'a> View<'a> {
    /// `weights[taps, channels]`, unpacked.
    pub fn plain(weights: &'a [f32], channels: usize) -> View<'a> {
        View { data: weights, channels, block: LANES, first: 0, step: channels as isize }
    }

    /// `weights[taps, channels]` from the last tap to the first.
    pub fn reversed(weights: &'a [f32], channels: usize) -> View<'a> {
        let first = weights.len().saturating_sub(channels);
        View { first, step: -(channels as isize), ..View::plain(weights, channels) }
    }

    /// The weights of `tap` for the channels from `channel`, a multiple of 16, on: valid for as
    /// many reads as there are channels left, 16 at most.
    #[inline(always)]
    pub fn at(&self, tap: usize, channel: usize) -> *const f32 {
        debug_assert!(channel < self.channels && channel.is_multiple_of(LANES));
        let start = self.first + channel / LANES * self.block;
        let start = (start as isize + tap as isize * self.step) as usize;
        let len = (self.channels - channel).min(LANES);
        self.data[start..start + len].as_ptr()
    }
}

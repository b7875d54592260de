//! 8-bit depthwise convolution: each channel with its own window.
//!
//! Vectors run over channels. A tap outside of the image reads a row of zero points instead, so
//! every output pixel is the same sum over all taps and the folded bias is right for all of them.

use super::Requant;
use super::requant::Range;
use crate::Ctx;
use crate::conv::ConvShape;
use crate::simd::simd_fn;

/// Weights of a depthwise convolution.
#[derive(Clone, Debug)]
pub struct DepthwiseWeights {
    taps: usize,
    channels: usize,
    /// `[taps, channels]`, widened: the kernel multiplies 16-bit numbers.
    data: Vec<i16>,
    sums: Vec<i32>,
}

impl DepthwiseWeights {
    /// Takes weights `[taps, channels]`.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn new(taps: usize, channels: usize, weights: &[i8]) -> DepthwiseWeights {
        assert_eq!(weights.len(), taps * channels, "the weights have another size");
        let sum = |c| (0..taps).map(|t| i32::from(weights[t * channels + c])).sum();
        DepthwiseWeights {
            taps,
            channels,
            data: weights.iter().map(|&w| w.into()).collect(),
            sums: (0..channels).map(sum).collect(),
        }
    }

    /// The sum of each channel's weights, for [`Requant::new`].
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        2 * self.data.len() + 4 * self.sums.len()
    }
}

/// Taps of a window that a pixel's addresses are kept for on the stack; larger windows run over
/// them in parts.
const MAX_TAPS: usize = 32;
/// Channels that are summed in registers.
const LANES: usize = 16;

/// Depthwise convolution of the image batch `x` `[n, h, w, c]`, whose zero point is `zero_point`,
/// into `y` `[n, oh, ow, c]`. `shape.groups`, `cin` and `cout` are all `c`.
///
/// # Panics
/// If a slice does not have the size that `shape` says.
pub fn depthwise(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[u8],
    zero_point: u8,
    weights: &DepthwiseWeights,
    requant: &Requant,
    y: &mut [u8],
) {
    let s = shape;
    let c = weights.channels;
    assert!(s.groups == c && s.cin == c && s.cout == c, "{} groups of {c} channels", s.groups);
    assert_eq!(weights.taps, s.kh * s.kw, "the weights have another size");
    assert_eq!(x.len(), s.n * s.h * s.w * c, "the image has another size");
    assert_eq!(y.len(), s.n * s.oh * s.ow * c, "the output has another size");
    assert_eq!(requant.channels(), c, "one multiplier a channel");
    let line = s.ow * c;
    ctx.pool.for_each_chunk_mut(y, line.max(1), |task, y| {
        let (image, oy) = (task / s.oh, task % s.oh);
        let image = &x[image * s.h * s.w * c..][..s.h * s.w * c];
        row(ctx.isa, s, image, zero_point, oy, weights, requant, y);
    });
}

//! 8-bit depthwise convolution: each channel with its own window.
//!
//! Vectors run over channels. A tap outside of the image reads a row of zero points instead, so
//! every output pixel is the same sum over all taps and the folded bias is right for all of them.

use super::Requant;
use crate::Ctx;
use crate::conv::ConvShape;
use crate::simd::simd_fn;

/// Weights of a depthwise convolution, and the row of zero points that stands for padding.
#[derive(Clone, Debug)]
pub struct DepthwiseWeights {
    taps: usize,
    channels: usize,
    /// `[taps, channels]`, widened: the kernel multiplies 16-bit numbers.
    data: Vec<i16>,
    sums: Vec<i32>,
    zeros: Vec<u8>,
}

impl DepthwiseWeights {
    /// Takes weights `[taps, channels]` for images of this zero point.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn new(taps: usize, channels: usize, weights: &[i8], zero_point: u8) -> DepthwiseWeights {
        assert_eq!(weights.len(), taps * channels, "the weights have another size");
        let sum = |c| (0..taps).map(|t| i32::from(weights[t * channels + c])).sum();
        DepthwiseWeights {
            taps,
            channels,
            data: weights.iter().map(|&w| w.into()).collect(),
            sums: (0..channels).map(sum).collect(),
            zeros: vec![zero_point; channels],
        }
    }

    /// The sum of each channel's weights, for [`Requant::new`].
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        2 * self.data.len() + 4 * self.sums.len() + self.zeros.len()
    }
}

/// Depthwise convolution of the image batch `x` `[n, h, w, c]` into `y` `[n, oh, ow, c]`, where
/// `shape.groups`, `cin` and `cout` are all `c`.
///
/// # Panics
/// If a slice does not have the size that `shape` says.
pub fn depthwise(
    ctx: Ctx,
    shape: &ConvShape,
    x: &[u8],
    weights: &DepthwiseWeights,
    requant: &Requant,
    y: &mut [u8],
) {
    let (s, c) = (shape, weights.channels);
    s.check();
    assert!(s.groups == c && s.cin == c && s.cout == c, "{} groups of {c} channels", s.groups);
    assert_eq!(weights.taps, s.kh * s.kw, "the weights have another size");
    assert_eq!(x.len(), s.in_len(), "the image has another size");
    assert_eq!(y.len(), s.out_len(), "the output has another size");
    assert_eq!(requant.channels(), c, "one multiplier a channel");
    let line = (s.ow * c).max(1);
    ctx.pool.for_each_chunk_mut(y, line, |task, y| {
        let (image, oy) = (task / s.oh, task % s.oh);
        let image = &x[image * s.h * s.w * c..][..s.h * s.w * c];
        output_row(ctx.isa, s, image, oy, weights, requant, y);
    });
}

/// Taps whose addresses are found once a pixel; those of a larger window once a vector.
const MAX_TAPS: usize = 32;

simd_fn! {
    /// Row `oy` of the output.
    fn output_row(
        _s: Simd,
        s: &ConvShape,
        image: &[u8],
        oy: usize,
        weights: &DepthwiseWeights,
        requant: &Requant,
        y: &mut [u8],
    ) {
        let mut taps = [&weights.zeros[..]; MAX_TAPS];
        for (ox, y) in y.chunks_exact_mut(weights.channels).enumerate() {
            if weights.taps == 9 {
                (0..9).for_each(|t| taps[t] = tap(s, image, weights, oy, ox, t));
                pixel(9, |t| taps[t], weights, requant, y);
            } else if weights.taps <= MAX_TAPS {
                (0..weights.taps).for_each(|t| taps[t] = tap(s, image, weights, oy, ox, t));
                pixel(weights.taps, |t| taps[t], weights, requant, y);
            } else {
                pixel(weights.taps, |t| tap(s, image, weights, oy, ox, t), weights, requant, y);
            }
        }
    }
}

/// The input pixel under tap `t` of output pixel `(oy, ox)`.
#[inline(always)]
fn tap<'a>(
    s: &ConvShape,
    image: &'a [u8],
    weights: &'a DepthwiseWeights,
    oy: usize,
    ox: usize,
    t: usize,
) -> &'a [u8] {
    // Out of the image wraps far beyond its size.
    let iy = (oy * s.sh + t / s.kw * s.dh).wrapping_sub(s.pt);
    let ix = (ox * s.sw + t % s.kw * s.dw).wrapping_sub(s.pl);
    if iy < s.h && ix < s.w {
        &image[(iy * s.w + ix) * weights.channels..][..weights.channels]
    } else {
        &weights.zeros
    }
}

/// Channels that are summed in registers.
const LANES: usize = 16;

/// One output pixel: `tap(t)` has its input pixels.
#[inline(always)]
fn pixel<'a>(
    taps: usize,
    tap: impl Fn(usize) -> &'a [u8],
    weights: &DepthwiseWeights,
    requant: &Requant,
    y: &mut [u8],
) {
    let c = weights.channels;
    if c < LANES {
        for (i, y) in y.iter_mut().enumerate() {
            let product = |t: usize| i32::from(tap(t)[i]) * i32::from(weights.data[t * c + i]);
            *y = requant.apply(i, (0..taps).map(product).sum());
        }
        return;
    }
    for first in (0..c).step_by(LANES) {
        // The last vector overlaps the one before it where c is not a multiple of 16.
        let first = first.min(c - LANES);
        let mut acc = [0i32; LANES];
        for t in 0..taps {
            let x: &[u8; LANES] = chunk(tap(t), first);
            let w: &[i16; LANES] = chunk(&weights.data, t * c + first);
            for i in 0..LANES {
                acc[i] += i32::from(x[i]) * i32::from(w[i]);
            }
        }
        let bias: &[i32; LANES] = chunk(&requant.bias, first);
        let multiplier: &[f32; LANES] = chunk(&requant.multiplier, first);
        let y: &mut [u8; LANES] = y[first..].first_chunk_mut().expect("16 channels are left");
        for i in 0..LANES {
            y[i] = requant.range.round(acc[i].wrapping_add(bias[i]) as f32 * multiplier[i]);
        }
    }
}

#[inline(always)]
fn chunk<T>(values: &[T], first: usize) -> &[T; LANES] {
    values[first..].first_chunk().expect("16 values are left")
}

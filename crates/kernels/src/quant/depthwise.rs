//! 8-bit depthwise convolution: each channel with its own window.
//!
//! Vectors run over 16 channels. Four taps at a time, 16 bytes each, are transposed so that every
//! lane holds the four bytes of its channel: 4 loads, 2 shuffles and one `vpdpbusd` instead of 4
//! times load, multiply and add. A 3x3 window is two such groups and a single tap.
//!
//! A tap outside of the image reads a row of zero points instead, so every output pixel is the
//! same sum over all taps and the folded bias is right for all of them.

use serde::{Deserialize, Serialize};

use super::Requant;
use super::dot::{self, Dot};
use super::pack::{COLUMNS, GROUP, GROUP_BYTES};
use crate::conv::ConvShape;
use crate::{Blob, Ctx, Isa};

/// Weights of a depthwise convolution, and the row of zero points that stands for padding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseWeights {
    taps: usize,
    channels: usize,
    /// Blocks of 16 channels; within a block groups of 4 taps; within a group channel by channel 4
    /// bytes. The last block ends with the last channel and overlaps the one before it; a tap or
    /// channel that does not exist is 0.
    data: Blob<i8>,
    sums: Blob<i32>,
    zeros: Blob<u8>,
}

impl DepthwiseWeights {
    /// Takes weights `[taps, channels]` for images of this zero point.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn new(taps: usize, channels: usize, weights: &[i8], zero_point: u8) -> DepthwiseWeights {
        assert_eq!(weights.len(), taps * channels, "the weights have another size");
        let sum = |c| (0..taps).map(|t| i32::from(weights[t * channels + c])).sum();
        let groups = taps.div_ceil(GROUP);
        let mut data = vec![0; channels.div_ceil(COLUMNS) * groups * GROUP_BYTES];
        for (index, w) in data.iter_mut().enumerate() {
            let (block, group) =
                (index / GROUP_BYTES / groups.max(1), index / GROUP_BYTES % groups.max(1));
            let tap = group * GROUP + index % GROUP;
            let channel = first_channel(block, channels) + index % GROUP_BYTES / GROUP;
            if tap < taps && channel < channels {
                *w = weights[tap * channels + channel];
            }
        }
        DepthwiseWeights {
            taps,
            channels,
            data: data.into(),
            sums: (0..channels).map(sum).collect(),
            zeros: vec![zero_point; channels].into(),
        }
    }

    /// Whether these are `taps` weights for each of `channels` channels, with all of their data:
    /// those from a file may lack some.
    pub fn fit(&self, taps: usize, channels: usize) -> bool {
        let len = taps.div_ceil(GROUP).checked_mul(channels.div_ceil(COLUMNS));
        let len = len.and_then(|groups| groups.checked_mul(GROUP_BYTES));
        let lens = [self.sums.len(), self.zeros.len()];
        (self.taps, self.channels) == (taps, channels)
            && len == Some(self.data.len())
            && lens == [channels; 2]
    }

    /// The sum of each channel's weights, for [`Requant::new`].
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.data.len() + 4 * self.sums.len() + self.zeros.len()
    }

    fn groups(&self) -> usize {
        self.taps.div_ceil(GROUP)
    }
}

/// The first channel of a block.
fn first_channel(block: usize, channels: usize) -> usize {
    (block * COLUMNS).min(channels.saturating_sub(COLUMNS))
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
    assert!(weights.fit(s.kh * s.kw, c), "the weights have another size");
    assert_eq!(x.len(), s.in_len(), "the image has another size");
    assert_eq!(y.len(), s.out_len(), "the output has another size");
    assert!(requant.fit(c), "one multiplier a channel");
    let line = (s.ow * c).max(1);
    ctx.pool.for_each_chunk_mut(y, line, |task, y| {
        let (image, oy) = (task / s.oh, task % s.oh);
        let image = &x[image * s.h * s.w * c..][..s.h * s.w * c];
        output_row(ctx.isa, Row { s, image, oy, weights, requant }, y);
    });
}

/// One row of the output.
#[derive(Clone, Copy)]
struct Row<'a> {
    s: &'a ConvShape,
    image: &'a [u8],
    oy: usize,
    weights: &'a DepthwiseWeights,
    requant: &'a Requant,
}

impl<'a> Row<'a> {
    /// The input pixel under tap `t` of output column `ox`.
    #[inline(always)]
    fn tap(&self, ox: usize, t: usize) -> &'a [u8] {
        self.tap_at(ox, t / self.s.kw, t % self.s.kw)
    }

    /// The input pixels under all taps of output column `ox`: no division a tap.
    #[inline(always)]
    fn find_taps(&self, ox: usize, found: &mut [&'a [u8]]) {
        let mut found = found.iter_mut();
        for ky in 0..self.s.kh {
            for (kx, found) in found.by_ref().take(self.s.kw).enumerate() {
                *found = self.tap_at(ox, ky, kx);
            }
        }
    }

    #[inline(always)]
    fn tap_at(&self, ox: usize, ky: usize, kx: usize) -> &'a [u8] {
        let (s, channels) = (self.s, self.weights.channels);
        // Out of the image wraps far beyond its size.
        let iy = (self.oy * s.sh + ky * s.dh).wrapping_sub(s.pt);
        let ix = (ox * s.sw + kx * s.dw).wrapping_sub(s.pl);
        if iy < s.h && ix < s.w {
            &self.image[(iy * s.w + ix) * channels..][..channels]
        } else {
            &self.weights.zeros
        }
    }
}

fn output_row(isa: Isa, row: Row, y: &mut [u8]) {
    match isa.level() {
        // SAFETY: an Isa of this level proves that the CPU has these instructions.
        #[cfg(target_arch = "x86_64")]
        crate::Level::Avx512Vnni => unsafe { row_vnni(row, y) },
        // SAFETY: an Isa of these levels proves that the CPU has AVX2.
        #[cfg(target_arch = "x86_64")]
        crate::Level::Avx2 | crate::Level::Avx512 => unsafe { row_avx2(row, y) },
        _ => row_body(dot::Scalar, row, y),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn row_vnni(row: Row, y: &mut [u8]) {
    // SAFETY: this function runs only where these instructions exist.
    row_body(unsafe { dot::Vnni::new() }, row, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn row_avx2(row: Row, y: &mut [u8]) {
    // SAFETY: this function runs only where AVX2 exists.
    row_body(unsafe { dot::Avx2::new() }, row, y);
}

/// Taps whose addresses are found once a pixel; those of a larger window once a vector.
const MAX_TAPS: usize = 32;

#[inline(always)]
fn row_body<D: Dot>(d: D, row: Row, y: &mut [u8]) {
    let taps = row.weights.taps;
    let mut found = [&row.weights.zeros[..]; MAX_TAPS];
    for (ox, y) in y.chunks_exact_mut(row.weights.channels).enumerate() {
        if taps <= MAX_TAPS {
            row.find_taps(ox, &mut found);
            // A constant number of taps unrolls the loop over them.
            match taps {
                9 => pixel(d, row, 9, |t| found[t], y),
                _ => pixel(d, row, taps, |t| found[t], y),
            }
        } else {
            pixel(d, row, taps, |t| row.tap(ox, t), y);
        }
    }
}

/// One output pixel: `tap(t)` has its input pixels.
#[inline(always)]
fn pixel<'a, D: Dot>(d: D, row: Row, taps: usize, tap: impl Fn(usize) -> &'a [u8], y: &mut [u8]) {
    let (weights, requant) = (row.weights, row.requant);
    let (groups, c) = (weights.groups(), weights.channels);
    if c < COLUMNS {
        return narrow_pixel(weights, requant, tap, y);
    }
    for block in 0..c.div_ceil(COLUMNS) {
        let first = first_channel(block, c);
        let at = |t: usize| tap(t)[first..first + COLUMNS].as_ptr();
        let weights = |group: usize| {
            weights.data[(block * groups + group) * GROUP_BYTES..][..GROUP_BYTES].as_ptr()
        };
        let mut acc = d.zero();
        for group in 0..taps / GROUP {
            let t = group * GROUP;
            // SAFETY: the slices have 16 and 64 bytes.
            unsafe {
                let x = d.columns([at(t), at(t + 1), at(t + 2), at(t + 3)]);
                acc = d.dot_columns(acc, x, d.weights(weights(group)));
            }
        }
        if !taps.is_multiple_of(GROUP) {
            // Of the last group only `taps % 4` weights are not 0, so the others may meet any tap.
            let t = taps / GROUP * GROUP;
            let at = |i: usize| at((t + i).min(taps - 1));
            // SAFETY: as above.
            unsafe {
                let x = match taps % GROUP {
                    1 => d.column(at(0)),
                    _ => d.columns([at(0), at(1), at(2), at(3)]),
                };
                acc = d.dot_columns(acc, x, d.weights(weights(groups - 1)));
            }
        }
        let bytes = d.requantise(acc, d.params(requant, first));
        y[first..first + COLUMNS].copy_from_slice(&bytes);
    }
}

/// As [`pixel`] for fewer channels than a vector has.
#[inline(always)]
fn narrow_pixel<'a>(
    weights: &DepthwiseWeights,
    requant: &Requant,
    tap: impl Fn(usize) -> &'a [u8],
    y: &mut [u8],
) {
    for (c, y) in y.iter_mut().enumerate() {
        let weight = |t: usize| weights.data[t / GROUP * GROUP_BYTES + c * GROUP + t % GROUP];
        let product = |t: usize| i32::from(tap(t)[c]) * i32::from(weight(t));
        *y = requant.apply(c, (0..weights.taps).map(product).sum());
    }
}

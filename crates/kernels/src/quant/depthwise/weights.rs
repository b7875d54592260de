//! Depthwise weights as the kernels read them.

use serde::{Deserialize, Serialize};

use crate::{Blob, ConvShape};

/// Rows that a transposed column joins: the bytes of a lane of the dot product.
pub(super) const GROUP: usize = 4;
/// Vectors that four rows of 64 bytes become.
pub(super) const QUARTERS: usize = 4;
/// Channels of a vector's 128-bit block.
pub(super) const CHANNELS: usize = 16;

/// s8 weights of a depthwise convolution, and the zero point of its images.
///
/// Channels lie in blocks of 64; the rest, if any, is a block of 16, 32 or 64. In a block the order
/// is
///
/// ```text
/// [kernel column][group of 4 input rows][quarter 4][output row][lane]
/// ```
///
/// where lane `4 b + i` of quarter `j` has the four weights of channel `16 b + 4 j + i`: those of
/// the kernel rows that meet the input rows of the group. For the second of two output rows that
/// are computed at once the kernel lies one row lower. A weight that does not exist is 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseWeights {
    kernel: [usize; 2],
    channels: usize,
    /// Output rows that may be computed at once: 1 or 2.
    rows: usize,
    zero_point: u8,
    data: Blob<i8>,
    sums: Blob<i32>,
}

impl DepthwiseWeights {
    /// Packs `weights[kh, kw, c]` for images of this zero point.
    ///
    /// # Panics
    /// If the shape is not depthwise or `weights` has another size than it says.
    pub fn pack(shape: &ConvShape, weights: &[i8], zero_point: u8) -> DepthwiseWeights {
        assert!(shape.is_depthwise(), "not depthwise: {shape:?}");
        assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
        let channels = shape.cin;
        let mut packed = DepthwiseWeights {
            kernel: [shape.kh, shape.kw],
            channels,
            rows: rows_at_once(shape),
            zero_point,
            data: Blob::default(),
            sums: vec![0; channels].into(),
        };
        let (mut data, mut sums) = (vec![0; packed.data_len()], vec![0; channels]);
        for (tap, weights) in weights.chunks_exact(channels.max(1)).enumerate() {
            for (channel, &w) in weights.iter().enumerate() {
                sums[channel] += i32::from(w);
                for row in 0..packed.rows {
                    data[packed.place(tap / shape.kw, tap % shape.kw, channel, row)] = w;
                }
            }
        }
        (packed.data, packed.sums) = (data.into(), sums.into());
        packed
    }

    /// Whether these are the weights of such a convolution, with all of their data: those from a
    /// file may lack some.
    pub fn fit(&self, shape: &ConvShape) -> bool {
        (self.kernel, self.channels) == ([shape.kh, shape.kw], shape.cin)
            && self.rows == rows_at_once(shape)
            && self.data.len() == self.data_len()
            && self.sums.len() == self.channels
    }

    /// The sum of each channel's weights, for [`Requant::new`](crate::quant::Requant::new).
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.data.len() + 4 * self.sums.len()
    }

    /// The byte that stands for 0.0, hence for padding.
    pub(super) fn zero_point(&self) -> u8 {
        self.zero_point
    }

    /// Output rows that may be computed at once.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Groups of input rows.
    pub(super) fn groups(&self) -> usize {
        (self.kernel[0] + self.rows - 1).div_ceil(GROUP)
    }

    /// Weights of the block that begins with `channel`.
    pub(super) fn block(&self, channel: usize) -> *const i8 {
        self.data[channel * self.per_channel()..].as_ptr()
    }

    /// The weight of a tap.
    #[inline(always)]
    pub(super) fn at(&self, ky: usize, kx: usize, channel: usize) -> i8 {
        self.data[self.place(ky, kx, channel, 0)]
    }

    fn per_channel(&self) -> usize {
        self.kernel[1] * self.groups() * self.rows * GROUP
    }

    fn data_len(&self) -> usize {
        let last = Block::at(self.channels.saturating_sub(1), self.channels);
        (last.first + last.width) * self.per_channel()
    }

    /// Where the weight of a tap lies for output row `row` of those computed at once.
    #[inline(always)]
    fn place(&self, ky: usize, kx: usize, channel: usize, row: usize) -> usize {
        let block = Block::at(channel, self.channels);
        let (c, y) = (channel - block.first, ky + row);
        let quarter = c % CHANNELS / GROUP;
        let vector = (kx * self.groups() + y / GROUP) * QUARTERS + quarter;
        let lane = c / CHANNELS * GROUP + c % GROUP;
        let in_block = (vector * self.rows + row) * block.width + lane * GROUP + y % GROUP;
        block.first * self.per_channel() + in_block
    }
}

/// Two neighbouring output rows share all input rows but two if these lie side by side.
fn rows_at_once(shape: &ConvShape) -> usize {
    if shape.sh == 1 && shape.dh == 1 { 2 } else { 1 }
}

/// Channels that a vector takes: 64, or 16 or 32 of as many more pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Block {
    pub first: usize,
    /// 16, 32 or 64.
    pub width: usize,
}

impl Block {
    const MAX: usize = 64;

    /// The block of `channel` among `channels`.
    #[inline(always)]
    pub fn at(channel: usize, channels: usize) -> Block {
        let first = channel / Block::MAX * Block::MAX;
        let width = match channels - first {
            0..=16 => 16,
            17..=32 => 32,
            _ => Block::MAX,
        };
        Block { first, width }
    }
}

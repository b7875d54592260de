//! What crosses, in few bytes, of which any prefix is an answer.
//!
//! A tensor is clipped and quantised channel by channel to 2 to 8 bits, as fine as the squared error is
//! worth the bits after entropy coding. Levels are written bit plane by bit plane, the most
//! significant first, and within a plane those channels first whose bits are worth most: so a stream
//! that a deadline cuts off decodes to an approximation. Each bit is coded by asymmetric numeral
//! systems (Duda 2013, arXiv:1311.2540; rANS of the crate `constriction`) with a probability that
//! depends on the bits above it, on the neighbours to the left and above, and on a class of
//! channels; it starts where the calibration left it and follows the tensor. The probabilities of
//! all planes multiply to that of a level, so that planes cost nothing but their few words of state.
//!
//! Bits that make a chunk have a common state of the coder; a chunk is decoded whole or not at all. Of
//! small tensors there is one chunk only.
//!
//! Ranges, probabilities and the order are calibrated on sample pictures and known to both sides; a
//! stream carries only bits. Its header names the calibration by a checksum, so that halves that do
//! not belong together notice.
//!
//! | bytes | hold |
//! | --- | --- |
//! | 0, 1 | `0xEC`, version |
//! | 2..6 | the upper half of the calibration's [`Codec::id`], little-endian |
//! | then, for each chunk | its length (LEB128) and the lower half of its CRC-32 |
//! | 4 | CRC-32 of everything before |
//! | then | the chunks: 16-bit words of rANS, little-endian |
//!
//! | file | holds |
//! | --- | --- |
//! | `layout` | channels and positions of a tensor |
//! | `quantiser` | ranges and bits of channels |
//! | `model` | probabilities of bits |
//! | `calibrate` | all of it from samples |
//! | `chunks` | which bits come when, and their coding |
//! | `stream` | the header |
//! | `file` | a calibration as a file |

mod calibrate;
mod chunks;
mod file;
mod layout;
mod model;
mod quantiser;
mod stream;

use edgecut_graph::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::{CollabError, Result};
use chunks::{Chunk, Known};
pub use file::beside;
use layout::Layout;
use model::{Class, Means};
use quantiser::Channel;

/// Fewest and most bits of a channel.
pub const BITS: std::ops::RangeInclusive<u8> = 2..=8;

/// Most elements of a tensor that is coded: 64 Mi, a quarter of a gigabyte of floats.
pub const MAX_ELEMENTS: usize = 1 << 26;

/// How tensors of one shape are coded, calibrated on samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codec {
    dtype: DType,
    shape: Vec<usize>,
    channels: Vec<Channel>,
    classes: Vec<Class>,
    chunks: Vec<Chunk>,
}

/// What a stream, or the beginning of one, holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The tensor, or what is known of it.
    pub tensor: Tensor,
    /// Chunks that were there in full.
    pub chunks: usize,
    /// Chunks of the whole stream.
    pub of: usize,
}

impl Codec {
    /// Calibrates on `samples` of a tensor, as fine as 2^`bits` levels over a channel of typical range.
    /// 8-bit tensors with 8 bits are coded without loss.
    ///
    /// # Errors
    /// Where there is no sample, they differ in shape or type, the first extent is not 1, they are
    /// neither float32 nor 8-bit, or `bits` is not in [`BITS`].
    pub fn calibrate(samples: &[Tensor], bits: u8) -> Result<Codec> {
        calibrate::calibrate(samples, bits)
    }

    /// Shape of the tensors.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of their elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements of a tensor.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Codes `tensor`.
    ///
    /// # Errors
    /// Where it is of another shape or type.
    pub fn encode(&self, tensor: &Tensor) -> Result<Vec<u8>> {
        if tensor.shape() != self.shape || tensor.dtype() != self.dtype {
            return Err(CollabError::Codec(format!(
                "a tensor {} {:?}, calibrated for {} {:?}",
                tensor.dtype(),
                tensor.shape(),
                self.dtype,
                self.shape
            )));
        }
        let levels = self.levels(tensor);
        let layout = Layout::of(&self.shape);
        let mut model = model::Adaptive::new(&self.classes);
        let chunk = |chunk: &Chunk| chunk.encode(&self.channels, &layout, &levels, &mut model);
        let chunks: Vec<Vec<u8>> = self.chunks.iter().map(chunk).collect();
        Ok(stream::write(self.id(), &chunks))
    }

    /// The tensor that `bytes`, a stream or the beginning of one, stand for.
    ///
    /// # Errors
    /// Where the header is not whole, belongs to another calibration or version, or a checksum is
    /// wrong. A chunk that is cut off is none.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded> {
        let parts = stream::read(self.id(), self.chunks.len(), bytes)?;
        let layout = Layout::of(&self.shape);
        let mut model = model::Adaptive::new(&self.classes);
        let mut known = Known::new(&self.channels, layout.positions());
        for (index, (chunk, part)) in self.chunks.iter().zip(&parts).enumerate() {
            chunk
                .decode(part, &self.channels, &layout, &mut known, &mut model)
                .ok_or_else(|| CollabError::Coded(format!("chunk {index} is damaged")))?;
        }
        let tensor = self.tensor(&known, &layout)?;
        Ok(Decoded { tensor, chunks: parts.len(), of: self.chunks.len() })
    }

    /// Bytes of a stream's header: the shortest prefix that decodes to something.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn header_bytes(&self, stream: &[u8]) -> Result<usize> {
        let parts = stream::read(self.id(), self.chunks.len(), stream)?;
        Ok(stream.len() - parts.iter().map(|part| part.len()).sum::<usize>())
    }

    /// Where each chunk of a whole stream ends: the prefixes that decode to more than shorter ones.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn ends(&self, stream: &[u8]) -> Result<Vec<usize>> {
        let mut end = self.header_bytes(stream)?;
        let next = |part: &&[u8]| {
            end += part.len();
            end
        };
        Ok(stream::read(self.id(), self.chunks.len(), stream)?.iter().map(next).collect())
    }

    /// The level of every element, channel by channel.
    fn levels(&self, tensor: &Tensor) -> Vec<u8> {
        let layout = Layout::of(&self.shape);
        let values = tensor.to_f32();
        let mut levels = Vec::with_capacity(values.len());
        for (index, channel) in self.channels.iter().enumerate() {
            levels.extend(layout.channel(index).map(|at| channel.level(values[at])));
        }
        levels
    }

    /// The tensor of what is known: for each element the mean of the levels that it may have.
    fn tensor(&self, known: &Known, layout: &Layout) -> Result<Tensor> {
        let means: Vec<Means> = self.classes.iter().map(Means::of).collect();
        let mut values = vec![0f32; self.elements()];
        for (index, channel) in self.channels.iter().enumerate() {
            let means = &means[usize::from(channel.class)];
            let nodes = known.nodes(index);
            for (at, node) in layout.channel(index).zip(nodes) {
                values[at] = channel.value(means.level(node));
            }
        }
        let whole = |low: f32, high: f32| values.iter().map(move |v| v.round().clamp(low, high));
        let shape = self.shape.clone();
        Ok(match self.dtype {
            DType::U8 => {
                Tensor::new(shape, whole(0.0, 255.0).map(|v| v as u8).collect::<Vec<_>>())?
            }
            DType::I8 => {
                Tensor::new(shape, whole(-128.0, 127.0).map(|v| v as i8).collect::<Vec<_>>())?
            }
            _ => Tensor::new(shape, values)?,
        })
    }
}

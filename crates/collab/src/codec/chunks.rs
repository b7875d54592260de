//! Which bits come when, and their coding.

use constriction::stream::Decode;
use constriction::stream::stack::AnsCoder;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::model::{Adaptive, Bit, context, follow};
use super::quantiser::Channel;

/// The coder: 16-bit words and 32 bits of state cost a chunk at most 4 bytes.
type Coder = AnsCoder<u16, u32>;

/// One plane of some channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The place of its bits: 0 for the least significant.
    pub plane: u8,
    pub channels: Vec<u32>,
}

/// What is coded together, and decodes as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub parts: Vec<Part>,
}

/// The levels of a channel to some plane, and what it is on average where there is no neighbour.
struct Lane<'a> {
    levels: &'a [u8],
    columns: usize,
    mean: u8,
    plane: u8,
}

impl Lane<'_> {
    /// The neighbours to the left and above to this plane, one standing in for the other.
    fn neighbours(&self, at: usize) -> [u8; 2] {
        let left = (!at.is_multiple_of(self.columns)).then(|| self.levels[at - 1] >> self.plane);
        let above = at.checked_sub(self.columns).map(|above| self.levels[above] >> self.plane);
        let left = left.or(above).unwrap_or(self.mean);
        [left, above.unwrap_or(left)]
    }
}

/// Node of the tree of a channel with `bits` bits whose bits above `plane` are `prefix`.
pub(super) fn node(bits: u8, plane: u8, prefix: u8) -> usize {
    (1usize << (bits - 1 - plane)) | usize::from(prefix)
}

/// The middle level, to `plane`: what is expected of an element without neighbours.
fn mean(bits: u8, plane: u8) -> u8 {
    ((1u32 << (bits - 1)) >> plane) as u8
}

/// Every bit of a channel's plane, in order, with its node and context.
pub(super) fn bits<'a>(
    levels: &'a [u8],
    columns: usize,
    bits: u8,
    plane: u8,
) -> impl Iterator<Item = (usize, usize, bool)> + 'a {
    let lane = Lane { levels, columns, mean: mean(bits, plane), plane };
    levels.iter().enumerate().map(move |(at, &level)| {
        let prefix = (u32::from(level) >> (plane + 1)) as u8;
        let neighbours = lane.neighbours(at);
        (node(bits, plane, prefix), context(prefix, neighbours), level >> plane & 1 == 1)
    })
}

impl Chunk {
    /// Its planes of channels, in order.
    fn lanes(&self) -> impl Iterator<Item = (u8, usize)> + '_ {
        let channels = |part: &'_ Part| {
            let plane = part.plane;
            part.channels.clone().into_iter().map(move |index| (plane, index as usize))
        };
        self.parts.iter().flat_map(channels)
    }

    /// The words of its bits; `levels` are channel by channel.
    pub fn encode(
        &self,
        channels: &[Channel],
        layout: &Layout,
        levels: &[u8],
        model: &mut Adaptive,
    ) -> Vec<u8> {
        let positions = layout.positions();
        let mut coded: Vec<(bool, Bit)> = vec![];
        for (plane, index) in self.lanes() {
            let (channel, first) = (channels[index], index * positions);
            let levels = &levels[first..first + positions];
            let class = model.class(channel.class);
            for (node, context, bit) in bits(levels, layout.columns, channel.bits, plane) {
                let probability = &mut class[node][context];
                coded.push((bit, Bit::new(*probability)));
                follow(probability, bit);
            }
        }
        // What is decoded first is encoded last.
        let mut coder = Coder::new();
        let done = coder.encode_symbols_reverse(coded);
        debug_assert!(done.is_ok(), "both bits have a probability");
        let Ok(words) = coder.into_compressed();
        words.into_iter().flat_map(u16::to_le_bytes).collect()
    }

    /// Adds the bits to what is known; `None` where `bytes` are no such chunk.
    pub fn decode(
        &self,
        bytes: &[u8],
        channels: &[Channel],
        layout: &Layout,
        known: &mut Known,
        model: &mut Adaptive,
    ) -> Option<()> {
        let (words, []) = bytes.as_chunks() else { return None };
        let words: Vec<u16> = words.iter().map(|word| u16::from_le_bytes(*word)).collect();
        let mut coder = Coder::from_compressed(words).ok()?;
        for (plane, index) in self.lanes() {
            let channel = channels[index];
            let class = model.class(channel.class);
            let levels = known.start(index, plane);
            for at in 0..levels.len() {
                let mean = mean(channel.bits, plane);
                let lane = Lane { levels, columns: layout.columns, mean, plane };
                let prefix = (u32::from(levels[at]) >> (plane + 1)) as u8;
                let context = context(prefix, lane.neighbours(at));
                let probability = &mut class[node(channel.bits, plane, prefix)][context];
                let Ok(bit) = coder.decode_symbol(Bit::new(*probability));
                follow(probability, bit);
                levels[at] |= u8::from(bit) << plane;
            }
        }
        coder.is_empty().then_some(())
    }
}

/// What is known of the levels while a stream is decoded.
pub(super) struct Known {
    levels: Vec<u8>,
    positions: usize,
    /// Bits of each channel, and how many of them are not known yet.
    bits: Vec<[u8; 2]>,
}

impl Known {
    pub fn new(channels: &[Channel], positions: usize) -> Known {
        let bits = channels.iter().map(|channel| [channel.bits; 2]).collect();
        Known { levels: vec![0; channels.len() * positions], positions, bits }
    }

    /// The levels of a channel, whose bits at `plane` come now.
    fn start(&mut self, channel: usize, plane: u8) -> &mut [u8] {
        self.bits[channel][1] = plane;
        &mut self.levels[channel * self.positions..(channel + 1) * self.positions]
    }

    /// The node that each element of a channel has reached.
    pub fn nodes(&self, channel: usize) -> impl Iterator<Item = usize> + '_ {
        let levels = &self.levels[channel * self.positions..(channel + 1) * self.positions];
        let [bits, open] = self.bits[channel];
        levels
            .iter()
            .map(move |&level| 1usize << (bits - open) | (u32::from(level) >> open) as usize)
    }
}

//! Weights as bfloat16, laid out as the tile registers read them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::round::pair;
use crate::simd::LANES;
use crate::{Blob, ConvShape};

/// Columns of a full panel: two tiles.
pub(super) const PANEL: usize = 2 * LANES;

/// Products per output of one tile instruction.
pub(super) const STEP: usize = 32;

/// Words of a cache line, and of the products of a step for one pixel.
pub(super) const LINE: usize = STEP / 2;

/// Words of a tile: 16 rows of 16 pairs.
pub(super) const TILE: usize = LINE * LANES;

/// Words of two by two tiles of sums and a row of biases.
pub(super) const SUMS: usize = (2 * LANES + 1) * PANEL;

/// Weights of a convolution or product, rounded to bfloat16.
///
/// Per group, panels of 32 output channels (16 where the last has no more); per panel, for each tap
/// of the kernel and each 32 input channels, one tile of 16 rows per 16 output channels. Row r of a
/// tile holds the input channels 2r and 2r + 1 of 16 output channels, a pair per word, the even one
/// in the low half. What is missing in a tile is zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    groups: usize,
    taps: usize,
    /// Input channels of a group.
    cin: usize,
    /// Output channels of a group.
    cout: usize,
    data: Blob<u32>,
}

impl Weights {
    /// Rounds and packs `weights[kh, kw, cin / groups, cout]`.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says.
    pub fn pack(shape: &ConvShape, weights: &[f32]) -> Weights {
        let mut packed = Weights::default();
        packed.repack(shape, weights);
        packed
    }

    /// As [`Weights::pack`], without allocation after the first time.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says.
    pub fn repack(&mut self, shape: &ConvShape, weights: &[f32]) {
        check(shape, weights);
        let (cin, cout, taps) =
            (shape.cin_per_group(), shape.cout_per_group(), shape.kh * shape.kw);
        let start = |group: usize, tap: usize| tap * cin * shape.cout + group * cout;
        let source = Source { weights, start: &start, channel: shape.cout, column: 1 };
        self.fill([shape.groups, taps, cin, cout], &source);
    }

    /// Packs the same weights for [`conv_backward_input`](super::conv_backward_input): input and
    /// output channels exchanged, and for stride 1 the kernel turned round.
    ///
    /// # Panics
    /// If `weights` has another size than the shape says.
    pub fn repack_for_input_gradient(&mut self, shape: &ConvShape, weights: &[f32]) {
        check(shape, weights);
        let (cin, cout, taps) =
            (shape.cin_per_group(), shape.cout_per_group(), shape.kh * shape.kw);
        let turned = shape.input_gradient_shape().is_some();
        let start = |group: usize, tap: usize| {
            let tap = if turned { taps - 1 - tap } else { 0 };
            tap * cin * shape.cout + group * cout
        };
        let source = Source { weights, start: &start, channel: 1, column: shape.cout };
        let size = if turned { [taps, cout, cin] } else { [1, cout, taps * cin] };
        self.fill([shape.groups, size[0], size[1], size[2]], &source);
    }

    /// Packs what `source` holds of so many groups, taps, input and output channels of a group.
    fn fill(&mut self, [groups, taps, cin, cout]: [usize; 4], source: &Source) {
        let layout = Weights { groups, taps, cin, cout, data: Blob::new() };
        let data = self.data.reset(groups * layout.group_words());
        for group in 0..groups {
            for panel in 0..layout.panels() {
                let columns = layout.panel_columns(panel);
                let tiles = columns.len().div_ceil(LANES);
                let start = layout.panel_start(group, panel);
                let panel = &mut data[start..start + layout.steps() * tiles * TILE];
                for (i, tile) in panel.chunks_exact_mut(TILE).enumerate() {
                    let (step, first) = (i / tiles, columns.start + i % tiles * LANES);
                    let (tap, channel) = (step / layout.blocks(), step % layout.blocks() * STEP);
                    let start = (source.start)(group, tap) + first * source.column;
                    let lanes = (columns.end - first).min(LANES);
                    source.tile(tile, start + channel * source.channel, cin - channel, lanes);
                }
            }
        }
        (self.groups, self.taps, self.cin, self.cout) = (groups, taps, cin, cout);
    }

    /// Packs the product with `weights[k, n]`.
    pub fn pack_matrix(k: usize, n: usize, weights: &[f32]) -> Weights {
        let shape = ConvShape::new([1, 1, 1, k], n, [1, 1], [1, 1], [0; 4]);
        Weights::pack(&shape.expect("one pixel fits"), weights)
    }

    /// Bytes of the packed data.
    pub fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// Products per output: the rows of the matrix of a group.
    pub fn k(&self) -> usize {
        self.taps * self.cin
    }

    /// Output channels of a group.
    pub fn n(&self) -> usize {
        self.cout
    }

    /// Whether these are the weights of `shape`, and all there.
    pub fn fit(&self, shape: &ConvShape) -> bool {
        let same = self.groups == shape.groups
            && self.taps == shape.kh * shape.kw
            && self.cin == shape.cin_per_group()
            && self.cout == shape.cout_per_group();
        same && self.len().is_some_and(|len| self.data.len() == len)
    }

    /// Words of the packed data; `None` where the sizes, which may come from a file, overflow.
    fn len(&self) -> Option<usize> {
        let steps = self.taps.checked_mul(self.cin.div_ceil(STEP))?;
        let tiles = self.cout.div_ceil(LANES).checked_mul(self.groups)?;
        tiles.checked_mul(steps)?.checked_mul(TILE)
    }

    /// Runs of 32 input channels.
    pub(super) fn blocks(&self) -> usize {
        self.cin.div_ceil(STEP)
    }

    /// Tile instructions per tile of output.
    pub(super) fn steps(&self) -> usize {
        self.taps * self.blocks()
    }

    pub(super) fn panels(&self) -> usize {
        self.cout.div_ceil(PANEL)
    }

    /// The output channels of panel `panel`.
    pub(super) fn panel_columns(&self, panel: usize) -> Range<usize> {
        panel * PANEL..((panel + 1) * PANEL).min(self.cout)
    }

    /// The tiles of a panel, step by step, from tap `tap` on.
    pub(super) fn panel(&self, group: usize, panel: usize, tap: usize) -> &[u32] {
        let step = self.panel_columns(panel).len().div_ceil(LANES) * TILE;
        let panel = &self.data[self.panel_start(group, panel)..][..self.steps() * step];
        &panel[tap * self.blocks() * step..]
    }

    fn panel_start(&self, group: usize, panel: usize) -> usize {
        group * self.group_words() + panel * 2 * self.steps() * TILE
    }

    fn group_words(&self) -> usize {
        self.cout.div_ceil(LANES) * self.steps() * TILE
    }
}

fn check(shape: &ConvShape, weights: &[f32]) {
    shape.check();
    assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
}

/// Weights as they lie before packing: that of a tap, an input and an output channel is
/// `start(group, tap)`, so many times `channel` and so many times `column` floats from the beginning.
struct Source<'a> {
    weights: &'a [f32],
    start: &'a dyn Fn(usize, usize) -> usize,
    channel: usize,
    column: usize,
}

impl Source<'_> {
    /// A tile of up to 32 of `channels` input channels and `lanes` output channels, from `start` on.
    fn tile(&self, words: &mut [u32], start: usize, channels: usize, lanes: usize) {
        for (row, words) in words.chunks_exact_mut(LANES).enumerate() {
            let first = start + 2 * row * self.channel;
            let (words, rest) = words.split_at_mut(lanes);
            rest.fill(0);
            let at = |lane: usize, channel: usize| {
                self.weights[first + lane * self.column + channel * self.channel]
            };
            match channels.saturating_sub(2 * row) {
                0 => words.fill(0),
                1 => each(words, |lane| pair(at(lane, 0), 0.0)),
                _ => each(words, |lane| pair(at(lane, 0), at(lane, 1))),
            }
        }
    }
}

fn each(words: &mut [u32], word: impl Fn(usize) -> u32) {
    words.iter_mut().enumerate().for_each(|(lane, to)| *to = word(lane));
}

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
        shape.check();
        assert_eq!(weights.len(), shape.weight_len(), "weights of {shape:?}");
        let (cin, cout, taps) =
            (shape.cin_per_group(), shape.cout_per_group(), shape.kh * shape.kw);
        let mut packed = Weights { groups: shape.groups, taps, cin, cout, data: Blob::new() };
        let len = packed.groups * packed.group_words();
        let data = packed.data.reset(len);
        let layout = Weights { data: Blob::new(), ..packed };
        for group in 0..layout.groups {
            for panel in 0..layout.panels() {
                let columns = layout.panel_columns(panel);
                let tiles = columns.len().div_ceil(LANES);
                let start = layout.panel_start(group, panel);
                let panel = &mut data[start..start + layout.steps() * tiles * TILE];
                for (step, words) in panel.chunks_exact_mut(tiles * TILE).enumerate() {
                    layout.fill(words, weights, shape.cout, group, columns.clone(), step);
                }
            }
        }
        Weights { data: packed.data, ..layout }
    }

    /// Packs the product with `weights[k, n]`.
    pub fn pack_matrix(k: usize, n: usize, weights: &[f32]) -> Weights {
        let shape = ConvShape::new([1, 1, 1, k], n, [1, 1], [1, 1], [0; 4]);
        Weights::pack(&shape.expect("one pixel fits"), weights)
    }

    /// The tiles of one step of one panel.
    fn fill(
        &self,
        words: &mut [u32],
        weights: &[f32],
        stride: usize,
        group: usize,
        columns: Range<usize>,
        step: usize,
    ) {
        let (tap, first) = (step / self.blocks(), step % self.blocks() * STEP);
        for (i, word) in words.iter_mut().enumerate() {
            let (tile, row, lane) = (i / TILE, i / LANES % LINE, i % LANES);
            let (channel, column) = (first + 2 * row, columns.start + tile * LANES + lane);
            let at = |channel: usize| {
                let inside = channel < self.cin && column < columns.end;
                let index = (tap * self.cin + channel) * stride + group * self.cout + column;
                if inside { weights[index] } else { 0.0 }
            };
            *word = pair(at(channel), at(channel + 1));
        }
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

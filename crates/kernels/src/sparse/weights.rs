//! Weights of which only those that are not zero are stored.

use serde::{Deserialize, Serialize};

use crate::Blob;
use crate::simd::LANES;
use std::ops::Range;

/// Most rows of the weight matrix in a block: as many rows of the transposed input as are in the
/// first-level cache together. Kernels keep every place below this, whatever a file says.
pub(super) const BLOCK: usize = 64;

/// Outputs that may share their places.
pub(super) const SHARED: usize = 4;

/// The weights `[k, n]` of a pointwise convolution without their zeros.
///
/// Rows are in even blocks of at most 64. Per block come all outputs in groups of 1 or 4, and per
/// group the rows of the block that have a weight for one of them: how far each is from the one before,
/// a byte, and the weights of the whole group. Distances take fewer bits than places where files are
/// entropy-coded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Weights {
    k: usize,
    n: usize,
    /// Outputs of a group.
    group: usize,
    /// How many places each group of each block has. Owned, never in a mapped file, where they could
    /// change after they have been added up.
    counts: Blob<u8>,
    places: Blob<u8>,
    values: Blob<f32>,
    /// Places before each 16 outputs of each block.
    #[serde(skip)]
    starts: Vec<usize>,
}

/// [`Weights`] that nobody has looked at.
#[derive(Deserialize)]
struct Parts {
    k: usize,
    n: usize,
    group: usize,
    counts: Blob<u8>,
    places: Blob<u8>,
    values: Blob<f32>,
}

impl TryFrom<Parts> for Weights {
    type Error = String;

    fn try_from(parts: Parts) -> Result<Weights, String> {
        let Parts { k, n, group, counts, places, values } = parts;
        let counts = Blob::from(&counts[..]);
        let groups = [1, SHARED].contains(&group).then(|| n.div_ceil(group));
        let expected = groups.and_then(|groups| groups.checked_mul(blocks_of(k)));
        let sum = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        let fits = expected == Some(counts.len())
            && sum == places.len()
            && sum.checked_mul(group) == Some(values.len());
        if !fits {
            return Err(format!("sparse weights of {k} by {n} do not add up"));
        }
        let starts = starts(n, group, &counts);
        Ok(Weights { k, n, group, counts, places, values, starts })
    }
}

/// Blocks of `k` rows; one even where there are none, which adds up nothing.
fn blocks_of(k: usize) -> usize {
    k.div_ceil(BLOCK).max(1)
}

/// Places before each 16 outputs of each block.
fn starts(n: usize, group: usize, counts: &[u8]) -> Vec<usize> {
    let mut before = 0;
    let mut starts = vec![];
    for block in counts.chunks(n.div_ceil(group).max(1)) {
        for panel in block.chunks(LANES / group) {
            starts.push(before);
            before += panel.iter().map(|&count| usize::from(count)).sum::<usize>();
        }
    }
    starts
}

impl Weights {
    /// Packs the row-major `matrix[k, n]`.
    ///
    /// # Panics
    /// If the matrix has another size.
    pub fn pack(k: usize, n: usize, matrix: &[f32]) -> Weights {
        assert_eq!(matrix.len(), k * n, "a matrix of {k} by {n}");
        let group = Counts::of(k, n, matrix).group();
        let blocks = blocks_of(k);
        let (mut counts, mut places, mut values) = (vec![], vec![], vec![]);
        for block in 0..blocks {
            let rows = k * block / blocks..k * (block + 1) / blocks;
            for first in (0..n).step_by(group) {
                let outputs = first..(first + group).min(n);
                let (before, mut last) = (places.len(), rows.start);
                for row in rows.clone() {
                    let weights = &matrix[row * n..][outputs.clone()];
                    if weights.iter().any(|&w| w != 0.0) {
                        places.push((row - last) as u8);
                        last = row;
                        values.extend_from_slice(weights);
                        values.resize(places.len() * group, 0.0);
                    }
                }
                counts.push((places.len() - before) as u8);
            }
        }
        let starts = starts(n, group, &counts);
        let [counts, places] = [counts, places].map(Blob::from);
        Weights { k, n, group, counts, places, values: values.into(), starts }
    }

    /// Rows of the matrix: input channels.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns of the matrix: output channels.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Bytes of all that is stored.
    pub fn bytes(&self) -> usize {
        self.counts.bytes() + self.places.bytes() + self.values.bytes()
    }

    /// Multiply-adds per pixel.
    pub fn macs(&self) -> usize {
        self.values.len()
    }

    /// Outputs that share their places.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    pub(super) fn blocks(&self) -> usize {
        blocks_of(self.k)
    }

    /// The rows of a block.
    pub(super) fn rows(&self, block: usize) -> Range<usize> {
        let blocks = self.blocks();
        self.k * block / blocks..self.k * (block + 1) / blocks
    }

    /// Panels of 16 outputs.
    pub(super) fn panels(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// The places and weights of a panel in a block.
    pub(super) fn panel(&self, block: usize, panel: usize) -> (&[u8], &[f32]) {
        let index = block * self.panels() + panel;
        let end = self.starts.get(index + 1).copied().unwrap_or(self.places.len());
        let places = self.starts[index]..end;
        let values = places.start * self.group..places.end * self.group;
        (&self.places[places], &self.values[values])
    }

    /// How many places each group of a panel has in a block.
    pub(super) fn counts(&self, block: usize, panel: usize) -> &[u8] {
        let (groups, each) = (self.n.div_ceil(self.group), LANES / self.group);
        let block = &self.counts[block * groups..][..groups];
        &block[panel * each..groups.min((panel + 1) * each)]
    }
}

/// What decides how weights are stored and how long they take: weights that are not zero, and rows
/// that 4 neighbouring outputs have a weight in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counts {
    pub single: usize,
    pub shared: usize,
}

impl Counts {
    /// Of a row-major `matrix[k, n]`.
    pub fn of(k: usize, n: usize, matrix: &[f32]) -> Counts {
        let mut counts = Counts { single: 0, shared: 0 };
        for row in matrix.chunks_exact(n.max(1)).take(k) {
            for group in row.chunks(SHARED) {
                let count = group.iter().filter(|&&w| w != 0.0).count();
                counts.single += count;
                counts.shared += usize::from(count > 0);
            }
        }
        counts
    }

    /// Outputs of a group: whichever takes fewer operations on vectors.
    pub fn group(&self) -> usize {
        if self.operations(SHARED) < self.operations(1) { SHARED } else { 1 }
    }

    /// Loads and multiply-adds of vectors for each vector of pixels.
    pub fn operations(&self, group: usize) -> f32 {
        // Vectors of pixels that share the loads of weights.
        let (places, vectors) = if group == 1 { (self.single, 8.0) } else { (self.shared, 6.0) };
        let group = group as f32;
        places as f32 * (1.0 + group + group / vectors)
    }
}

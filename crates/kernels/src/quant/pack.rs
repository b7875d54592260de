//! s8 weight matrices in the order that the dot-product instructions read.
//!
//! Panels of 16 columns; within a panel groups of 4 rows; within a group column by column 4
//! bytes: 64 bytes, one register of `vpdpbusd`, whose lane `n` multiplies 4 consecutive
//! activations by 4 weights of column `n`. Rows and columns that the matrix lacks are 0.
//!
//! Where all weights are in -8..=7, two share a byte: byte `i` of a group of 32 has weight `i` in its
//! low and weight `32 + i` in its high half, so that columns 0 to 7 are the low halves. One shift and
//! one mask then give 64 bytes of 16 times the weights.

use serde::{Deserialize, Serialize};

use crate::Blob;

/// Columns of a panel: the i32 lanes of a 512-bit register.
pub(super) const COLUMNS: usize = 16;
/// Rows of a group: the bytes of an i32 lane.
pub(super) const GROUP: usize = 4;
/// Most groups of a tile register.
const PART: usize = 16;
/// Bytes of a group.
pub(super) const GROUP_BYTES: usize = COLUMNS * GROUP;
/// Bytes of a group whose weights share bytes.
pub(super) const HALVED_BYTES: usize = GROUP_BYTES / 2;

/// A packed matrix `[k, n]` of s8 weights, with the sum of each column.
///
/// What the rows meet may be several runs of neighbouring bytes. Each run begins with a group of
/// its own, so that activations are always read four at a time; those that a last group reads past
/// the end of its run meet zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackedWeights {
    k: usize,
    n: usize,
    /// Groups of a panel.
    groups: usize,
    /// Whether two weights share a byte.
    halved: bool,
    data: Blob<i8>,
    sums: Blob<i32>,
}

impl PackedWeights {
    /// Packs the `k` rows of `n` weights that begin at `weights[0]` and are `stride` apart.
    ///
    /// # Panics
    /// If `weights` is shorter than the matrix or `stride < n`.
    pub fn new(k: usize, n: usize, weights: &[i8], stride: usize) -> PackedWeights {
        assert!(stride >= n, "rows of {n} weights overlap at stride {stride}");
        assert!(k == 0 || weights.len() >= (k - 1) * stride + n, "weights end before row {k}");
        PackedWeights::of_runs([k], n, |row| &weights[row * stride..][..n])
    }

    /// Packs the rows `row(0)`, `row(1)`, ... of `n` weights, which meet runs of these lengths.
    pub(super) fn of_runs<'a>(
        runs: impl IntoIterator<Item = usize> + Clone,
        n: usize,
        row: impl Fn(usize) -> &'a [i8],
    ) -> PackedWeights {
        let groups = groups_of(runs.clone());
        let mut data = vec![0; n.div_ceil(COLUMNS) * groups * GROUP_BYTES];
        let mut sums = vec![0i32; n];
        let (mut k, mut first) = (0, 0);
        for len in runs {
            for i in 0..len {
                for (column, &w) in row(k + i).iter().enumerate() {
                    let group = column / COLUMNS * groups + first + i / GROUP;
                    data[group * GROUP_BYTES + column % COLUMNS * GROUP + i % GROUP] = w;
                    sums[column] = sums[column].wrapping_add(w.into());
                }
            }
            (k, first) = (k + len, first + groups_of_run(len));
        }
        let halved = data.iter().all(|w| (-8..8).contains(w));
        let data = if halved { halves(&data) } else { data };
        PackedWeights { k, n, groups, halved, data: data.into(), sums: sums.into() }
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Whether this is a matrix of `k` by `n` over one run, with all of its data: one from a file
    /// may lack some.
    pub fn fit(&self, k: usize, n: usize) -> bool {
        self.are(k, groups_of_run(k), n)
    }

    /// As [`PackedWeights::fit`], for runs of so many groups together.
    pub(super) fn are(&self, k: usize, groups: usize, n: usize) -> bool {
        let len = groups.checked_mul(n.div_ceil(COLUMNS));
        let len = len.and_then(|groups| groups.checked_mul(self.group_bytes()));
        (self.k, self.groups, self.n) == (k, groups, n)
            && len == Some(self.data.len())
            && self.sums.len() == n
    }

    /// The sum of each column.
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Bytes, padding and sums included.
    pub fn bytes(&self) -> usize {
        self.data.len() + 4 * self.sums.len()
    }

    pub(super) fn panels(&self) -> usize {
        self.n.div_ceil(COLUMNS)
    }

    /// Groups of a panel.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Whether two weights share a byte.
    pub(super) fn halved(&self) -> bool {
        self.halved
    }

    /// Bytes from one panel to the next.
    pub(super) fn panel_stride(&self) -> usize {
        self.groups * self.group_bytes()
    }

    fn group_bytes(&self) -> usize {
        if self.halved { HALVED_BYTES } else { GROUP_BYTES }
    }

    pub(super) fn data(&self) -> &[i8] {
        &self.data
    }
}

/// Groups with two weights a byte.
fn halves(groups: &[i8]) -> Vec<i8> {
    let half = |group: &[i8]| {
        let (low, high) = group.split_at(HALVED_BYTES);
        low.iter().zip(high).map(|(low, high)| low & 15 | high << 4).collect::<Vec<i8>>()
    };
    groups.chunks_exact(GROUP_BYTES).flat_map(half).collect()
}

/// The 64 weights of a group of 32 bytes.
#[inline(always)]
pub(super) fn whole(group: &[i8; HALVED_BYTES]) -> [i8; GROUP_BYTES] {
    let mut weights = [0; GROUP_BYTES];
    // As 4-bit numbers less 8 with their highest bit flipped, which takes no shift of signed bytes.
    for (i, &byte) in group.iter().enumerate() {
        let byte = byte as u8 ^ 0x88;
        weights[i] = (byte & 15) as i8 - 8;
        weights[HALVED_BYTES + i] = (byte >> 4) as i8 - 8;
    }
    weights
}

/// Groups that runs of these lengths take.
pub(super) fn groups_of(runs: impl IntoIterator<Item = usize>) -> usize {
    runs.into_iter().map(groups_of_run).sum()
}

/// Groups that a run of `len` bytes takes: rounded up to equal parts of at most 16 groups, as large
/// as tile registers are, unless a few parts more do without rounding.
pub(super) fn groups_of_run(len: usize) -> usize {
    let groups = len.div_ceil(GROUP);
    let parts = groups.div_ceil(PART);
    let exact = (parts..=parts + parts / 3).find(|parts| groups.is_multiple_of((*parts).max(1)));
    if exact.is_some() { groups } else { groups.next_multiple_of(parts) }
}

/// Most bytes that the groups of runs of at most `len` bytes reach beyond them: fewer than a group for
/// each of their parts.
pub(super) fn slack(len: usize) -> usize {
    len / PART + 2 * GROUP
}

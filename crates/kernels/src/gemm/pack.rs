//! The right operand of a product, laid out as the register tile reads it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Blob;
use crate::simd::LANES;

/// Columns of a full panel.
const PANEL: usize = 2 * LANES;

/// A `[k, n]` matrix in panels of 32 columns, each `[k, 32]` and contiguous; the last panel is 16
/// wide if that is enough, and filled up with zeros.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackedB {
    k: usize,
    n: usize,
    data: Blob<f32>,
}

impl PackedB {
    /// An empty matrix, to be filled by [`PackedB::repack`].
    pub fn new() -> PackedB {
        PackedB::default()
    }

    /// Packs the row-major matrix `src[k, n]`.
    pub fn pack(k: usize, n: usize, src: &[f32]) -> PackedB {
        let mut packed = PackedB::new();
        packed.repack(k, n, src, n, 1);
        packed
    }

    /// Packs the matrix whose element `(i, j)` is `src[i * row_stride + j * col_stride]`. With
    /// `row_stride` 1 that is the transpose of a row-major matrix. Allocates only if the matrix is
    /// larger than any packed here before.
    ///
    /// # Panics
    /// If `src` is too short.
    pub fn repack(
        &mut self,
        k: usize,
        n: usize,
        src: &[f32],
        row_stride: usize,
        col_stride: usize,
    ) {
        self.repack_rows(k, n, src, col_stride, |i| i * row_stride);
    }

    /// Packs the matrix whose element `(i, j)` is `src[start(i) + j * col_stride]`.
    ///
    /// # Panics
    /// If `src` is too short.
    pub(crate) fn repack_rows(
        &mut self,
        k: usize,
        n: usize,
        src: &[f32],
        col_stride: usize,
        start: impl Fn(usize) -> usize,
    ) {
        (self.k, self.n) = (k, n);
        self.data.reset(k * n.next_multiple_of(LANES));
        if k == 0 {
            return;
        }
        for p in 0..self.panels() {
            let (columns, width) = (self.panel_columns(p), self.panel_width(p));
            let first = p * PANEL * k;
            let panel = &mut self.data.to_mut()[first..first + k * width];
            for (i, row) in panel.chunks_exact_mut(width).enumerate() {
                let row = &mut row[..columns.len()];
                let src = &src[start(i) + columns.start * col_stride..];
                if col_stride == 1 {
                    row.copy_from_slice(&src[..row.len()]);
                } else {
                    assert!((row.len() - 1) * col_stride < src.len(), "the source is too short");
                    for (x, y) in row.iter_mut().zip(src.iter().step_by(col_stride)) {
                        *x = *y;
                    }
                }
            }
        }
    }

    /// Rows of the matrix: the length of the reduction.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns of the matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Whether this is a matrix of `k` by `n`, with all of its data: one from a file may lack some.
    pub fn fit(&self, k: usize, n: usize) -> bool {
        let len = n.checked_next_multiple_of(LANES).and_then(|n| n.checked_mul(k));
        (self.k, self.n) == (k, n) && len == Some(self.data.len())
    }

    /// Bytes of the packed data.
    pub fn bytes(&self) -> usize {
        self.data.bytes()
    }

    pub(crate) fn panels(&self) -> usize {
        PackedB::panels_of(self.n)
    }

    /// Panels of a matrix of `n` columns.
    pub(crate) fn panels_of(n: usize) -> usize {
        n.div_ceil(PANEL)
    }

    /// The columns of the matrix that panel `p` holds.
    pub(crate) fn panel_columns(&self, p: usize) -> Range<usize> {
        p * PANEL..((p + 1) * PANEL).min(self.n)
    }

    /// Columns of panel `p` with its padding: 16 or 32.
    pub(crate) fn panel_width(&self, p: usize) -> usize {
        self.panel_columns(p).len().next_multiple_of(LANES)
    }

    /// The data of panel `p`, `[k, panel_width(p)]`.
    pub(crate) fn panel(&self, p: usize) -> &[f32] {
        let start = p * PANEL * self.k;
        &self.data[start..start + self.k * self.panel_width(p)]
    }
}

//! `C = A B` with u8 activations A and packed s8 weights B.
//!
//! Register tile. With 512-bit VNNI a tile of 8 rows and 48 columns needs 24 accumulators, 3
//! vectors of weights and one broadcast of 4 activations: 11 loads for 24 `vpdpbusd`, 768
//! multiply-adds. The reduction runs over the whole K in registers and the result leaves them as
//! bytes: at K = 16 a product is only 4 instructions long, so a pass over i32 sums in memory would
//! cost more than the product.
//!
//! Integer sums are exact in any order, so blocks may be cut as the threads please.

mod tile;

use super::dot;
use super::{Dequant, PackedWeights, Requant};
use crate::pool::SharedMut;
use crate::{Ctx, Isa};
use tile::block_body;

/// Where the sums go, row-major.
#[derive(Debug)]
pub enum Output<'a> {
    /// Requantised to bytes.
    U8(&'a mut [u8], &'a Requant),
    /// Dequantised to real numbers.
    F32(&'a mut [f32], &'a Dequant),
    /// As they are, without bias or zero point.
    I32(&'a mut [i32]),
}

impl<'a> Output<'a> {
    fn len(&self) -> usize {
        match self {
            Output::U8(data, _) => data.len(),
            Output::F32(data, _) => data.len(),
            Output::I32(data) => data.len(),
        }
    }

    /// Whether the parameters are those of `channels` channels.
    fn fit(&self, channels: usize) -> bool {
        match self {
            Output::U8(_, requant) => requant.fit(channels),
            Output::F32(_, dequant) => dequant.fit(channels),
            Output::I32(_) => true,
        }
    }

    pub(super) fn check(&self, rows: usize, channels: usize) {
        assert_eq!(self.len(), rows * channels, "the output has another size");
        assert!(self.fit(channels), "one multiplier an output channel");
    }

    pub(super) fn share(self) -> Sink<'a> {
        match self {
            Output::U8(data, requant) => Sink::U8(SharedMut::new(data), requant),
            Output::F32(data, dequant) => Sink::F32(SharedMut::new(data), dequant),
            Output::I32(data) => Sink::I32(SharedMut::new(data)),
        }
    }
}

/// An output that tasks write at disjoint places.
#[derive(Clone, Copy)]
pub(super) enum Sink<'a> {
    U8(SharedMut<'a, u8>, &'a Requant),
    F32(SharedMut<'a, f32>, &'a Dequant),
    I32(SharedMut<'a, i32>),
}

/// One task: some rows of A times some panels of B.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Rows `rows` of A, `lda` bytes apart, start at `a[0]`.
    pub rows: usize,
    pub a: &'a [u8],
    pub lda: usize,
    pub weights: &'a PackedWeights,
    /// First panel, and the one after the last.
    pub panels: (usize, usize),
    pub sink: Sink<'a>,
    /// Row of the output that row 0 of A goes to, output channel of column 0 of B, and channels of
    /// a row of the output.
    pub row: usize,
    pub channel: usize,
    pub ldc: usize,
}

/// Rows of A that one task takes at most: with K = 1024 they fill an eighth of a 1 MiB L2 cache
/// and stay there for all panels.
const ROWS: usize = 128;

/// `C[m, n] = A[m, k] B[k, n]`, rows of A `lda` bytes apart, those of C dense.
///
/// # Panics
/// If `a` is shorter than its matrix, or the output has another size or number of channels.
pub fn gemm(ctx: Ctx, m: usize, a: &[u8], lda: usize, weights: &PackedWeights, output: Output) {
    let (k, n, panels) = (weights.k(), weights.n(), weights.panels());
    assert!(weights.fit(k, n), "the weights are not whole");
    output.check(m, n);
    if m == 0 || n == 0 {
        return;
    }
    assert!(lda >= k && a.len() >= (m - 1) * lda + k, "A ends before row {m}");
    let sink = output.share();
    let wanted = if ctx.pool.threads() == 1 { 1 } else { ctx.pool.threads() * 4 };
    let rows = m.div_ceil(wanted).next_multiple_of(8).min(ROWS);
    let row_tasks = m.div_ceil(rows);
    let columns = panels.div_ceil(wanted.div_ceil(row_tasks)).next_multiple_of(3).min(panels);
    let column_tasks = panels.div_ceil(columns);
    ctx.pool.for_each(row_tasks * column_tasks, &|task| {
        let row = task / column_tasks * rows;
        let panel = task % column_tasks * columns;
        let task = Block {
            rows: rows.min(m - row),
            a: &a[row * lda..],
            lda,
            weights,
            panels: (panel, (panel + columns).min(panels)),
            sink,
            row,
            channel: 0,
            ldc: n,
        };
        // SAFETY: each task has its own rows and panels, hence its own elements of C.
        unsafe { block(ctx.isa, task) };
    });
}

/// Computes a block on the instructions of `isa`.
///
/// # Safety
/// No other block that writes the same elements of the output may run at the same time.
pub(super) unsafe fn block(isa: Isa, task: Block) {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an Isa of this level proves that the CPU has these instructions.
        crate::Level::Avx512Vnni => unsafe { block_vnni(task) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an Isa of these levels proves that the CPU has AVX2.
        crate::Level::Avx2 | crate::Level::Avx512 => unsafe { block_avx2(task) },
        // SAFETY: by this function's own contract.
        _ => unsafe { block_body::<_, 4, 1>(dot::Scalar, task) },
    }
}

/// # Safety
/// As [`block`]; the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn block_vnni(task: Block) {
    // SAFETY: this function runs only where these instructions exist; the rest by contract.
    unsafe { block_body::<_, 8, 3>(dot::Vnni::new(), task) }
}

/// # Safety
/// As [`block`]; the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn block_avx2(task: Block) {
    // SAFETY: this function runs only where AVX2 exists; the rest by contract.
    unsafe { block_body::<_, 4, 1>(dot::Avx2::new(), task) }
}

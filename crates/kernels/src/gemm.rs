//! Matrix products: `C = activation(A B + bias + residual)` over packed weights, and `A^T B` for
//! weight gradients.
//!
//! B is packed once in panels of 32 columns, K rows each. The left operand is read as it lies, by a
//! register tile that is as tall as the registers allow (see [`tile`]). The reduction runs over the
//! whole K in registers, in ascending order, so neither blocking nor threads can change a bit.
//!
//! Blocks of rows pass all panels. Where B fits in the second-level cache a block is one tile, so
//! that the tile's rows stay in the first-level cache and rows of C are written whole; larger weights
//! are streamed once per block of rows that fills half of the second-level cache, each panel fetched
//! while the one before it is multiplied.

mod at_b;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
mod pack;
pub(crate) mod tile;

pub(crate) use at_b::sum_partials;
pub use at_b::{gemm_at_b, gemm_at_b_scratch_len};
pub use pack::PackedB;
pub(crate) use tile::{Ahead, Left, Out, Run, heights, multiply, part};

use crate::pool::SharedMut;
use crate::{Ctx, Epilogue, Isa};
use std::ops::Range;

/// Floats of A and C in a block of rows, which is walked once per panel of B: half a second-level
/// cache.
const BLOCK: usize = 128 * 1024;

/// Floats of B that stay in the second-level cache while all rows pass.
pub(crate) const RESIDENT: usize = 64 * 1024;

/// Floats of C from which on it leaves the second-level cache before somebody reads it.
const FAR: usize = 256 * 1024;

/// Multiply-adds that are worth the 2 microseconds that handing out a task may take.
const TASK: usize = 100_000;

/// `C[m, n] = activation(A[m, k] B[k, n] + bias + C if accumulate + residual)`, with the rows of A
/// and C `lda` and `ldc` floats apart; an interleaving epilogue makes the rows of C twice as long.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub fn gemm(
    ctx: Ctx,
    m: usize,
    a: &[f32],
    lda: usize,
    b: &PackedB,
    c: &mut [f32],
    ldc: usize,
    epilogue: &Epilogue,
) {
    if m == 0 || b.n() == 0 {
        return;
    }
    check(m, a, lda, b, c, ldc, epilogue);
    let split = Split::new(ctx.pool.threads(), m, b.k(), b.n());
    let c = SharedMut::new(c);
    ctx.pool.for_each(split.tasks, &|task| {
        let out = Out { at: c.at(0), ldc, far: split.far, epilogue };
        for (rows, panels) in split.parts(task) {
            // SAFETY: the operands have been checked, and no other task has these rows and panels.
            unsafe { pass(ctx.isa, rows, split.block, panels, a, lda, b, out) };
        }
    });
}

/// [`gemm`] on the calling thread, with a result that stays in the caches.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub(crate) fn gemm_rows(
    isa: Isa,
    m: usize,
    a: &[f32],
    lda: usize,
    b: &PackedB,
    c: &mut [f32],
    ldc: usize,
    epilogue: &Epilogue,
) {
    if m == 0 || b.n() == 0 {
        return;
    }
    check(m, a, lda, b, c, ldc, epilogue);
    let block = Split::new(1, m, b.k(), b.n()).block;
    let out = Out { at: c.as_mut_ptr(), ldc, far: false, epilogue };
    // SAFETY: the operands have been checked.
    unsafe { pass(isa, 0..m, block, 0..b.panels(), a, lda, b, out) };
}

fn check(m: usize, a: &[f32], lda: usize, b: &PackedB, c: &[f32], ldc: usize, epilogue: &Epilogue) {
    let (k, width) = (b.k(), epilogue.width(b.n()));
    assert!(lda >= k && ldc >= width, "rows overlap: lda {lda} < k {k} or ldc {ldc} < n {width}");
    assert!(a.len() >= (m - 1) * lda + k, "A has {} floats for {m} rows of {lda}", a.len());
    assert!(c.len() >= (m - 1) * ldc + width, "C has {} floats for {m} rows of {ldc}", c.len());
    epilogue.check(m, b.n());
}

/// Rows `rows` in blocks of at most `block` times the panels `panels`.
///
/// # Safety
/// The matrices, of which `out` is the whole result, must have passed [`check`], and nobody else may
/// use these rows and panels of the result.
unsafe fn pass(
    isa: Isa,
    rows: Range<usize>,
    block: usize,
    panels: Range<usize>,
    a: &[f32],
    lda: usize,
    b: &PackedB,
    out: Out,
) {
    for block in heights(rows.len(), block) {
        let first = rows.start + block.start;
        let run = Run { at: a[first * lda..].as_ptr(), len: b.k(), skip: 0 };
        let runs = &[run, Run::END][usize::from(b.k() == 0)..];
        let left = Left { runs, lda, rows: block.len(), turn: (0, 1) };
        let epilogue = &out.epilogue.rows_from(first);
        let out = Out { at: out.at.wrapping_add(first * out.ldc), epilogue, ..out };
        // SAFETY: by contract.
        unsafe { multiply(isa, left, panels.clone(), b, out) };
    }
}

/// How a product is cut into tasks, one per thread: by rows, so that the next layer finds its rows
/// in the same thread's cache, but by columns where the weights outweigh what they multiply, so that
/// each thread streams its own weights only.
struct Split {
    tasks: usize,
    by_columns: bool,
    m: usize,
    panels: usize,
    /// Most rows of a block.
    block: usize,
    /// The result leaves the caches.
    far: bool,
}

impl Split {
    fn new(threads: usize, m: usize, k: usize, n: usize) -> Split {
        let panels = PackedB::panels_of(n);
        let by_columns = outweighs(m, k, n);
        let most = if by_columns { panels * m } else { m };
        let tasks = threads.min(most).min((m * k * n / TASK).max(1));
        let block = if k * n <= RESIDENT { 14 } else { (BLOCK / (k + n)).max(14) };
        Split { tasks, by_columns, m, panels, block, far: m * n > FAR }
    }

    /// Rows and panels of a task. By columns that is an even share of all rows of all panels, one
    /// panel after the other: rows of its first panel, whole panels, rows of its last one.
    fn parts(&self, task: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let (m, panels) = (self.m, self.panels);
        let parts = if self.by_columns {
            let share = tile::part(panels * m, task, self.tasks);
            let (first, from) = (share.start / m, share.start % m);
            let (last, to) = (share.end / m, share.end % m);
            if first == last {
                [(from..to, first..first + 1), (0..0, 0..0), (0..0, 0..0)]
            } else {
                let whole = first + usize::from(from > 0)..last;
                [(from..m, first..whole.start), (0..m, whole), (0..to, last..last + 1)]
            }
        } else {
            [(tile::part(m, task, self.tasks), 0..panels), (0..0, 0..0), (0..0, 0..0)]
        };
        parts.into_iter().filter(|(rows, panels)| !rows.is_empty() && !panels.is_empty())
    }
}

/// Whether a product of `[m, k]` and `[k, n]` is shared out by columns: the weights are more than
/// twice the floats that they are multiplied with and make.
pub(crate) fn outweighs(m: usize, k: usize, n: usize) -> bool {
    k * n > 2 * m * (k + n)
}

#[cfg(test)]
mod tests;

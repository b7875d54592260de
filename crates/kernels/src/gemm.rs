//! Matrix products: `C = activation(A B + bias + residual)` over packed weights, and `A^T B` for weight
//! gradients.
//!
//! Register tile. With 512-bit vectors a tile of R rows and 32 columns needs 2 R accumulators, 2
//! vectors of B and a broadcast element of A, which is a memory operand of the multiply-add. Each
//! step over K then costs 2 vector loads for 2 R multiply-adds; with R = 8 the loads hide behind
//! the arithmetic while only 8 row pointers are alive, so A needs no packing at all.
//!
//! B is packed once in panels of 32 columns, K rows each: a panel of K = 256 fills a first-level
//! cache. The reduction runs over the whole K in registers, in ascending order, so neither blocking
//! nor threads can change a bit.

mod at_b;
mod pack;
mod tile;

pub(crate) use at_b::sum_partials;
pub use at_b::{gemm_at_b, gemm_at_b_scratch_len};
pub use pack::PackedB;

use crate::pool::SharedMut;
use crate::simd::LANES;
use crate::{Ctx, Epilogue};

/// Floats of A and C in a block of rows, which is walked once per panel of B: half a second-level
/// cache.
const BLOCK: usize = 128 * 1024;

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
    let (k, n) = (b.k(), b.n());
    if m == 0 || n == 0 {
        return;
    }
    let width = epilogue.width(n);
    assert!(lda >= k && ldc >= width, "rows overlap: lda {lda} < k {k} or ldc {ldc} < n {width}");
    assert!(a.len() >= (m - 1) * lda + k, "A has {} floats for {m} rows of {lda}", a.len());
    assert!(c.len() >= (m - 1) * ldc + width, "C has {} floats for {m} rows of {ldc}", c.len());
    epilogue.check(m, n);
    let c = SharedMut::new(c);
    let grid = Grid::new(ctx.pool.threads(), m, k, n);
    ctx.pool.for_each(grid.tasks(), &|task| {
        let (rows, panels) = grid.part(task);
        tile::gemm_block(ctx.isa, rows, panels, a, lda, b, c, ldc, epilogue);
    });
}

/// How a product is cut into tasks: blocks of rows, and of panels where the rows are few.
struct Grid {
    m: usize,
    panels: usize,
    rows_per_task: usize,
    panels_per_task: usize,
}

impl Grid {
    fn new(threads: usize, m: usize, k: usize, n: usize) -> Grid {
        let panels = n.div_ceil(2 * LANES);
        // Multiples of 24 are multiples of both tile heights, 6 and 8.
        let cache = BLOCK / (k + n).max(1);
        let fair = if threads == 1 { m } else { m.div_ceil(threads * 4) };
        let rows_per_task = cache.min(fair).max(1).next_multiple_of(24);
        let row_tasks = m.div_ceil(rows_per_task);
        let wanted = if threads == 1 { 1 } else { (threads * 2).div_ceil(row_tasks) };
        // A task should be worth the 2 microseconds that handing it out may take.
        let work = m.min(rows_per_task) * k * 2 * LANES;
        let worthwhile = (100_000 / work.max(1)).max(1);
        let panels_per_task = panels.div_ceil(wanted).max(worthwhile).min(panels.max(1));
        Grid { m, panels, rows_per_task, panels_per_task }
    }

    fn panel_tasks(&self) -> usize {
        self.panels.div_ceil(self.panels_per_task)
    }

    fn tasks(&self) -> usize {
        self.m.div_ceil(self.rows_per_task) * self.panel_tasks()
    }

    fn part(&self, task: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let row = task / self.panel_tasks() * self.rows_per_task;
        let panel = task % self.panel_tasks() * self.panels_per_task;
        (
            row..(row + self.rows_per_task).min(self.m),
            panel..(panel + self.panels_per_task).min(self.panels),
        )
    }
}

#[cfg(test)]
mod tests;

//! Matrix products on all threads: pointwise convolutions of whole images, and fully connected
//! layers.

use std::ops::Range;

use super::conv::Row;
use super::weights::Weights;
use super::{Unit, scratch_len};
use crate::pool::SharedMut;
use crate::simd::LANES;
use crate::{ConvShape, Ctx, Epilogue};

/// The convolution of a row of `m` pixels that is a product of `m` rows.
fn row_shape(m: usize, k: usize, n: usize) -> ConvShape {
    let shape = ConvShape::new([1, 1, m, k], n, [1, 1], [1, 1], [0; 4]);
    shape.expect("a row of pixels fits")
}

/// Words of scratch memory that [`product`] needs on `threads` threads.
pub fn product_scratch_len(m: usize, weights: &Weights, threads: usize) -> usize {
    rows_scratch_len(m, weights.k(), weights.n(), threads)
}

/// [`product_scratch_len`] for weights `[k, n]` that are yet to be packed.
pub(super) fn rows_scratch_len(m: usize, k: usize, n: usize, threads: usize) -> usize {
    threads.max(1) * scratch_len(&row_shape(m.max(1), k, n))
}

/// `C[m, n] = epilogue(A[m, k] B[k, n])` with `B` rounded by [`Weights::pack_matrix`] or packed for
/// a pointwise convolution without groups; the rows of A and C are `lda` and `ldc` floats apart.
/// `scratch` holds at least [`product_scratch_len`] words.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub fn product(
    ctx: Ctx,
    m: usize,
    a: &[f32],
    lda: usize,
    weights: &Weights,
    c: &mut [f32],
    ldc: usize,
    epilogue: &Epilogue,
    scratch: &mut [f32],
) {
    if m == 0 || weights.n() == 0 {
        return;
    }
    let (unit, shape, threads) =
        (Unit::of(ctx.isa), row_shape(m, weights.k(), weights.n()), ctx.pool.threads());
    let (rows, len) = ([a], scratch_len(&shape));
    let row = Row::new(&shape, &rows, lda, weights, SharedMut::new(c), ldc, epilogue);
    let split = Split::new(threads, m, weights.panels());
    let scratch = SharedMut::new(&mut scratch[..threads * len]);
    ctx.pool.for_each_worker(split.tasks(), &|worker, task| {
        let (pixels, panels) = split.part(task);
        // SAFETY: no two tasks run with the same worker index at the same time, and every task
        // writes other rows or other columns.
        unsafe { row.run(unit, pixels, panels, scratch.range(worker * len, len)) };
    });
}

/// How a product is shared out: equal parts of the rows or of the panels, one for each thread.
struct Split {
    m: usize,
    panels: usize,
    rows_per_task: usize,
    panels_per_task: usize,
}

impl Split {
    /// Whichever leaves less to the busiest thread; a tile of 16 rows costs as much as 1 row.
    fn new(threads: usize, m: usize, panels: usize) -> Split {
        let rows = m.div_ceil(threads).next_multiple_of(LANES);
        let some = panels.div_ceil(threads);
        // Parts of the panels round all rows on each thread, which is about half a panel's work.
        let by_rows = rows.min(m.next_multiple_of(LANES)) * 2 * panels;
        let by_panels = m.next_multiple_of(LANES) * (2 * some + 1);
        if threads == 1 || by_rows <= by_panels {
            Split { m, panels, rows_per_task: rows, panels_per_task: panels }
        } else {
            Split { m, panels, rows_per_task: m, panels_per_task: some }
        }
    }

    fn panel_tasks(&self) -> usize {
        self.panels.div_ceil(self.panels_per_task)
    }

    fn tasks(&self) -> usize {
        self.m.div_ceil(self.rows_per_task) * self.panel_tasks()
    }

    fn part(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let row = task / self.panel_tasks() * self.rows_per_task;
        let panel = task % self.panel_tasks() * self.panels_per_task;
        (
            row..(row + self.rows_per_task).min(self.m),
            panel..(panel + self.panels_per_task).min(self.panels),
        )
    }
}

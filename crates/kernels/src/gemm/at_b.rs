//! `A^T B`: the weight gradient of a product, a reduction over rows.
//!
//! Both operands are read as they lie: for each row a tile broadcasts up to 8 neighbouring elements
//! of A and multiplies them with 32 neighbouring elements of B. The rows (pixels of a batch: many)
//! are cut into a few spans whose number depends on the shape only; each span sums into its own
//! partial result and these are added in order, so threads cannot change a bit. Inside a span the
//! rows are taken in blocks that stay in the second-level cache while all tiles pass over them.

use crate::Ctx;
use crate::pool::SharedMut;
use crate::simd::{LANES, Simd, prefetch, share, simd_fn};
use std::ops::Range;

/// Floats of A and B together in a block of rows: a fifth of a second-level cache, because the next
/// block is brought in at the same time.
const BLOCK: usize = 48 * 1024;

/// Rows below which another span is not worth its partial result.
const SPAN_ROWS: usize = 256;

/// Largest size of all partial results in floats.
const PARTIALS: usize = 1 << 20;

/// Spans of a reduction over `rows` rows: shape-derived, because they decide the rounding.
fn spans(rows: usize, k: usize, n: usize) -> usize {
    let most = (PARTIALS / (k * n).max(1)).clamp(1, 16);
    rows.div_ceil(SPAN_ROWS).clamp(1, most)
}

/// Floats of scratch memory that [`gemm_at_b`] needs.
pub fn gemm_at_b_scratch_len(rows: usize, k: usize, n: usize) -> usize {
    let spans = spans(rows, k, n);
    if spans == 1 { 0 } else { spans * k * n }
}

/// `DW[k, n] = A[rows, k]^T B[rows, n]`, added to the old content if `accumulate`. The rows of A and
/// B are `lda` and `ldb` floats apart, those of DW `ldw`; `scratch` has at least
/// [`gemm_at_b_scratch_len`] floats.
///
/// # Panics
/// If a slice is too short.
pub fn gemm_at_b(
    ctx: Ctx,
    rows: usize,
    a: &[f32],
    lda: usize,
    k: usize,
    b: &[f32],
    ldb: usize,
    n: usize,
    dw: &mut [f32],
    ldw: usize,
    scratch: &mut [f32],
    accumulate: bool,
) {
    let size = k * n;
    if size == 0 {
        return;
    }
    assert!(ldw >= n && dw.len() >= (k - 1) * ldw + n, "the gradient is {k} x {n}");
    if rows > 0 {
        assert!(lda >= k && a.len() >= (rows - 1) * lda + k, "A is too short");
        assert!(ldb >= n && b.len() >= (rows - 1) * ldb + n, "B is too short");
    }
    let spans = spans(rows, k, n);
    let scratch = &mut scratch[..gemm_at_b_scratch_len(rows, k, n)];
    let rows_per_span = rows.div_ceil(spans);
    // Tasks along the columns only share out work; they do not change any sum.
    let tiles = n.div_ceil(2 * LANES);
    let groups = (4 * ctx.pool.threads()).div_ceil(spans).min(tiles);
    let tiles_per_group = tiles.div_ceil(groups);
    let target = if spans == 1 { SharedMut::new(&mut *dw) } else { SharedMut::new(&mut *scratch) };
    ctx.pool.for_each(spans * groups, &|task| {
        let (span, group) = (task / groups, task % groups);
        let first = span * rows_per_span;
        let job = Job {
            rows: first.min(rows)..(first + rows_per_span).min(rows),
            a,
            lda,
            k,
            b,
            ldb,
            columns: group * tiles_per_group * 2 * LANES
                ..((group + 1) * tiles_per_group * 2 * LANES).min(n),
            out: target,
            out_start: span * size,
            ldo: if spans == 1 { ldw } else { n },
            accumulate: accumulate && spans == 1,
        };
        at_b_span(ctx.isa, &job);
    });
    if spans > 1 {
        let partials = &*scratch;
        let rows = (4096 / n).max(1);
        ctx.pool.for_each_chunk_mut(&mut dw[..(k - 1) * ldw + n], rows * ldw, |task, chunk| {
            for (i, row) in chunk.chunks_mut(ldw).enumerate() {
                let start = (task * rows + i) * n;
                sum_partials(ctx.isa, partials, size, start, &mut row[..n], accumulate);
            }
        });
    }
}

/// One span of rows and a range of columns.
struct Job<'a> {
    rows: Range<usize>,
    a: &'a [f32],
    lda: usize,
    k: usize,
    b: &'a [f32],
    ldb: usize,
    columns: Range<usize>,
    out: SharedMut<'a, f32>,
    out_start: usize,
    ldo: usize,
    accumulate: bool,
}

simd_fn! {
    fn at_b_span(s: Simd, job: &Job<'_>) {
        let step = (BLOCK / (job.k + job.columns.len()).max(1)).max(64);
        let mut rows = job.rows.clone();
        let mut keep = job.accumulate;
        loop {
            let block = rows.start..(rows.start + step).min(rows.end);
            at_b_block(s, job, block.clone(), keep);
            rows.start = block.end;
            keep = true;
            if rows.is_empty() {
                break;
            }
        }
    }
}

/// All tiles of a job over a block of rows.
#[inline(always)]
fn at_b_block<S: Simd>(s: S, job: &Job, rows: Range<usize>, keep: bool) {
    let width = if S::WIDE { 2 * LANES } else { LANES };
    let next = rows.end..(rows.end + rows.len()).min(job.rows.end);
    let next_a =
        &job.a[(next.start * job.lda).min(job.a.len())..(next.end * job.lda).min(job.a.len())];
    let next_b =
        &job.b[(next.start * job.ldb).min(job.b.len())..(next.end * job.ldb).min(job.b.len())];
    let tiles = job.columns.len().div_ceil(width) * job.k.div_ceil(S::TILE_ROWS);
    let mut done = 0;
    for j in job.columns.clone().step_by(width) {
        let columns = (job.columns.end - j).min(width);
        for i in (0..job.k).step_by(S::TILE_ROWS) {
            prefetch(share(next_a, done, tiles));
            prefetch(share(next_b, done, tiles));
            done += 1;
            let part = Part { rows: rows.clone(), i, j, columns, keep };
            let count = (job.k - i).min(S::TILE_ROWS);
            if S::WIDE && columns > LANES {
                strip::<S, 2>(s, job, &part, count);
            } else {
                strip::<S, 1>(s, job, &part, count);
            }
        }
    }
}

/// Where a tile lies.
struct Part {
    rows: Range<usize>,
    i: usize,
    j: usize,
    columns: usize,
    keep: bool,
}

#[inline(always)]
fn strip<S: Simd, const NV: usize>(s: S, job: &Job, part: &Part, count: usize) {
    match count {
        1 => tile::<S, 1, NV>(s, job, part),
        2 => tile::<S, 2, NV>(s, job, part),
        3 => tile::<S, 3, NV>(s, job, part),
        4 => tile::<S, 4, NV>(s, job, part),
        5 => tile::<S, 5, NV>(s, job, part),
        6 => tile::<S, 6, NV>(s, job, part),
        7 => tile::<S, 7, NV>(s, job, part),
        8 => tile::<S, 8, NV>(s, job, part),
        _ => unreachable!("tiles have at most 8 rows"),
    }
}

/// `R` rows and `NV` vectors of the gradient, over one block of rows of A and B.
#[inline(always)]
fn tile<S: Simd, const R: usize, const NV: usize>(s: S, job: &Job, part: &Part) {
    let &Part { i, j, columns, keep, .. } = part;
    let mut masks = [s.first(columns); NV];
    for v in 1..NV {
        masks[v] = s.first(columns.saturating_sub(v * LANES));
    }
    let out = |r: usize| {
        let start = job.out_start + (i + r) * job.ldo + j;
        // SAFETY: this part of the partial result belongs to this task alone.
        unsafe { job.out.range(start, columns) }.as_mut_ptr()
    };
    let mut acc = [[s.splat(0.0); NV]; R];
    if keep {
        for r in 0..R {
            for v in 0..NV {
                // SAFETY: the mask of vector v ends with the columns of the slice.
                acc[r][v] = unsafe { s.load_first(out(r).wrapping_add(v * LANES), masks[v]) };
            }
        }
    }
    let (a, b) = (job.a.as_ptr().wrapping_add(i), job.b.as_ptr().wrapping_add(j));
    for p in part.rows.clone() {
        // SAFETY: `gemm_at_b` has checked that row p of A has k and row p of B has n floats; the
        // tile's rows end within k, its masks within n.
        unsafe {
            let mut x = [s.splat(0.0); NV];
            for v in 0..NV {
                x[v] = s.load_first(b.wrapping_add(p * job.ldb + v * LANES), masks[v]);
            }
            for r in 0..R {
                let y = s.splat(*a.add(p * job.lda + r));
                for v in 0..NV {
                    acc[r][v] = s.fma(y, x[v], acc[r][v]);
                }
            }
        }
    }
    for r in 0..R {
        for v in 0..NV {
            // SAFETY: as above.
            unsafe { s.store_first(out(r).wrapping_add(v * LANES), acc[r][v], masks[v]) };
        }
    }
}

simd_fn! {
    /// `out[i] (+)= sum over spans of partials[span * size + start + i]`, spans in ascending order.
    pub(crate) fn sum_partials(
        _s: Simd,
        partials: &[f32],
        size: usize,
        start: usize,
        out: &mut [f32],
        accumulate: bool,
    ) {
        if !accumulate {
            out.fill(0.0);
        }
        for partial in partials.chunks_exact(size) {
            for (x, y) in out.iter_mut().zip(&partial[start..]) {
                *x += *y;
            }
        }
    }
}

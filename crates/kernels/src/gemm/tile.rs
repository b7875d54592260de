//! The register tile of [`gemm`](super::gemm).

use super::PackedB;
use crate::Epilogue;
use crate::pool::SharedMut;
use crate::simd::{LANES, Simd, prefetch, prefetch_at, simd_fn};
use std::ops::Range;

simd_fn! {
    /// The rows `rows` and panels `panels` of a product. The caller has checked that all matrices
    /// hold these rows and columns, and no other task touches this part of C.
    pub(super) fn gemm_block(
        s: Simd,
        rows: Range<usize>,
        panels: Range<usize>,
        a: &[f32],
        lda: usize,
        b: &PackedB,
        c: SharedMut<'_, f32>,
        ldc: usize,
        epilogue: &Epilogue<'_>,
    ) {
        let first_panel = panels.start;
        for p in panels {
            let columns = b.panel_columns(p);
            let halves = if S::WIDE { 1 } else { b.panel_width(p) / LANES };
            for half in 0..halves {
                let first = columns.start + half * LANES;
                let width = if S::WIDE { 2 * LANES } else { LANES };
                let job = Strip {
                    k: b.k(),
                    a,
                    lda,
                    b: &b.panel(p)[(half * LANES).min(b.k() * b.panel_width(p))..],
                    ldb: b.panel_width(p),
                    c,
                    ldc,
                    column: first,
                    columns: (columns.end - first).min(width),
                    writes_most: b.n() > b.k(),
                    epilogue: *epilogue,
                };
                let mut row = rows.start;
                while row < rows.end {
                    let count = (rows.end - row).min(S::TILE_ROWS);
                    if p == first_panel && half == 0 {
                        let (next, end) = (row + count, row + 2 * count);
                        prefetch(&a[(next * lda).min(a.len())..(end * lda).min(a.len())]);
                    }
                    if S::WIDE && job.ldb == 2 * LANES {
                        strip::<S, 2>(s, &job, row, count);
                    } else {
                        strip::<S, 1>(s, &job, row, count);
                    }
                    row += count;
                }
            }
        }
    }
}

/// A column of tiles: everything but the rows.
struct Strip<'a> {
    k: usize,
    a: &'a [f32],
    lda: usize,
    /// `[k, ldb]`, starting at the column of the tile.
    b: &'a [f32],
    ldb: usize,
    c: SharedMut<'a, f32>,
    ldc: usize,
    column: usize,
    columns: usize,
    /// More columns than products per element: C is fetched ahead.
    writes_most: bool,
    epilogue: Epilogue<'a>,
}

/// Runs the tile of `count` rows.
#[inline(always)]
fn strip<S: Simd, const NV: usize>(s: S, job: &Strip, row: usize, count: usize) {
    match count {
        1 => tile::<S, 1, NV>(s, job, row),
        2 => tile::<S, 2, NV>(s, job, row),
        3 => tile::<S, 3, NV>(s, job, row),
        4 => tile::<S, 4, NV>(s, job, row),
        5 => tile::<S, 5, NV>(s, job, row),
        6 => tile::<S, 6, NV>(s, job, row),
        7 => tile::<S, 7, NV>(s, job, row),
        8 => tile::<S, 8, NV>(s, job, row),
        _ => unreachable!("tiles have at most 8 rows"),
    }
}

/// `R` rows and `NV` vectors of C.
#[inline(always)]
fn tile<S: Simd, const R: usize, const NV: usize>(s: S, job: &Strip, row: usize) {
    let Strip { k, lda, ldb, ldc, columns, epilogue, .. } = *job;
    let a = job.a[row * lda..].as_ptr();
    let b = job.b.as_ptr();
    let masks: [S::Mask; NV] = std::array::from_fn(|v| s.first(columns.saturating_sub(v * LANES)));
    let mut acc = [[s.splat(0.0); NV]; R];
    for v in 0..NV {
        // SAFETY: the mask of vector v ends with the columns of the tile.
        let x = unsafe { epilogue.start(s, job.column + v * LANES, masks[v]) };
        for row in &mut acc {
            row[v] = x;
        }
    }
    if job.writes_most {
        let next = job.c.address().wrapping_add((row + R) * ldc + job.column);
        for r in 0..R {
            prefetch_at(next.wrapping_add(r * ldc), columns);
        }
    }
    for p in 0..k {
        // SAFETY: row p < k of the panel has at least NV * 16 floats from the tile's column on, and
        // `gemm` has checked that rows row..row + R of A hold k floats each.
        unsafe {
            let mut x = [s.splat(0.0); NV];
            for v in 0..NV {
                x[v] = s.load(b.add(p * ldb + v * LANES));
            }
            for r in 0..R {
                let y = s.splat(*a.add(r * lda + p));
                for v in 0..NV {
                    acc[r][v] = s.fma(y, x[v], acc[r][v]);
                }
            }
        }
    }
    for r in 0..R {
        let (first, width) = (epilogue.width(job.column), epilogue.width(columns));
        // SAFETY: this part of C belongs to this task alone.
        let out = unsafe { job.c.range((row + r) * ldc + first, width) }.as_mut_ptr();
        let out = out.wrapping_sub(first);
        for v in 0..NV {
            let column = job.column + v * LANES;
            // SAFETY: the mask of vector v ends with the columns of the slice taken above; `gemm`
            // has checked the epilogue against m rows and n columns.
            unsafe { epilogue.finish(s, acc[r][v], row + r, column, out, masks[v]) };
        }
    }
}

//! The register tile of products and convolutions.
//!
//! A tile is some rows of the result and one or two vectors of its columns; the sums stay in
//! registers over the whole of K. What a row of the left operand is does not matter to it: a list of
//! [`Run`]s of neighbouring floats, the same for all rows but for a fixed distance between rows.
//! That is one run for a row of a matrix, and one per kernel row for an output pixel of a
//! convolution, whose inputs need not be copied anywhere.

use super::PackedB;
use crate::epilogue::Usual;
use crate::simd::{LANES, Part, Simd, prefetch_at, simd_fn};
use crate::{Activation, Epilogue, Isa};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Neighbouring floats of the left operand, which meet neighbouring rows of the right one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Run {
    /// The first of them in row 0.
    pub at: *const f32,
    /// How many; 0 ends a list.
    pub len: usize,
    /// Rows of the right operand between the last run and this one.
    pub skip: usize,
}

impl Run {
    /// Ends a list.
    pub(crate) const END: Run = Run { at: std::ptr::null(), len: 0, skip: 0 };
}

/// What is fetched into the second-level cache during a tile: at every step over K the two cache
/// lines at `at`, which then moves by `step` bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    pub at: *const f32,
    pub step: usize,
}

/// Rows of the left operand of a product.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    /// Where row 0 reads. The last run is [`Run::END`], and only that is empty.
    pub runs: &'a [Run],
    /// Floats between rows.
    pub lda: usize,
    pub rows: usize,
    /// These rows are part i of n that pass a panel one after the other: they fetch that part of the
    /// next panel.
    pub turn: (usize, usize),
}

/// Rows of the result.
#[derive(Clone, Copy)]
pub(crate) struct Out<'a> {
    /// Column 0 of row 0.
    pub at: *mut f32,
    /// Floats between rows.
    pub ldc: usize,
    /// Whether the result leaves the caches, so that its lines are fetched before they are written.
    pub far: bool,
    pub epilogue: &'a Epilogue<'a>,
}

/// The tallest tile of any instruction set.
const MOST_ROWS: usize = 14;

/// Rows of the tiles that `rows` rows are cut into: even heights, at most `most`.
pub(crate) fn heights(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let tiles = rows.div_ceil(most);
    (0..tiles).map(move |i| part(rows, i, tiles))
}

/// Part `i` of `parts` even parts of `0..len`.
pub(crate) fn part(len: usize, i: usize, parts: usize) -> Range<usize> {
    len * i / parts..len * (i + 1) / parts
}

/// All rows of `left` times the panels `panels` of `b`.
///
/// # Safety
/// The runs of every row must be valid for reads, and their lengths and skips must add up to the
/// rows of `b` at most; these rows and columns of the result must be valid for writes (and reads, if
/// the epilogue accumulates) and nobody else's; the epilogue must have passed [`Epilogue::check`]
/// for them.
pub(crate) unsafe fn multiply(isa: Isa, left: Left, panels: Range<usize>, b: &PackedB, out: Out) {
    multiply_panels(isa, left, panels, b, out);
}

simd_fn! {
    /// [`multiply`], from where alone it is called.
    fn multiply_panels(s: Simd, left: Left<'_>, panels: Range<usize>, b: &PackedB, out: Out<'_>) {
        for p in panels {
            panel(s, left, p, b, (p + 1).min(b.panels() - 1), out);
        }
    }
}

/// All rows times one panel, while the panel `next` is fetched.
#[inline(always)]
fn panel<S: Simd>(s: S, left: Left, p: usize, b: &PackedB, next: usize, out: Out) {
    let columns = b.panel_columns(p);
    let width = b.panel_width(p);
    let rows = left.rows;
    // Rows 4096 bytes apart share a set of the first-level cache, which holds 8 to 12 lines.
    let most = if left.lda.is_multiple_of(1024) { S::HEIGHT.min(8) } else { S::HEIGHT };
    // Bytes of a row of the next panel, shared out over the tiles. The last panel looks at itself.
    let (turn, turns) = left.turn;
    let step = b.panel_width(next) * size_of::<f32>() / (rows.div_ceil(most) * turns);
    let start = b.panel(next).len() / turns * turn;
    let at = b.panel(next).as_ptr().wrapping_add(start);
    let mut ahead = Ahead { at, step: if next == p { 0 } else { step } };
    for half in 0..if S::WIDE { 1 } else { width / LANES } {
        let first = columns.start + half * LANES;
        let end = if S::WIDE { columns.end } else { columns.end.min(first + LANES) };
        for rows in heights(rows, most) {
            let job = Tile {
                left,
                ahead,
                b: b.panel(p).as_ptr().wrapping_add(half * LANES),
                ldb: width,
                out,
                first_row: rows.start,
                columns: first..end,
            };
            if S::WIDE && width == 2 * LANES {
                job.compute::<S, 2>(s, rows.len());
            } else {
                job.compute::<S, 1>(s, rows.len());
            }
            ahead.at = ahead.at.wrapping_byte_add(ahead.step * b.k());
        }
    }
}

/// One tile, but for its height.
struct Tile<'a> {
    left: Left<'a>,
    ahead: Ahead,
    /// `[k, ldb]`, starting at the first column of the tile.
    b: *const f32,
    ldb: usize,
    out: Out<'a>,
    first_row: usize,
    columns: Range<usize>,
}

impl Tile<'_> {
    /// Computes `count` rows and `NV` vectors.
    #[inline(always)]
    fn compute<S: Simd, const NV: usize>(&self, s: S, count: usize) {
        macro_rules! heights {
            ($($r:literal)*) => {
                match count {
                    $($r if const { $r <= S::HEIGHT } => s.apart(Rows::<$r, NV>(self)),)*
                    _ => unreachable!("a tile has at most {} rows", S::HEIGHT),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// A loop over the vectors of a tile, unrolled here because the sums must not be in memory, where the
/// compiler puts them if it does not unroll a single one.
macro_rules! each_vector {
    ($rows:ident, $vectors:ident, |$r:ident, $v:ident| $body:expr) => {
        each_vector!($rows, $vectors, |$r, $v| $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    ($rows:ident, $vectors:ident, |$r:ident, $v:ident| $body:expr; $($row:literal)*) => {
        $(if $row < $rows {
            let ($r, $v) = ($row, 0);
            // SAFETY: matrices and output have this vector, by the promise of `multiply`.
            unsafe { $body }
            if $vectors == 2 {
                let $v = 1;
                // SAFETY: as above.
                unsafe { $body }
            }
        })*
    };
}

/// `R` rows and `NV` vectors of a tile.
struct Rows<'a, const R: usize, const NV: usize>(&'a Tile<'a>);

impl<const R: usize, const NV: usize> Part for Rows<'_, R, NV> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tile = self.0;
        let epilogue = tile.out.epilogue;
        let columns = tile.columns.len();
        let mut start = [s.splat(0.0); NV];
        for v in 0..NV {
            let mask = s.first(columns.saturating_sub(v * LANES));
            // SAFETY: the mask ends with the columns, of which each has a bias.
            start[v] = unsafe { epilogue.start(s, tile.columns.start + v * LANES, mask) };
        }
        let mut acc = [start; R];
        let Out { at, ldc, far, .. } = tile.out;
        if far {
            let next = at.wrapping_add((tile.first_row + R) * ldc + tile.columns.start);
            for r in 0..R {
                prefetch_at(next.wrapping_add(r * ldc), NV * LANES);
            }
        }
        let offset = tile.first_row * tile.left.lda;
        if tile.left.runs[0].len > 0 {
            let b = (tile.b, tile.ldb);
            // SAFETY: by contract.
            unsafe {
                s.accumulate(&mut acc, tile.left.runs, offset, tile.left.lda, b, tile.ahead);
            }
        }
        // In registers where all lanes are columns, and each case on its own: tests for each vector
        // would take longer than all else that happens to it.
        let column = tile.columns.start;
        let at = at.wrapping_add(tile.first_row * ldc + epilogue.width(column));
        let limit = |(lo, hi): (f32, f32)| (s.splat(lo), s.splat(hi));
        let part = |(x, stride): (&[f32], usize)| {
            (x.as_ptr().wrapping_add(tile.first_row * stride + column), stride)
        };
        match epilogue.usual().filter(|_| columns == NV * LANES) {
            Some(Usual::Clamp(limits)) => {
                let (lo, hi) = limit(limits);
                each_vector!(R, NV, |r, v| {
                    s.store(at.wrapping_add(r * ldc + v * LANES), s.clamp(acc[r][v], lo, hi));
                });
            }
            Some(Usual::HardSwish) => {
                each_vector!(R, NV, |r, v| {
                    let y = Activation::HardSwish.apply(s, acc[r][v]);
                    s.store(at.wrapping_add(r * ldc + v * LANES), y);
                });
            }
            Some(Usual::Residual(matrix, limits)) => {
                let ((lo, hi), (x, stride)) = (limit(limits), part(matrix));
                each_vector!(R, NV, |r, v| {
                    let y = s.add(acc[r][v], s.load(x.wrapping_add(r * stride + v * LANES)));
                    s.store(at.wrapping_add(r * ldc + v * LANES), s.clamp(y, lo, hi));
                });
            }
            Some(Usual::Interleave(matrix, limits)) => {
                let ((lo, hi), (x, stride)) = (limit(limits), part(matrix));
                each_vector!(R, NV, |r, v| {
                    let x = s.load(x.wrapping_add(r * stride + v * LANES));
                    let [low, high] = s.interleave(x, s.clamp(acc[r][v], lo, hi));
                    let out = at.wrapping_add(r * ldc + 2 * v * LANES);
                    s.store(out, low);
                    s.store(out.wrapping_add(LANES), high);
                });
            }
            None => {
                let mut sums = MaybeUninit::<[f32; MOST_ROWS * 2 * LANES]>::uninit();
                let first: *mut f32 = sums.as_mut_ptr().cast();
                each_vector!(R, NV, |r, v| {
                    s.store(first.wrapping_add((r * NV + v) * LANES), acc[r][v]);
                });
                // SAFETY: these have just been written.
                let sums = unsafe { std::slice::from_raw_parts(first, R * NV * LANES) };
                finish(s.isa(), sums, tile);
            }
        }
    }
}

simd_fn! {
    /// The part of [`Rows`] that would be too long in a copy for each height: all that an epilogue
    /// can do to sums, of which the last in a row may not be columns.
    #[inline(never)]
    fn finish(s: Simd, sums: &[f32], tile: &Tile<'_>) {
        let Out { at, ldc, epilogue, .. } = tile.out;
        let vectors = tile.columns.len().div_ceil(LANES);
        let width = if S::WIDE { tile.ldb / LANES } else { 1 };
        let columns = tile.columns.len();
        let masks = [s.first(columns), s.first(columns.saturating_sub(LANES))];
        macro_rules! each {
            (|$row:ident, $column:ident, $mask:ident, $y:ident| $body:expr) => {
                for (r, sums) in sums.chunks_exact(width * LANES).enumerate() {
                    let $row = tile.first_row + r;
                    for (v, sums) in sums.chunks_exact(LANES).take(vectors).enumerate() {
                        let ($column, $mask) = (tile.columns.start + v * LANES, masks[v]);
                        // SAFETY: a vector of sums; the mask ends with the columns, and the rest is
                        // the promise of `multiply`.
                        unsafe {
                            let $y = s.load(sums.as_ptr());
                            $body
                        }
                    }
                }
            };
        }
        let limit = |(lo, hi): (f32, f32)| (s.splat(lo), s.splat(hi));
        match epilogue.usual() {
            Some(Usual::Clamp(limits)) => {
                let (lo, hi) = limit(limits);
                each!(|row, column, mask, y| {
                    s.store_first(at.wrapping_add(row * ldc + column), s.clamp(y, lo, hi), mask);
                });
            }
            Some(Usual::Residual((x, stride), limits)) => {
                let (lo, hi) = limit(limits);
                each!(|row, column, mask, y| {
                    let x = x.as_ptr().wrapping_add(row * stride + column);
                    let y = s.clamp(s.add(y, s.load_first(x, mask)), lo, hi);
                    s.store_first(at.wrapping_add(row * ldc + column), y, mask);
                });
            }
            _ => each!(|row, column, mask, y| {
                epilogue.finish(s, y, row, column, at.wrapping_add(row * ldc), mask);
            }),
        }
    }
}

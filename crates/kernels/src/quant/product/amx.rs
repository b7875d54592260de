//! Tiles on `tdpbusd`: 16 rows by 16 columns by up to 64 products on the tile registers of AMX.
//!
//! Two by two tiles of sums take 4 tile loads for 4 products, so that loading hides behind the 16
//! cycles of each product. A group of weights is a row of a tile as it lies, and rows of activations
//! are loaded from where they lie, as many bytes at a time as divide all runs: nothing is copied, and
//! nothing but the operands is read. A last block of rows begins early instead of being shorter, and
//! computes a few rows twice, so that all tiles of a product have one shape.
//!
//! The lower half of the sums of a block is finished behind the products of the next block, and its
//! upper half behind the storing of the lower: what the vector units do then hides how long the tile
//! registers take until their sums are in memory.
//!
//! The compiler knows nothing of tile registers and never touches them: they are configured at the
//! beginning of a product and released at its end, which also keeps the system from saving them at a
//! context switch.

use std::arch::asm;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Left, Out, Run, Scratch, Sums, Tile, Vnni, avx512, tiles};
use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES, PackedWeights};
use crate::simd::Avx512;

/// Rows and groups of a tile.
const SIDE: usize = 16;

/// The groups of a tile: the most that divide all runs, 0 if there are none.
pub(super) fn step(runs: &[Run]) -> usize {
    let divides = |step: &usize| runs.iter().all(|run| run.groups.is_multiple_of(*step));
    if runs[0].groups == 0 { 0 } else { (1..=SIDE).rev().find(divides).unwrap_or(0) }
}

/// Whether tiles of so many groups multiply these rows faster than dot products.
pub(super) fn pays(left: &Left, step: usize) -> bool {
    let rows = if left.rows <= SIDE { left.rows * left.lines.min(2) } else { 2 * SIDE };
    step >= 3 && rows * step >= 64
}

/// The rows of two by two tiles: their range in the result, where the first of them reads, and how
/// many rows and bytes further on the second tile of them begins, if there is one.
///
/// Short lines are taken two at a time. Of others a last tile begins early instead of being shorter.
fn blocks(left: Left) -> impl Iterator<Item = (Range<usize>, usize, Option<(usize, usize)>)> {
    let short = left.rows <= SIDE;
    let each = if short { 1 } else { left.rows.div_ceil(2 * SIDE) };
    let count = if short { left.lines.div_ceil(2) } else { left.lines * each };
    (0..count).map(move |i| {
        if short {
            let lines = 2 * i..(2 * i + 2).min(left.lines);
            let second = (lines.len() == 2).then_some((left.rows, left.line));
            let rows = lines.start * left.rows..lines.end * left.rows;
            return (rows, lines.start * left.line, second);
        }
        let (line, first) = (i / each, i % each * 2 * SIDE);
        let start = first.min(left.rows - SIDE);
        let end = (start + 2 * SIDE).min(left.rows);
        let below = end - start - SIDE;
        let second = (below > 0).then_some((below, below * left.lda));
        let base = line * left.rows;
        (base + start..base + end, line * left.line + start * left.lda, second)
    })
}

/// [`multiply`](super::multiply) with tiles of `step` groups, of whole weights.
///
/// # Safety
/// As [`multiply`](super::multiply); the CPU must have the instructions, and the process permission
/// to use them.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn multiply(
    left: Left,
    panels: Range<usize>,
    weights: &PackedWeights,
    out: &Out,
    mut scratch: Option<&mut Scratch>,
    step: usize,
) {
    // SAFETY: this function runs only where these instructions exist.
    let s = unsafe { Avx512::new() };
    let height = left.rows.min(SIDE);
    let _tiles = Tiles::configure(height, step);
    let mut sums = Halves::new();
    for mut tile in tiles(left, panels, weights, out) {
        if let Some(scratch) = &mut scratch {
            // SAFETY: a tile of these weights.
            unsafe { scratch.fill(Vnni(s), &mut tile, weights) };
        }
        // SAFETY: by contract; the tiles are configured.
        unsafe {
            let job = avx512::job(s, &tile);
            let mut open = None;
            for (rows, at, second) in blocks(left) {
                let middle = rows.start + second.map_or(rows.len(), |(rows, _)| rows);
                let below = second.map_or(0, |(_, bytes)| bytes);
                tile.at = at;
                match (second.is_some(), tile.panels) {
                    (true, 2) => products::<2, 2>(&tile, below, step),
                    (true, _) => products::<2, 1>(&tile, below, step),
                    (false, 2) => products::<1, 2>(&tile, below, step),
                    (false, _) => products::<1, 1>(&tile, below, step),
                }
                store_upper(&mut sums.upper, tile.panels);
                if let Some(rows) = open.take() {
                    tile.rows = rows;
                    avx512::finish(s, &tile, &job, &sums.lower);
                }
                if second.is_some() {
                    store_lower(&mut sums.lower, tile.panels);
                    open = Some(middle..rows.end);
                }
                tile.rows = rows.start..middle;
                avx512::finish(s, &tile, &job, &sums.upper);
            }
            if let Some(rows) = open {
                tile.rows = rows;
                avx512::finish(s, &tile, &job, &sums.lower);
            }
        }
    }
}

/// The sums of both rows of tiles, 16 rows of at most 2 KiB. They differ in address by half of 4 KiB:
/// reads of one must not seem to wait for writes of the other.
#[repr(C, align(64))]
struct Halves {
    upper: Sums,
    gap: MaybeUninit<[u8; 2048]>,
    lower: Sums,
}

impl Halves {
    fn new() -> Halves {
        Halves { upper: Sums::new(), gap: MaybeUninit::uninit(), lower: Sums::new() }
    }
}

/// Tile registers 0 to 3 hold sums, 4 and 5 activations, 6 and 7 weights.
struct Tiles;

#[repr(C, align(64))]
struct Configuration([u8; 64]);

impl Tiles {
    /// Sums of `rows` rows and products of `groups` groups.
    fn configure(rows: usize, groups: usize) -> Tiles {
        let mut bytes = [0; 64];
        bytes[0] = 1; // palette
        let shapes = [(rows, GROUP_BYTES), (rows, groups * GROUP), (groups, GROUP_BYTES)];
        for (tile, shape) in [0, 0, 0, 0, 1, 1, 2, 2].into_iter().enumerate() {
            let (rows, width) = shapes[shape];
            bytes[16 + 2 * tile] = width as u8;
            bytes[48 + tile] = rows as u8;
        }
        let configuration = Configuration(bytes);
        // SAFETY: a valid configuration of palette 1; callers run where AMX exists.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration.0, options(nostack, readonly)) };
        Tiles
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles exist where they were configured.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// The sums of `M` by `N` tiles, the second row of tiles so many bytes behind the first.
///
/// # Safety
/// As [`multiply`], with configured tiles.
#[inline(always)]
unsafe fn products<const M: usize, const N: usize>(tile: &Tile, below: usize, step: usize) {
    let start = tile.start.0.as_ptr().cast::<i32>();
    // SAFETY: a stride of 0 loads the same row of biases 16 times.
    unsafe {
        asm!("tileloadd tmm0, [{b} + {s} * 1]", b = in(reg) start, s = in(reg) 0usize, options(nostack, readonly));
        if M == 2 {
            asm!("tileloadd tmm2, [{b} + {s} * 1]", b = in(reg) start, s = in(reg) 0usize, options(nostack, readonly));
        }
        if N == 2 {
            asm!("tileloadd tmm1, [{b} + {s} * 1 + 64]", b = in(reg) start, s = in(reg) 0usize, options(nostack, readonly));
        }
        if M == 2 && N == 2 {
            asm!("tileloadd tmm3, [{b} + {s} * 1 + 64]", b = in(reg) start, s = in(reg) 0usize, options(nostack, readonly));
        }
    }
    let lda = tile.left.lda;
    let mut b = tile.weights;
    for run in tile.left.runs {
        b = b.wrapping_add(run.skip * GROUP_BYTES);
        let a = run.at.wrapping_add(tile.at);
        for group in (0..run.groups).step_by(step) {
            let a = a.wrapping_add(group * GROUP);
            // SAFETY: these groups of all rows of the tile, and of its panels.
            unsafe { add::<M, N>(a, a.wrapping_add(below), lda, b, tile.next) };
            b = b.wrapping_add(step * GROUP_BYTES);
        }
    }
}

/// Adds `M` by `N` products of tiles to tile registers 0 to 3.
///
/// # Safety
/// Tiles of activations begin at `a0` and `a1`, their rows `lda` bytes apart; those of weights at `b`
/// and `next` bytes on.
#[inline(always)]
unsafe fn add<const M: usize, const N: usize>(
    a0: *const u8,
    a1: *const u8,
    lda: usize,
    b: *const i8,
    next: usize,
) {
    let (line, b1) = (GROUP_BYTES, b.wrapping_add(next));
    // SAFETY: by contract.
    unsafe {
        match (M, N) {
            (2, 2) => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {l} * 1]",
                "tdpbusd tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {s} * 1]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                a0 = in(reg) a0, a1 = in(reg) a1, s = in(reg) lda,
                b = in(reg) b, b1 = in(reg) b1, l = in(reg) line, options(nostack, readonly)),
            (2, 1) => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a1} + {s} * 1]",
                "tdpbusd tmm2, tmm5, tmm6",
                a0 = in(reg) a0, a1 = in(reg) a1, s = in(reg) lda,
                b = in(reg) b, l = in(reg) line, options(nostack, readonly)),
            (1, 2) => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {l} * 1]",
                "tdpbusd tmm1, tmm4, tmm7",
                a0 = in(reg) a0, s = in(reg) lda,
                b = in(reg) b, b1 = in(reg) b1, l = in(reg) line, options(nostack, readonly)),
            _ => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbusd tmm0, tmm4, tmm6",
                a0 = in(reg) a0, s = in(reg) lda,
                b = in(reg) b, l = in(reg) line, options(nostack, readonly)),
        }
    }
}

/// A function that stores two tiles or the first of them.
macro_rules! store {
    ($name:ident, $first:literal, $second:literal) => {
        /// Stores a row of tiles as rows of so many panels.
        ///
        /// # Safety
        /// The tiles must be configured.
        #[inline(always)]
        unsafe fn $name(sums: &mut Sums, panels: usize) {
            let (sums, stride) = (sums.0.as_mut_ptr(), panels * COLUMNS * size_of::<i32>());
            // SAFETY: room for 16 rows.
            unsafe {
                asm!(concat!("tilestored [{c} + {s} * 1], ", $first),
                    c = in(reg) sums, s = in(reg) stride, options(nostack));
                if panels == 2 {
                    asm!(concat!("tilestored [{c} + {s} * 1 + 64], ", $second),
                        c = in(reg) sums, s = in(reg) stride, options(nostack));
                }
            }
        }
    };
}

store!(store_upper, "tmm0", "tmm1");
store!(store_lower, "tmm2", "tmm3");

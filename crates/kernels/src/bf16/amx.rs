//! `tdpbf16ps`: 16 pixels by 16 output channels by 32 products on tile registers.
//!
//! Two by two tiles of sums take 4 tile loads for 4 products, so that loading hides behind the 16
//! cycles of each product. Loads of a tile must not cross cache lines, which is why everything here
//! is aligned. The compiler knows nothing of tile registers and never touches them: they are
//! configured at the beginning of a row and released at its end, which also keeps the system from
//! saving them at a context switch.

use std::arch::asm;
use std::ops::Range;

use super::conv::Row;
use super::machine::{Machine, Run, Strip};
use super::native::Native;
use super::weights::{PANEL, STEP, TILE};
use crate::Activation;
use crate::simd::{LANES, Simd, prefetch_at};

/// Bytes of a row of a tile.
const ROW_BYTES: usize = 64;

/// How far ahead of their use weights are fetched: long enough for the third-level cache.
const AHEAD: usize = 8 * TILE;

/// [`Row::on`] compiled for this machine.
///
/// # Safety
/// As [`Row::on`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn row(
    row: &Row,
    pixels: Range<usize>,
    panels: Range<usize>,
    scratch: &mut [f32],
) {
    // SAFETY: this function runs only where the instructions exist; the rest by contract.
    unsafe {
        let tiles = Tiles::configure(Native::new());
        row.on(&tiles, pixels, panels, scratch);
    }
}

/// Tile registers 0 to 7 are configured as 16 rows of 64 bytes.
pub(super) struct Tiles(Native);

#[repr(C, align(64))]
struct Configuration([u8; 64]);

static FULL_TILES: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1; // palette
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = ROW_BYTES as u8;
        bytes[48 + tile] = LANES as u8;
        tile += 1;
    }
    Configuration(bytes)
};

impl Tiles {
    /// # Safety
    /// The CPU must have AMX, and the process permission to use it.
    #[inline(always)]
    pub unsafe fn configure(native: Native) -> Tiles {
        // SAFETY: a valid configuration of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &FULL_TILES.0, options(nostack, readonly)) };
        Tiles(native)
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: tiles exist where they were configured.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

impl Machine for &Tiles {
    #[inline(always)]
    unsafe fn round(self, run: &Run, to: *mut u32) {
        // SAFETY: by contract.
        unsafe { self.0.round(run, to) }
    }

    #[inline(always)]
    unsafe fn strip(self, job: &Strip) {
        // SAFETY: by contract.
        unsafe { strip(self.0, job) }
    }
}

/// [`Machine::strip`] as a function of its own: inlined into its caller, its loops would spill.
///
/// # Safety
/// As [`Machine::strip`], with configured tiles.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn strip(native: Native, job: &Strip) {
    let s = native.simd();
    let two = job.columns.len() > LANES;
    let bias = job.sums.wrapping_add(2 * PANEL * LANES);
    // SAFETY: a row of biases behind the sums; the masks end with the columns.
    unsafe {
        for v in 0..2 {
            let column = job.columns.start + v * LANES;
            let mask = s.first(job.columns.end.saturating_sub(column));
            s.store(bias.add(v * LANES), job.epilogue.start(s, column, mask));
        }
    }
    for pixel in (0..job.pixels.len()).step_by(2 * LANES) {
        let rows = (job.pixels.len() - pixel).min(2 * LANES);
        // SAFETY: by contract.
        unsafe {
            match (rows > LANES, two) {
                (true, true) => sums::<2, 2>(job, pixel, bias),
                (true, false) => sums::<2, 1>(job, pixel, bias),
                (false, true) => sums::<1, 2>(job, pixel, bias),
                (false, false) => sums::<1, 1>(job, pixel, bias),
            }
            finish(s, job, pixel, rows);
        }
    }
}

/// The sums of `M` by `N` tiles, from `pixel` on.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn sums<const M: usize, const N: usize>(job: &Strip, pixel: usize, bias: *const f32) {
    // SAFETY: a stride of 0 loads the same row of biases 16 times.
    unsafe {
        asm!("tileloadd tmm0, [{b} + {s} * 1]", b = in(reg) bias, s = in(reg) 0usize, options(nostack, readonly));
        asm!("tileloadd tmm2, [{b} + {s} * 1]", b = in(reg) bias, s = in(reg) 0usize, options(nostack, readonly));
        let bias = bias.add(LANES);
        asm!("tileloadd tmm1, [{b} + {s} * 1]", b = in(reg) bias, s = in(reg) 0usize, options(nostack, readonly));
        asm!("tileloadd tmm3, [{b} + {s} * 1]", b = in(reg) bias, s = in(reg) 0usize, options(nostack, readonly));
    }
    let stride = 4 * job.advance;
    let a = job.a.wrapping_add(pixel * job.advance);
    let mut b = job.b.as_ptr();
    for ky in 0..job.taps[0] {
        for kx in 0..job.taps[1] {
            let a = a.wrapping_add(ky * job.row + kx * job.tap);
            for block in (0..job.channels).step_by(STEP) {
                let a = a.wrapping_add(block / 2);
                if pixel == 0 {
                    prefetch_at(b.wrapping_add(AHEAD).cast(), N * TILE);
                }
                // SAFETY: this block of 16 M pixels and of N tiles.
                unsafe { step::<M, N>(a, a.wrapping_add(LANES * job.advance), stride, b) };
                b = b.wrapping_add(N * TILE);
            }
        }
    }
    // SAFETY: room for two by two tiles.
    unsafe { store_tiles::<M, N>(job.sums) };
}

/// Adds `M` by `N` products of tiles to tile registers 0 to 3.
///
/// # Safety
/// Tiles of A begin at `a0` and `a1`, their rows `stride` bytes apart; N tiles of B at `b`.
#[inline(always)]
pub(super) unsafe fn step<const M: usize, const N: usize>(
    a0: *const u32,
    a1: *const u32,
    stride: usize,
    b: *const u32,
) {
    let line = ROW_BYTES;
    // SAFETY: by contract.
    unsafe {
        match (M, N) {
            (2, 2) => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {l} * 1 + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {s} * 1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                a0 = in(reg) a0, a1 = in(reg) a1, s = in(reg) stride,
                b = in(reg) b, l = in(reg) line, options(nostack, readonly)),
            (2, 1) => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a1} + {s} * 1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                a0 = in(reg) a0, a1 = in(reg) a1, s = in(reg) stride,
                b = in(reg) b, l = in(reg) line, options(nostack, readonly)),
            (1, 2) => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {l} * 1 + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                a0 = in(reg) a0, s = in(reg) stride,
                b = in(reg) b, l = in(reg) line, options(nostack, readonly)),
            _ => asm!(
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b} + {l} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                a0 = in(reg) a0, s = in(reg) stride,
                b = in(reg) b, l = in(reg) line, options(nostack, readonly)),
        }
    }
}

/// Stores the sums as rows of two tiles.
///
/// # Safety
/// `sums` must be valid for two by two tiles.
#[inline(always)]
unsafe fn store_tiles<const M: usize, const N: usize>(sums: *mut f32) {
    let stride = 2 * ROW_BYTES;
    let below = sums.wrapping_add(LANES * PANEL);
    // SAFETY: by contract.
    unsafe {
        asm!("tilestored [{c} + {s} * 1], tmm0", c = in(reg) sums, s = in(reg) stride, options(nostack));
        if N == 2 {
            asm!("tilestored [{c} + {s} * 1 + 64], tmm1", c = in(reg) sums, s = in(reg) stride, options(nostack));
        }
        if M == 2 {
            asm!("tilestored [{c} + {s} * 1], tmm2", c = in(reg) below, s = in(reg) stride, options(nostack));
        }
        if M == 2 && N == 2 {
            asm!("tilestored [{c} + {s} * 1 + 64], tmm3", c = in(reg) below, s = in(reg) stride, options(nostack));
        }
    }
}

/// Finishes `rows` rows of sums, from `pixel` on.
///
/// What is usual has loops of its own: the general way decides anew for every vector.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, job: &Strip, pixel: usize, rows: usize) {
    let epilogue = &job.epilogue;
    // SAFETY: by contract.
    unsafe {
        match epilogue.activation {
            _ if epilogue.accumulate || epilogue.interleave.is_some() => {
                finish_any(s, job, pixel, rows);
            }
            Activation::None => finish_rows(s, job, pixel, rows, Nothing),
            Activation::Clamp(lo, hi) => finish_rows(s, job, pixel, rows, Limits(lo, hi)),
            Activation::HardSwish => finish_rows(s, job, pixel, rows, HardSwish),
            _ => finish_any(s, job, pixel, rows),
        }
    }
}

/// A known activation. Closures would be functions without the instructions of their callers.
trait Function: Copy {
    fn of<S: Simd>(self, s: S, y: S::V) -> S::V;
}

#[derive(Clone, Copy)]
struct Nothing;

#[derive(Clone, Copy)]
struct Limits(f32, f32);

#[derive(Clone, Copy)]
struct HardSwish;

impl Function for Nothing {
    #[inline(always)]
    fn of<S: Simd>(self, _: S, y: S::V) -> S::V {
        y
    }
}

impl Function for Limits {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, y: S::V) -> S::V {
        s.clamp(y, s.splat(self.0), s.splat(self.1))
    }
}

impl Function for HardSwish {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, y: S::V) -> S::V {
        Activation::HardSwish.apply(s, y)
    }
}

/// [`finish`] with a fixed activation, neither accumulating nor interleaving.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn finish_rows<S: Simd>(s: S, job: &Strip, pixel: usize, rows: usize, f: impl Function) {
    // SAFETY: by contract.
    unsafe {
        match job.columns.len() > LANES {
            true => each_row::<S, 2>(s, job, pixel, rows, f),
            false => each_row::<S, 1>(s, job, pixel, rows, f),
        }
    }
}

/// Finishes `N` vectors of each row.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn each_row<S: Simd, const N: usize>(
    s: S,
    job: &Strip,
    pixel: usize,
    rows: usize,
    f: impl Function,
) {
    let first = job.pixels.start + pixel;
    let (column, last) = (job.columns.start, (N - 1) * LANES);
    let (all, mask) = (s.first(LANES), s.first(job.columns.len() - last));
    let out = job.out.wrapping_add(first * job.out_stride + column);
    for r in 0..rows {
        let (sums, out) = (job.sums.wrapping_add(r * PANEL), out.wrapping_add(r * job.out_stride));
        let x = job
            .epilogue
            .residual
            .map(|(x, stride)| x.as_ptr().wrapping_add((first + r) * stride + column));
        // SAFETY: the sums are there; all vectors but the last are full, and its mask ends with
        // the columns of the panel. What is added, if anything, has the size of the result.
        unsafe {
            if N == 2 {
                s.store(out, f.of(s, added(s, s.load(sums), x, all)));
            }
            let x = x.map(|x| x.wrapping_add(last));
            let y = added(s, s.load(sums.wrapping_add(last)), x, mask);
            s.store_first(out.wrapping_add(last), f.of(s, y), mask);
        }
    }
}

/// `y` plus what is at `x`, if anything.
///
/// # Safety
/// The lanes of the mask must be valid for reads there.
#[inline(always)]
unsafe fn added<S: Simd>(s: S, y: S::V, x: Option<*const f32>, mask: S::Mask) -> S::V {
    match x {
        None => y,
        // SAFETY: by contract.
        Some(x) => s.add(y, unsafe { s.load_first(x, mask) }),
    }
}

/// [`finish`] of anything.
///
/// # Safety
/// As [`Machine::strip`].
#[inline(always)]
unsafe fn finish_any<S: Simd>(s: S, job: &Strip, pixel: usize, rows: usize) {
    for r in 0..rows {
        let row = job.pixels.start + pixel + r;
        let out = job.out.wrapping_add(row * job.out_stride);
        for (v, column) in job.columns.clone().step_by(LANES).enumerate() {
            // SAFETY: the mask ends with the columns of the panel, and the epilogue was checked.
            unsafe {
                let sum = s.load(job.sums.add(r * PANEL + v * LANES));
                job.epilogue.finish(s, sum, row, column, out, s.first(job.columns.end - column));
            }
        }
    }
}

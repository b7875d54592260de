//! The inner loop of the register tile in AVX-512.
//!
//! A step over K of a tile of 14 rows and 2 vectors is 28 multiply-adds, which take 14 cycles, 18
//! loads, of which a core does 2 per cycle, and few instructions around them: nothing but the
//! multiply-adds limits it, as long as nothing else is loaded. The compiler wants a pointer for
//! each row, spills them and reloads them in every step. Written out, the rows need two pointers
//! and four multiples of their distance: rows 0 to 8 are at `p + distance * {0, 1, 2, 3, 4, 5, 2 *
//! 3, 7, 8}`, and the rows from 9 on are the same again from `q`, which is row 9.

use super::tile::{Ahead, Run};
use std::arch::asm;
use std::arch::x86_64::__m512;

/// Begins a run: its pointers, its length in fours and ones, and as many rows of B skipped as it
/// says, each two to the power of `$shift` bytes.
macro_rules! enter {
    ($shift:literal) => {
        concat!(
            "2:\n",
            "mov {p}, qword ptr [{runs}]\n",
            "add {p}, {offset}\n",
            "lea {q}, [{p} + 8 * {l1}]\n",
            "add {q}, {l1}\n",
            "mov {n}, qword ptr [{runs} + 16]\n",
            "shl {n}, ",
            $shift,
            "\nadd {b}, {n}\n",
            "mov {n}, qword ptr [{runs} + 8]\n",
            "sub {n}, 4\n",
            "jb 4f\n",
            ".p2align 4\n",
            "3: # {l3} {l5} {l7}"
        )
    };
}

/// Ends four steps over rows of B of so many bytes, and begins what is left of the run.
macro_rules! ones {
    ($rows:literal) => {
        concat!(
            "add {p}, 16\n",
            "add {q}, 16\n",
            "add {b}, ",
            $rows,
            "\nsub {n}, 4\n",
            "jae 3b\n",
            "4:\n",
            "add {n}, 4\n",
            "jz 6f\n",
            "5:"
        )
    };
}

/// Ends a step, a run with its last step, and the loop with the empty run.
macro_rules! leave {
    ($row:literal) => {
        concat!(
            "add {p}, 4\n",
            "add {q}, 4\n",
            "add {b}, ",
            $row,
            "\ndec {n}\n",
            "jnz 5b\n",
            "6:\n",
            "add {runs}, 24\n",
            "cmp qword ptr [{runs} + 8], 0\n",
            "jnz 2b"
        )
    };
}

/// A step over K, `$k` floats of A and `$row` bytes of B from the pointers on.
macro_rules! wide_step {
    ($k:literal, $row:literal, $(($r:literal $x:ident $y:ident $at:literal))*) => {
        concat!(
            "vmovups {v}, zmmword ptr [{b} + ", $row, "]\n",
            "vmovups {w}, zmmword ptr [{b} + ", $row, " + 64]\n",
            $(
                "vbroadcastss {t}, dword ptr [", $at, " + 4 * ", $k, "]\n",
                "vfmadd231ps {", stringify!($x), "}, {t}, {v}\n",
                "vfmadd231ps {", stringify!($y), "}, {t}, {w}\n",
            )*
            "prefetcht1 byte ptr [{ahead}]\n",
            "add {ahead}, {step}"
        )
    };
}

/// As [`wide_step`] for one vector. The multiply-add itself broadcasts: as many loads as before.
macro_rules! narrow_step {
    ($k:literal, $row:literal, $(($r:literal $x:ident $y:ident $at:literal))*) => {
        concat!(
            "vmovups {v}, zmmword ptr [{b} + ", $row, "]",
            $(
                "\nvfmadd231ps {", stringify!($x), "}, {v}, ",
                "dword ptr [", $at, " + 4 * ", $k, "]{{1to16}}",
            )*
        )
    };
}

/// Two vectors of B and some rows.
macro_rules! wide {
    ($acc:ident, ($runs:ident, $offset:ident, $lda:ident, $b:ident, $ahead:ident),
        $(($r:literal $x:ident $y:ident $at:literal))*) => {
        // Typed, because the compiler takes the upper registers for bytes otherwise.
        let (_v, _w, _t): (__m512, __m512, __m512);
        // SAFETY: the caller of `accumulate` promises that all these reads are in bounds.
        unsafe {
            asm!(
                enter!("7"),
                wide_step!("0", "0", $(($r $x $y $at))*),
                wide_step!("1", "128", $(($r $x $y $at))*),
                wide_step!("2", "256", $(($r $x $y $at))*),
                wide_step!("3", "384", $(($r $x $y $at))*),
                ones!("512"),
                wide_step!("0", "0", $(($r $x $y $at))*),
                leave!("128"),
                p = out(reg) _, q = out(reg) _, n = out(reg) _,
                offset = in(reg) 4 * $offset,
                l1 = in(reg) 4 * $lda, l3 = in(reg) 12 * $lda,
                l5 = in(reg) 20 * $lda, l7 = in(reg) 28 * $lda,
                runs = inout(reg) $runs => _,
                b = inout(reg) $b => _,
                ahead = inout(reg) $ahead.at => _,
                step = in(reg) $ahead.step,
                v = out(zmm_reg) _v, w = out(zmm_reg) _w, t = out(zmm_reg) _t,
                $($x = inout(zmm_reg) $acc[$r][0], $y = inout(zmm_reg) $acc[$r][1],)*
                options(nostack, readonly),
            );
        }
    };
}

/// One vector of B and some rows.
macro_rules! narrow {
    ($acc:ident, ($runs:ident, $offset:ident, $lda:ident, $b:ident, $ahead:ident),
        $(($r:literal $x:ident $y:ident $at:literal))*) => {
        let _v: __m512;
        // SAFETY: the caller of `accumulate` promises that all these reads are in bounds.
        unsafe {
            asm!(
                enter!("6"),
                narrow_step!("0", "0", $(($r $x $y $at))*),
                narrow_step!("1", "64", $(($r $x $y $at))*),
                narrow_step!("2", "128", $(($r $x $y $at))*),
                narrow_step!("3", "192", $(($r $x $y $at))*),
                ones!("256"),
                narrow_step!("0", "0", $(($r $x $y $at))*),
                leave!("64"),
                p = out(reg) _, q = out(reg) _, n = out(reg) _,
                offset = in(reg) 4 * $offset,
                l1 = in(reg) 4 * $lda, l3 = in(reg) 12 * $lda,
                l5 = in(reg) 20 * $lda, l7 = in(reg) 28 * $lda,
                runs = inout(reg) $runs => _,
                b = inout(reg) $b => _,
                v = out(zmm_reg) _v,
                $($x = inout(zmm_reg) $acc[$r][0],)*
                options(nostack, readonly),
            );
        }
    };
}

/// A function for each number of rows, of which the constant `R` selects one.
macro_rules! each_height {
    ($loop:ident, $nv:literal, $acc:ident, $R:ident, $args:tt, [$($done:tt)*]) => {};
    ($loop:ident, $nv:literal, $acc:ident, $R:ident, $args:tt, [$($done:tt)*]
        ($r:literal $($parts:tt)*) $($rest:tt)*) => {
        if const { $R == $r + 1 } {
            #[target_feature(enable = "avx512f")]
            #[inline]
            unsafe fn run(
                acc: &mut [[__m512; $nv]; $r + 1],
                runs: *const Run,
                offset: usize,
                lda: usize,
                b: *const f32,
                ahead: Ahead,
            ) {
                let _ = ahead;
                $loop!(acc, (runs, offset, lda, b, ahead), $($done)* ($r $($parts)*));
            }
            let (runs, offset, lda, b, ahead) = $args;
            // SAFETY: the sums have this type; the rest is the caller's promise.
            return unsafe { run(&mut *$acc.as_mut_ptr().cast(), runs, offset, lda, b, ahead) };
        }
        each_height!($loop, $nv, $acc, $R, $args, [$($done)* ($r $($parts)*)] $($rest)*);
    };
}

macro_rules! every_height {
    ($loop:ident, $nv:literal, $acc:ident, $R:ident, $args:tt) => {
        each_height!($loop, $nv, $acc, $R, $args, []
            (0 x0 y0 "{p}") (1 x1 y1 "{p} + {l1}") (2 x2 y2 "{p} + 2 * {l1}")
            (3 x3 y3 "{p} + {l3}") (4 x4 y4 "{p} + 4 * {l1}") (5 x5 y5 "{p} + {l5}")
            (6 x6 y6 "{p} + 2 * {l3}") (7 x7 y7 "{p} + {l7}") (8 x8 y8 "{p} + 8 * {l1}")
            (9 x9 y9 "{q}") (10 x10 y10 "{q} + {l1}") (11 x11 y11 "{q} + 2 * {l1}")
            (12 x12 y12 "{q} + {l3}") (13 x13 y13 "{q} + 4 * {l1}"))
    };
}

/// [`Simd::accumulate`](crate::simd::Simd::accumulate) of up to 14 rows and 2 vectors.
///
/// # Safety
/// As there, and the CPU must have AVX-512 F.
#[inline(always)]
pub(crate) unsafe fn accumulate<const R: usize, const NV: usize>(
    acc: &mut [[__m512; NV]; R],
    runs: *const Run,
    offset: usize,
    lda: usize,
    b: *const f32,
    ahead: Ahead,
) {
    if NV == 2 {
        every_height!(wide, 2, acc, R, (runs, offset, lda, b, ahead));
    } else {
        every_height!(narrow, 1, acc, R, (runs, offset, lda, b, ahead));
    }
    unreachable!("a tile has at most 14 rows and 2 vectors");
}

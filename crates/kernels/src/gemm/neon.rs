//! The inner loop of the register tile in Advanced SIMD.
//!
//! A tile of 6 rows and 16 columns has its sums in 24 registers. Four steps over K read four floats
//! of each row into 6 more, whose lanes the multiply-adds address, and B through the last two: each
//! is loaded again while the other is in use, 6 multiply-adds ahead, which is what cores need that
//! do not reorder. That is 22 loads for 96 multiply-adds, where a core does one load for one or two
//! multiply-adds. Written out, because the compiler has no register to spare for its own schedule.

use super::tile::{Ahead, Run};
use std::arch::aarch64::float32x4_t;
use std::arch::asm;

/// Rows of the tallest tile.
pub(crate) const ROWS: usize = 6;

/// Multiply-adds of a vector of B with lane `$lane` of each row.
macro_rules! products {
    ($b:literal, $lane:literal, $(($x:ident $a:ident))*) => {
        concat!($(
            "fmla {", stringify!($x), ":v}.4s, {", $b, ":v}.4s, ",
            "{", stringify!($a), ":v}.s[", $lane, "]\n",
        )*)
    };
}

/// A step over K, whose first two vectors of B are in registers; `$next` loads those of the next.
macro_rules! step {
    ($lane:literal, [$next_v:literal, $next_w:literal],
        $(($r:literal $x:ident $y:ident $z:ident $u:ident $a:ident $p:ident))*) => {
        concat!(
            products!("v", $lane, $(($x $a))*),
            "ldr {v:q}, [{b}, 32]\n",
            products!("w", $lane, $(($y $a))*),
            "ldr {w:q}, [{b}, 48]\n",
            "add {b}, {b}, {ldb}\n",
            "prfm pldl2keep, [{ahead}]\n",
            "add {ahead}, {ahead}, {step}\n",
            products!("v", $lane, $(($z $a))*),
            $next_v,
            products!("w", $lane, $(($u $a))*),
            $next_w,
        )
    };
}

/// The tile's loops over runs, fours and ones of the given rows.
macro_rules! loops {
    ($acc:ident, ($runs:ident, $offset:ident, $lda:ident, $b:ident, $ldb:ident, $ahead:ident),
        $(($r:literal $x:ident $y:ident $z:ident $u:ident $a:ident $p:ident))*) => {
        // SAFETY: the caller of `accumulate` promises that all these reads are in bounds.
        unsafe {
            asm!(
                "2:",
                "ldr {n}, [{runs}, 16]",
                "madd {b}, {n}, {ldb}, {b}",
                "ldp {row}, {n}, [{runs}]",
                "add {row}, {row}, {offset}",
                $(concat!("mov {", stringify!($p), "}, {row}\nadd {row}, {row}, {lda}"),)*
                "subs {n}, {n}, 4",
                "b.lo 4f",
                "3:",
                "ldr {v:q}, [{b}]",
                "ldr {w:q}, [{b}, 16]",
                $(concat!("ldr {", stringify!($a), ":q}, [{", stringify!($p), "}], 16"),)*
                step!("0", ["ldr {v:q}, [{b}]\n", "ldr {w:q}, [{b}, 16]\n"],
                    $(($r $x $y $z $u $a $p))*),
                step!("1", ["ldr {v:q}, [{b}]\n", "ldr {w:q}, [{b}, 16]\n"],
                    $(($r $x $y $z $u $a $p))*),
                step!("2", ["ldr {v:q}, [{b}]\n", "ldr {w:q}, [{b}, 16]\n"],
                    $(($r $x $y $z $u $a $p))*),
                step!("3", ["", ""], $(($r $x $y $z $u $a $p))*),
                "subs {n}, {n}, 4",
                "b.hs 3b",
                "4:",
                "adds {n}, {n}, 4",
                "b.eq 6f",
                "5:",
                "ldr {v:q}, [{b}]",
                "ldr {w:q}, [{b}, 16]",
                $(concat!("ldr {", stringify!($a), ":s}, [{", stringify!($p), "}], 4"),)*
                step!("0", ["", ""], $(($r $x $y $z $u $a $p))*),
                "subs {n}, {n}, 1",
                "b.ne 5b",
                "6:",
                "add {runs}, {runs}, 24",
                "ldr {n}, [{runs}, 8]",
                "cbnz {n}, 2b",
                n = out(reg) _, row = out(reg) _,
                offset = in(reg) size_of::<f32>() * $offset,
                lda = in(reg) size_of::<f32>() * $lda,
                ldb = in(reg) size_of::<f32>() * $ldb,
                runs = inout(reg) $runs => _,
                b = inout(reg) $b => _,
                ahead = inout(reg) $ahead.at => _,
                step = in(reg) $ahead.step,
                v = out(vreg) _, w = out(vreg) _,
                $(
                    $p = out(reg) _, $a = out(vreg) _,
                    $x = inout(vreg) $acc[$r][0], $y = inout(vreg) $acc[$r][1],
                    $z = inout(vreg) $acc[$r][2], $u = inout(vreg) $acc[$r][3],
                )*
                options(nostack, readonly),
            );
        }
    };
}

/// A function for each number of rows, of which the constant `R` selects one.
macro_rules! each_height {
    ($acc:ident, $R:ident, $args:tt, [$($done:tt)*]) => {};
    ($acc:ident, $R:ident, $args:tt, [$($done:tt)*] ($r:literal $($parts:tt)*) $($rest:tt)*) => {
        if const { $R == $r + 1 } {
            #[target_feature(enable = "neon")]
            #[inline]
            unsafe fn run(
                acc: &mut [[float32x4_t; 4]; $r + 1],
                runs: *const Run,
                offset: usize,
                lda: usize,
                (b, ldb): (*const f32, usize),
                ahead: Ahead,
            ) {
                loops!(acc, (runs, offset, lda, b, ldb, ahead), $($done)* ($r $($parts)*));
            }
            let (runs, offset, lda, b, ahead) = $args;
            // SAFETY: the sums have this type; the rest is the caller's promise.
            return unsafe { run(&mut *$acc.as_mut_ptr().cast(), runs, offset, lda, b, ahead) };
        }
        each_height!($acc, $R, $args, [$($done)* ($r $($parts)*)] $($rest)*);
    };
}

/// [`Simd::accumulate`](crate::simd::Simd::accumulate) of up to [`ROWS`] rows and one vector.
///
/// # Safety
/// As there, and the CPU must have Advanced SIMD.
#[inline(always)]
pub(crate) unsafe fn accumulate<const R: usize, const NV: usize>(
    acc: &mut [[[float32x4_t; 4]; NV]; R],
    runs: *const Run,
    offset: usize,
    lda: usize,
    b: (*const f32, usize),
    ahead: Ahead,
) {
    if const { NV == 1 } {
        each_height!(acc, R, (runs, offset, lda, b, ahead), []
            (0 x0 y0 z0 u0 a0 p0) (1 x1 y1 z1 u1 a1 p1) (2 x2 y2 z2 u2 a2 p2)
            (3 x3 y3 z3 u3 a3 p3) (4 x4 y4 z4 u4 a4 p4) (5 x5 y5 z5 u5 a5 p5));
    }
    unreachable!("a tile has at most {ROWS} rows and one vector");
}

//! Tiles on `vpdpbusd`, 16 sums times 4 products.
//!
//! A step over a group of 4 bytes of a tile of 14 rows and 2 panels is 28 dot products, which take
//! 14 cycles, and 16 loads, of which a core does 2 per cycle: two of weights and a broadcast for
//! each row, because the instruction broadcasts only its signed operand from memory. As in the float
//! tile, the loop is written out, so that the rows need two pointers and four multiples of their
//! distance: rows 0 to 8 are at `p + distance * {0, 1, 2, 3, 4, 5, 2 * 3, 7, 8}`, and the rows from 9
//! on are the same again from `q`, which is row 9.

mod halved;

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::transmute;

use super::{FEW, MAX_ROWS, Machine, Sums, Tile, avx512};
use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES, HALVED_BYTES};
use crate::simd::Avx512;

/// `vpdpbusd` on 512 bits.
#[derive(Clone, Copy)]
pub(super) struct Vnni(pub Avx512);

/// Rows of the tallest tile: with two panels all 32 registers but one.
const ROWS: usize = 14;

const _: () = assert!(ROWS <= MAX_ROWS);

impl Machine for Vnni {
    const ROWS: usize = ROWS;
    type Job = Option<avx512::Job>;

    #[inline(always)]
    unsafe fn sums(self, tile: &Tile, sums: &mut Sums) {
        macro_rules! heights {
            ($($r:literal)*) => {
                match (tile.rows.len(), tile.panels) {
                    // SAFETY: by contract; the token proves that the CPU has AVX-512.
                    (1, 2) => unsafe { single::<2>(tile, sums) },
                    // SAFETY: as above.
                    (1, _) => unsafe { single::<1>(tile, sums) },
                    // SAFETY: by contract; the token proves that the CPU has AVX-512.
                    $(($r, 2) => unsafe { wide::<$r>(tile, sums) },
                    // SAFETY: as above.
                    ($r, _) => unsafe { narrow::<$r>(tile, sums) },)*
                    _ => unreachable!("a tile has at most 14 rows"),
                }
            };
        }
        if tile.halved {
            // SAFETY: by contract; the token proves that the CPU has AVX-512.
            return unsafe { halved::sums(tile, sums) };
        }
        heights!(2 3 4 5 6 7 8 9 10 11 12 13 14);
    }

    #[inline(always)]
    unsafe fn job(self, tile: &Tile) -> Self::Job {
        // SAFETY: by contract; the token proves that the CPU has AVX-512.
        unsafe { avx512::job(self.0, tile) }
    }

    #[inline(always)]
    unsafe fn finish(self, tile: &Tile, job: &Self::Job, sums: &Sums) {
        // SAFETY: by contract.
        unsafe { avx512::finish(self.0, tile, job, sums) };
    }

    #[inline(always)]
    fn whole(self, group: &[i8; HALVED_BYTES]) -> [i8; GROUP_BYTES] {
        // SAFETY: the token proves that the CPU has AVX-512; both types are 64 plain bytes.
        unsafe { transmute(halved::whole(group)) }
    }
}

/// The sums of a single row: four for each column at first, because one dot product takes as long as
/// eight that do not wait for each other.
///
/// # Safety
/// As [`Machine::sums`], and the CPU must have AVX-512 VNNI.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn single<const NP: usize>(tile: &Tile, sums: &mut Sums) {
    const PARTS: usize = 4;
    let mut acc = [[_mm512_setzero_si512(); NP]; PARTS];
    let mut b = tile.weights;
    // SAFETY: the caller promises that all these reads are in bounds, and the sums have room.
    unsafe {
        let step = |sum: __m512i, a: *const u8, b: *const i8| {
            let a = _mm512_set1_epi32(a.cast::<i32>().read_unaligned());
            _mm512_dpbusd_epi32(sum, a, _mm512_loadu_si512(b.cast()))
        };
        for run in tile.left.runs {
            b = b.wrapping_add(run.skip * GROUP_BYTES);
            let mut a = run.at.wrapping_add(tile.at);
            for _ in 0..run.groups / PARTS {
                for part in 0..PARTS {
                    for p in 0..NP {
                        let b = b.wrapping_add(part * GROUP_BYTES + p * tile.next);
                        acc[part][p] = step(acc[part][p], a.wrapping_add(part * GROUP), b);
                    }
                }
                a = a.wrapping_add(PARTS * GROUP);
                b = b.wrapping_add(PARTS * GROUP_BYTES);
            }
            for _ in 0..run.groups % PARTS {
                for p in 0..NP {
                    acc[0][p] = step(acc[0][p], a, b.wrapping_add(p * tile.next));
                }
                a = a.wrapping_add(GROUP);
                b = b.wrapping_add(GROUP_BYTES);
            }
        }
        for p in 0..NP {
            let mut sum = _mm512_loadu_si512(tile.start.0[p].as_ptr().cast());
            for part in acc {
                sum = _mm512_add_epi32(sum, part[p]);
            }
            _mm512_storeu_si512(sums.0[p * COLUMNS..].as_mut_ptr().cast(), sum);
        }
    }
}

/// Begins with the biases, of one or two panels, in all rows.
macro_rules! begin {
    ($(($r:literal $x:literal $at:literal))*) => {
        concat!($("vmovdqa64 ", $x, ", zmm28\n",)*)
    };
    ($(($r:literal $x:literal $y:literal $at:literal))*) => {
        concat!($(
            "vmovdqa64 ", $x, ", zmm28\n",
            "vmovdqa64 ", $y, ", zmm29\n",
        )*)
    };
}

/// Begins a run: its pointers, its length in fours and ones, and as many groups of weights skipped as
/// it says.
macro_rules! enter {
    () => {
        concat!(
            "cmp qword ptr [{runs} + 8], 0\n",
            "jz 7f\n",
            "2:\n",
            "mov {p}, qword ptr [{runs}]\n",
            "add {p}, {offset}\n",
            "lea {q}, [{p} + 8 * {l1}]\n",
            "add {q}, {l1}\n",
            "mov {n}, qword ptr [{runs} + 16]\n",
            "shl {n}, 6\n",
            "add {b}, {n}\n",
            "mov {n}, qword ptr [{runs} + 8]\n",
            "sub {n}, 4\n",
            "jb 4f\n",
            ".p2align 4\n",
            "3: # {l3} {l5} {l7}"
        )
    };
}

/// Ends four steps, and begins what is left of the run.
macro_rules! ones {
    () => {
        concat!(
            "add {p}, 16\n",
            "add {q}, 16\n",
            "add {b}, 256\n",
            "sub {n}, 4\n",
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
    () => {
        concat!(
            "add {p}, 4\n",
            "add {q}, 4\n",
            "add {b}, 64\n",
            "dec {n}\n",
            "jnz 5b\n",
            "6:\n",
            "add {runs}, 24\n",
            "cmp qword ptr [{runs} + 8], 0\n",
            "jnz 2b\n",
            "7:"
        )
    };
}

/// Group `$k` from the pointers on.
macro_rules! step {
    ($k:literal, $(($r:literal $x:literal $at:literal))*) => {
        concat!(
            "vmovdqu64 zmm28, zmmword ptr [{b} + 64 * ", $k, "]",
            $(
                "\nvpbroadcastd zmm30, dword ptr [", $at, " + 4 * ", $k, "]\n",
                "vpdpbusd ", $x, ", zmm30, zmm28",
            )*
        )
    };
    ($k:literal, $(($r:literal $x:literal $y:literal $at:literal))*) => {
        concat!(
            "vmovdqu64 zmm28, zmmword ptr [{b} + 64 * ", $k, "]\n",
            "vmovdqu64 zmm29, zmmword ptr [{b} + {next} + 64 * ", $k, "]",
            $(
                "\nvpbroadcastd zmm30, dword ptr [", $at, " + 4 * ", $k, "]\n",
                "vpdpbusd ", $x, ", zmm30, zmm28\n",
                "vpdpbusd ", $y, ", zmm30, zmm29",
            )*
        )
    };
}

/// Stores the sums.
macro_rules! end {
    ($(($r:literal $x:literal $at:literal))*) => {
        concat!($(
            "vmovdqu64 zmmword ptr [{sums} + 64 * ", $r, "], ", $x, "\n",
        )*)
    };
    ($(($r:literal $x:literal $y:literal $at:literal))*) => {
        concat!($(
            "vmovdqu64 zmmword ptr [{sums} + 128 * ", $r, "], ", $x, "\n",
            "vmovdqu64 zmmword ptr [{sums} + 128 * ", $r, " + 64], ", $y, "\n",
        )*)
    };
}

/// The whole of a tile: sums in registers 0 to 27, weights in 28 and 29, activations in 30.
macro_rules! tile {
    ($tile:ident, $sums:ident, [$($second:literal)?], $($row:tt)*) => {
        let lda = $tile.left.lda;
        // SAFETY: the caller promises that all these reads are in bounds, and the sums have room.
        unsafe {
            asm!(
                "vmovdqu64 zmm28, zmmword ptr [{n}]",
                $($second,)?
                begin!($($row)*),
                enter!(),
                step!("0", $($row)*),
                step!("1", $($row)*),
                step!("2", $($row)*),
                step!("3", $($row)*),
                ones!(),
                step!("0", $($row)*),
                leave!(),
                end!($($row)*),
                "/* {next} */",
                p = out(reg) _, q = out(reg) _,
                n = inout(reg) &raw const $tile.start => _,
                offset = in(reg) $tile.at,
                l1 = in(reg) lda, l3 = in(reg) 3 * lda, l5 = in(reg) 5 * lda, l7 = in(reg) 7 * lda,
                runs = inout(reg) $tile.left.runs.as_ptr() => _,
                b = inout(reg) $tile.weights => _, next = in(reg) $tile.next,
                sums = in(reg) $sums,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _,
                out("zmm5") _, out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _,
                out("zmm10") _, out("zmm11") _, out("zmm12") _, out("zmm13") _, out("zmm14") _,
                out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _,
                out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _,
                out("zmm30") _,
                options(nostack),
            );
        }
    };
}

/// A function for each number of rows, of which the constant `R` selects one.
macro_rules! each_height {
    ($tile:ident, $sums:ident, $second:tt, $R:ident, [$($done:tt)*]) => {};
    ($tile:ident, $sums:ident, $second:tt, $R:ident, [$($done:tt)*]
        ($r:literal $($parts:tt)*) $($rest:tt)*) => {
        if const { $R == $r + 1 } {
            #[target_feature(enable = "avx512f,avx512vnni")]
            #[inline]
            unsafe fn run(tile: &Tile, sums: *mut Sums) {
                tile!(tile, sums, $second, $($done)* ($r $($parts)*));
            }
            // SAFETY: the caller's promise.
            return unsafe { run($tile, $sums) };
        }
        each_height!($tile, $sums, $second, $R, [$($done)* ($r $($parts)*)] $($rest)*);
    };
}

/// The sums of `R` rows and two panels.
///
/// # Safety
/// As [`Machine::sums`], and the CPU must have AVX-512 VNNI.
unsafe fn wide<const R: usize>(tile: &Tile, sums: &mut Sums) {
    each_height!(tile, sums, ["vmovdqu64 zmm29, zmmword ptr [{n} + 64]"], R, []
        (0 "zmm0" "zmm1" "{p}") (1 "zmm2" "zmm3" "{p} + {l1}") (2 "zmm4" "zmm5" "{p} + 2 * {l1}")
        (3 "zmm6" "zmm7" "{p} + {l3}") (4 "zmm8" "zmm9" "{p} + 4 * {l1}")
        (5 "zmm10" "zmm11" "{p} + {l5}") (6 "zmm12" "zmm13" "{p} + 2 * {l3}")
        (7 "zmm14" "zmm15" "{p} + {l7}") (8 "zmm16" "zmm17" "{p} + 8 * {l1}")
        (9 "zmm18" "zmm19" "{q}") (10 "zmm20" "zmm21" "{q} + {l1}")
        (11 "zmm22" "zmm23" "{q} + 2 * {l1}") (12 "zmm24" "zmm25" "{q} + {l3}")
        (13 "zmm26" "zmm27" "{q} + 4 * {l1}"));
    unreachable!("a tile has at most 14 rows");
}

/// The sums of `R` rows and one panel.
///
/// # Safety
/// As [`wide`].
unsafe fn narrow<const R: usize>(tile: &Tile, sums: &mut Sums) {
    each_height!(tile, sums, [], R, []
        (0 "zmm0" "{p}") (1 "zmm1" "{p} + {l1}") (2 "zmm2" "{p} + 2 * {l1}")
        (3 "zmm3" "{p} + {l3}") (4 "zmm4" "{p} + 4 * {l1}") (5 "zmm5" "{p} + {l5}")
        (6 "zmm6" "{p} + 2 * {l3}") (7 "zmm7" "{p} + {l7}") (8 "zmm8" "{p} + 8 * {l1}")
        (9 "zmm9" "{q}") (10 "zmm10" "{q} + {l1}") (11 "zmm11" "{q} + 2 * {l1}")
        (12 "zmm12" "{q} + {l3}") (13 "zmm13" "{q} + 4 * {l1}"));
    unreachable!("a tile has at most 14 rows");
}

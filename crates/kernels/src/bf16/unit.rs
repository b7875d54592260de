//! Which instructions multiply bfloat16 numbers, decided once at run time.

use crate::{Isa, Level};
use std::sync::OnceLock;

/// What multiplies, and the instruction set of everything around it. Only [`Unit::of`] and
/// [`Unit::available`] make one, so holding it is the proof that its instructions exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    kind: Kind,
    isa: Isa,
}

/// The kinds of multipliers, in rising order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Float32 multiply-adds of rounded operands: what every CPU can do.
    Portable,
    /// `vdpbf16ps` of AVX512_BF16.
    Avx512Bf16,
    /// `tdpbf16ps` on the tile registers of AMX.
    Amx,
}

impl Unit {
    /// The best unit of this CPU that goes with `isa`, or the one that the environment variable
    /// `EDGECUT_BF16` names (`portable`, `avx512bf16`, `amx`) if there is such a one.
    pub fn of(isa: Isa) -> Unit {
        static FORCED: OnceLock<Option<Kind>> = OnceLock::new();
        let forced = *FORCED.get_or_init(|| {
            let name = std::env::var("EDGECUT_BF16").ok()?.to_ascii_lowercase();
            [Kind::Portable, Kind::Avx512Bf16, Kind::Amx].into_iter().find(|k| k.name() == name)
        });
        let best = if has(Kind::Amx, isa) {
            Kind::Amx
        } else if has(Kind::Avx512Bf16, isa) {
            Kind::Avx512Bf16
        } else {
            Kind::Portable
        };
        Unit { kind: forced.filter(|&kind| has(kind, isa)).unwrap_or(best), isa }
    }

    /// Every unit of this CPU: the portable one on each instruction set, then the others.
    pub fn available() -> Vec<Unit> {
        let kinds = [Kind::Portable, Kind::Avx512Bf16, Kind::Amx].into_iter();
        let all =
            kinds.flat_map(|kind| Isa::available().into_iter().map(move |isa| Unit { kind, isa }));
        all.filter(|unit| has(unit.kind, unit.isa)).collect()
    }

    /// What multiplies.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The instruction set of everything around it.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// Lower-case name, as `EDGECUT_BF16` takes it.
    pub fn name(self) -> &'static str {
        self.kind.name()
    }

    /// Whether the CPU multiplies bfloat16 itself. Otherwise only the weights get smaller.
    pub fn is_native(self) -> bool {
        self.kind != Kind::Portable
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Portable => "portable",
            Kind::Avx512Bf16 => "avx512bf16",
            Kind::Amx => "amx",
        }
    }
}

/// Whether the CPU has `kind`, and `isa` is the level that its kernels are compiled for.
fn has(kind: Kind, isa: Isa) -> bool {
    let wide = matches!(isa.level(), Level::Avx512 | Level::Avx512Vnni);
    match kind {
        Kind::Portable => true,
        Kind::Avx512Bf16 => wide && x86::has_dot(),
        Kind::Amx => wide && x86::has_dot() && x86::has_tiles(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    pub fn has_dot() -> bool {
        false
    }

    pub fn has_tiles() -> bool {
        false
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__cpuid_count, _xgetbv};
    use std::sync::OnceLock;

    pub fn has_dot() -> bool {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }

    /// AMX with bfloat16, in the form that the kernels configure, that the system saves, and that
    /// this process may use.
    pub fn has_tiles() -> bool {
        static TILES: OnceLock<bool> = OnceLock::new();
        *TILES.get_or_init(|| cpu_has_tiles() && system_saves_tiles() && permitted())
    }

    /// Leaf 7: AMX-BF16 (bit 22) and AMX-TILE (bit 24). Leaf 0x1D: palette 1 has 8 registers of 16
    /// rows of 64 bytes.
    fn cpu_has_tiles() -> bool {
        if __cpuid_count(0, 0).eax < 0x1d {
            return false;
        }
        let bits = 1 << 22 | 1 << 24;
        let palette = __cpuid_count(0x1d, 1);
        __cpuid_count(7, 0).edx & bits == bits
            && __cpuid_count(0x1d, 0).eax >= 1
            && palette.ebx == 8 << 16 | 64
            && palette.ecx & 0xffff == 16
    }

    /// Bits 17 and 18 of XCR0: the system saves the tile configuration and the tiles.
    fn system_saves_tiles() -> bool {
        #[target_feature(enable = "xsave")]
        fn saved() -> u64 {
            // SAFETY: register 0 exists wherever the instruction does.
            unsafe { _xgetbv(0) }
        }
        let (tiles, osxsave) = (3 << 17, 1 << 27);
        if __cpuid_count(1, 0).ecx & osxsave == 0 {
            return false;
        }
        // SAFETY: OSXSAVE says that the instruction may be used.
        unsafe { saved() & tiles == tiles }
    }

    /// Asks Linux for the 8 KiB of tiles per thread, for this process and all of its threads.
    #[cfg(target_os = "linux")]
    fn permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST_PERMISSION: i64 = 0x1023;
        const TILE_DATA: i64 = 18;
        let mut result = ARCH_PRCTL;
        // SAFETY: a system call that touches no memory of this process; the kernel overwrites rcx
        // and r11.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") result,
                in("rdi") REQUEST_PERMISSION,
                in("rsi") TILE_DATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn permitted() -> bool {
        false
    }
}

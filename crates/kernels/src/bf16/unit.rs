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
    use crate::tiles;

    pub fn has_dot() -> bool {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }

    pub fn has_tiles() -> bool {
        tiles::have(tiles::BF16)
    }
}

//! Which instruction set a kernel may use, decided once at run time.
//!
//! An [`Isa`] other than `Scalar` can only be obtained from [`Isa::detect`], [`Isa::available`] or
//! [`Isa::from_name`], all of which check the CPU: holding one is the proof that its instructions
//! exist, and the SAFETY lines of the dispatchers refer to it.

use std::sync::OnceLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa {
    level: Level,
    products: Option<Products>,
}

/// The vector instructions that kernels are compiled for, in rising order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Portable Rust: the twin that every other level is tested against.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL.
    Avx512,
    /// AVX-512 with the VNNI integer dot product.
    Avx512Vnni,
    /// AArch64 with Advanced SIMD.
    Neon,
}

/// Instructions beside those of a [`Level`] that multiply bytes and nothing else, in rising order of
/// preference. How weights are laid out does not depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Products {
    /// `tdpbusd` on the tile registers of AMX, beside AVX-512 VNNI.
    Amx,
    /// `sdot` of FEAT_DotProd, beside Advanced SIMD.
    Dot,
    /// `usmmla` of FEAT_I8MM, beside `sdot`.
    I8mm,
}

impl Level {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Neon => "neon",
        }
    }
}

impl Isa {
    /// The portable level, available everywhere.
    pub const SCALAR: Isa = Isa { level: Level::Scalar, products: None };

    /// The best of this CPU, or the one that the environment variable `EDGECUT_ISA` names (`scalar`,
    /// `avx2`, `avx512`, `avx512vnni`, `amx`, `neon`, `neondot`, `neoni8mm`) if the CPU has it. Read
    /// once.
    pub fn detect() -> Isa {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| {
            let forced = std::env::var("EDGECUT_ISA").ok();
            forced
                .and_then(|name| Isa::from_name(&name))
                .unwrap_or_else(|| *Isa::available().last().unwrap_or(&Isa::SCALAR))
        })
    }

    /// Every instruction set of this CPU, `Scalar` first.
    pub fn available() -> Vec<Isa> {
        let plain = |level| (level, None);
        let all = [
            plain(Level::Scalar),
            plain(Level::Avx2),
            plain(Level::Avx512),
            plain(Level::Avx512Vnni),
            (Level::Avx512Vnni, Some(Products::Amx)),
            plain(Level::Neon),
            (Level::Neon, Some(Products::Dot)),
            (Level::Neon, Some(Products::I8mm)),
        ];
        let has = |&(level, products): &(Level, Option<Products>)| {
            cpu_has(level) && products.is_none_or(cpu_multiplies)
        };
        all.into_iter().filter(has).map(|(level, products)| Isa { level, products }).collect()
    }

    /// The one called `name`, or `None` where this CPU lacks it or none is called so.
    pub fn from_name(name: &str) -> Option<Isa> {
        Isa::available().into_iter().find(|isa| isa.name() == name.to_ascii_lowercase())
    }

    /// The token of `level`.
    ///
    /// # Safety
    /// The CPU must have this level.
    pub(crate) unsafe fn assume(level: Level) -> Isa {
        Isa { level, products: None }
    }

    /// The vector instructions that this token stands for.
    pub fn level(self) -> Level {
        self.level
    }

    /// The instructions beside them that multiply bytes.
    pub fn products(self) -> Option<Products> {
        self.products
    }

    /// Whether the CPU has AVX-512 VBMI beside this level: permutations of bytes, which every CPU
    /// with these vectors but the first few has.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn permutes_bytes(self) -> bool {
        let vectors = matches!(self.level, Level::Avx512 | Level::Avx512Vnni);
        vectors && std::arch::is_x86_feature_detected!("avx512vbmi")
    }

    /// Whether a CPU that has this one has `other` too.
    pub fn includes(self, other: Isa) -> bool {
        let neon = |isa: Isa| isa.level == Level::Neon;
        other.level <= self.level
            && other.products <= self.products
            && (neon(self) == neon(other) || other.level == Level::Scalar)
    }

    /// Lower-case name, as `EDGECUT_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self.products {
            None => self.level.name(),
            Some(Products::Amx) => "amx",
            Some(Products::Dot) => "neondot",
            Some(Products::I8mm) => "neoni8mm",
        }
    }
}

impl Serialize for Isa {
    /// As the name of its level.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.level.name().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Isa {
    /// That level, with what this CPU has beside it if [`Isa::detect`] has the same. Fails where
    /// this CPU lacks the level.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Isa, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
        let best = Isa::detect();
        if best.level.name() == name {
            return Ok(best);
        }
        let missing = || D::Error::custom(format!("this CPU has no instruction set '{name}'"));
        Isa::from_name(name).ok_or_else(missing)
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_has(level: Level) -> bool {
    use std::arch::is_x86_feature_detected as has;
    let avx2 = has!("avx2") && has!("fma");
    let avx512 =
        avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    match level {
        Level::Scalar => true,
        Level::Avx2 => avx2,
        Level::Avx512 => avx512,
        Level::Avx512Vnni => avx512 && has!("avx512vnni"),
        Level::Neon => false,
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_multiplies(products: Products) -> bool {
    products == Products::Amx && crate::tiles::have(crate::tiles::INT8)
}

#[cfg(target_arch = "aarch64")]
fn cpu_multiplies(products: Products) -> bool {
    use std::arch::is_aarch64_feature_detected as has;
    match products {
        Products::Amx => false,
        Products::Dot => has!("dotprod"),
        Products::I8mm => has!("dotprod") && has!("i8mm"),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_multiplies(_: Products) -> bool {
    false
}

#[cfg(target_arch = "aarch64")]
fn cpu_has(level: Level) -> bool {
    match level {
        Level::Scalar => true,
        Level::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        Level::Avx2 | Level::Avx512 | Level::Avx512Vnni => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has(level: Level) -> bool {
    level == Level::Scalar
}

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
pub struct Isa(Level);

/// The instruction sets that kernels are compiled for, in rising order of preference.
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

impl Isa {
    /// The portable level, available everywhere.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// The best level of this CPU, or the one that the environment variable `EDGECUT_ISA` names
    /// (`scalar`, `avx2`, `avx512`, `avx512vnni`, `neon`) if the CPU has it. Read once.
    pub fn detect() -> Isa {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| {
            let forced = std::env::var("EDGECUT_ISA").ok();
            forced
                .and_then(|name| Isa::from_name(&name))
                .unwrap_or_else(|| *Isa::available().last().unwrap_or(&Isa::SCALAR))
        })
    }

    /// Every level of this CPU, `Scalar` first.
    pub fn available() -> Vec<Isa> {
        [Level::Scalar, Level::Avx2, Level::Avx512, Level::Avx512Vnni, Level::Neon]
            .into_iter()
            .filter(|&level| cpu_has(level))
            .map(Isa)
            .collect()
    }

    /// The level called `name`, or `None` where this CPU lacks it or no level is called so.
    pub fn from_name(name: &str) -> Option<Isa> {
        Isa::available().into_iter().find(|isa| isa.name() == name.to_ascii_lowercase())
    }

    /// The token of `level`.
    ///
    /// # Safety
    /// The CPU must have this level.
    pub(crate) unsafe fn assume(level: Level) -> Isa {
        Isa(level)
    }

    /// The level that this token stands for.
    pub fn level(self) -> Level {
        self.0
    }

    /// Whether a CPU that has this level has `other` too.
    pub fn includes(self, other: Isa) -> bool {
        let neon = |isa: Isa| isa.0 == Level::Neon;
        other.0 <= self.0 && (neon(self) == neon(other) || other.0 == Level::Scalar)
    }

    /// Lower-case name, as `EDGECUT_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Neon => "neon",
        }
    }
}

impl Serialize for Isa {
    /// As its name.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Isa {
    /// Fails where this CPU lacks it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Isa, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
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

//! `--precision`: what float models compute in.

use std::sync::Arc;

use clap::ValueEnum;
use edgecut_kernels::Isa;
use edgecut_kernels::bf16::{Kind, Unit};
use edgecut_runtime::{CompileOptions, Precision, Tuner};

use crate::cli::Global;
use crate::progress::say;

/// The option.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Compute {
    /// What float convolutions and products compute in. bf16 rounds weights and inputs to 8
    /// significant bits, adds in float32, and halves the weights; depthwise and first convolutions
    /// stay float32
    #[arg(long, value_enum, value_name = "P", default_value = "f32")]
    precision: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Float32
    F32,
    /// Bfloat16, with AMX or AVX512_BF16 where the CPU has them
    Bf16,
}

impl Compute {
    /// Whether bfloat16 was asked for.
    pub fn is_bf16(self) -> bool {
        self.precision == Name::Bf16
    }

    /// What models are compiled with, on this machine.
    pub fn options(self, global: &Global, tuner: Option<Arc<Tuner>>) -> CompileOptions {
        let precision = self.precision(global);
        CompileOptions { precision, tuner, ..CompileOptions::default() }
    }

    /// The precision; says so where the CPU computes no faster in it.
    pub fn precision(self, global: &Global) -> Precision {
        if self.precision == Name::F32 {
            return Precision::F32;
        }
        match Unit::of(Isa::detect()).kind() {
            Kind::Portable => say(
                global,
                "this CPU has no bfloat16 unit: float32 instructions compute the same, only the \
                 weights get smaller; --precision f32 is faster",
            ),
            Kind::Avx512Bf16 => say(
                global,
                "this CPU multiplies bfloat16 in vectors (AVX512_BF16), but has no tiles (AMX): the \
                 weights get smaller; --precision f32 is usually faster",
            ),
            Kind::Amx => {}
        }
        Precision::Bf16
    }
}

/// Says so where this CPU trains no faster in bfloat16.
pub fn say_of_training(global: &Global) {
    if Unit::of(Isa::detect()).kind() != Kind::Amx {
        say(
            global,
            "this CPU has no bfloat16 tiles (AMX): training computes with rounded operands, but is \
             slower than with --precision f32",
        );
    }
}

//! Kernels for convolutional networks and the thread pool that runs them.
//!
//! Everything here works on plain slices in NHWC order: an activation tensor is a row-major matrix
//! `[n*h*w, c]`, so a pointwise convolution is a GEMM, a depthwise one vectorises over channels,
//! and no kernel needs an edge case for a channel tail that another does not have.
//!
//! **Same bits everywhere.** Vectors run over output channels, each lane accumulates one output
//! with fused multiply-add in ascending order of K. FMA is correctly rounded, so every instruction
//! set gives the bits of the scalar twin. Reductions over pixels use chunks of fixed size, summed
//! in order: the number of threads cannot change a bit either.

pub mod arena;
pub mod batch_norm;
pub mod bf16;
pub mod blob;
pub mod column_sums;
pub mod conv;
pub mod counting;
pub mod depthwise;
pub mod elementwise;
pub mod fused;
pub mod gemm;
pub mod layer_norm;
pub mod layout;
pub mod matmul;
pub mod pool2d;
pub mod quant;
pub mod reduce;
pub mod resample;
pub mod roofline;
pub mod softmax;
pub mod sparse;

mod cpu;
mod ctx;
mod epilogue;
mod exp;
mod input_rows;
mod isa;
mod pool;
mod simd;
#[cfg(test)]
mod testing;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use blob::Blob;
pub use conv::ConvShape;
pub use cpu::cpu_name;
pub use ctx::Ctx;
pub use epilogue::{Activation, Epilogue};
pub use isa::{Isa, Level, Products};
pub use pool::Pool;

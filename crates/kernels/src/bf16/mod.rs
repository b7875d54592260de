//! Convolutions and products in bfloat16: the upper half of float32, 8 significant bits.
//!
//! Weights are packed as bfloat16, which halves what a layer streams from memory. Activations stay
//! float32 between layers; a kernel rounds the input pixels of a block of outputs into a small
//! buffer in the first-level cache, multiplies there, adds in float32, and finishes the sums as the
//! float kernels do. So one layer at a time can be bfloat16, and the error of a network is that of
//! its rounded operands.
//!
//! The [`Unit`] says what multiplies. All take the same packed weights and round alike; they differ
//! in the order of the sums, the input channels of a tap being in blocks of 32:
//!
//! - `amx`: bias, then for each tap and block the sum of 16 even products plus the sum of 16 odd
//!   ones, each a chain of fused multiply-adds that begins at 0;
//! - `avx512bf16` and `portable`: bias, then one chain of fused multiply-adds over all pairs, the
//!   odd product of a pair first.
//!
//! The order is the shape's alone, so threads and instruction sets do not change a bit; another
//! kind of unit changes the last bits. CPUs flush sums below the normal range to zero in these
//! instructions; the portable unit does not.
//!
//! Training has the same products: the input gradient is a convolution, and the weight gradient, a sum
//! over pixels, has a kernel for AMX ([`conv_backward_weight`]); other units add rounded operands in
//! float32.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_gradient;
mod conv;
mod dot;
mod image;
mod machine;
#[cfg(target_arch = "x86_64")]
mod native;
mod product;
mod round;
mod unit;
mod weight_grad;
mod weights;

pub use conv::{conv_row, fits, scratch_len};
pub use image::{
    conv, conv_backward_input, conv_backward_input_scratch_len, conv_scratch_len, trains,
};
pub use product::{product, product_scratch_len};
pub use unit::{Kind, Unit};
pub use weight_grad::{conv_backward_weight, conv_backward_weight_scratch_len};
pub use weights::Weights;

#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod tests;

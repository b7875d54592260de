//! 8-bit integer kernels: u8 activations, s8 weights, i32 sums.
//!
//! A real number `r` is stored as `q` with `r = (q - zero_point) * scale` (ONNX QuantizeLinear).
//! Activations are affine u8 with one scale a tensor, weights are symmetric s8 with one scale an
//! output channel. Then
//!
//! ```text
//! sum_k (x_k - zx) w_k = sum_k x_k w_k - zx * sum_k w_k
//! ```
//!
//! so the zero point of the input costs one constant a channel, folded into the bias, and the
//! inner loop multiplies the stored bytes. Products of u8 and s8 are summed in i32 without any
//! 16-bit step that could saturate (`vpmaddubsw` does), so every instruction set computes the same
//! integers. Sums wrap modulo 2^32 like the hardware's, which is exact wherever the true result
//! fits into an i32: always below [`MAX_K`] products.
//!
//! Padding is the byte that stands for 0.0, the zero point: it contributes exactly nothing.

mod affine;
mod conv;
mod depthwise;
mod dot;
mod elementwise;
mod fake;
mod finish;
mod gemm;
mod lookup;
mod pack;
mod peak;
mod pool2d;
mod product;
mod quads;
mod requant;
mod scale;
mod weights;

pub use affine::{Affine, dequantize, quantize, quantize_planes};
pub use conv::{conv, conv_row};
pub use depthwise::{DepthwiseWeights, depthwise, depthwise_rows};
pub use elementwise::{Meaning, Numbers, binary, binary_row};
pub use fake::{Steps, fake_quantize, fake_quantize_backward, fake_quantize_scratch_len};
pub use finish::{Finish, Residual};
pub use gemm::{Output, gemm, gemm_rows};
pub use lookup::{lookup, lookup_row, lookup_table};
pub use pack::PackedWeights;
pub(crate) use peak::multiply_add;
pub use pool2d::{
    Mean, average_pool, average_pool_row, global_average, global_average_pool,
    global_average_pool_strided, max_pool, max_pool_row,
};
pub use requant::{Dequant, Requant};
pub use scale::{Scale, scale_channels};
pub use weights::ConvWeights;

/// Products of a u8 and an s8 whose sum cannot leave the range of i32, bias aside:
/// 2^31 / (255 * 128) = 65,793.
pub const MAX_K: usize = 65_793;

#[cfg(test)]
mod tests;

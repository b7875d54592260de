//! Pointwise convolutions with weights that are mostly zero: only the others are stored and multiplied.
//!
//! Weights that are zero stand anywhere, so a vector of outputs, as dense kernels have it, would hardly
//! ever skip a step. Here vectors hold pixels (Elsen et al. 2019, arXiv:1911.09723): per weight one
//! broadcast, and for each vector of pixels a load of the input channel and a multiply-add. Activations
//! are channels-last, so 16 by 16 floats at a time are transposed on the way in, a block of up to 64
//! channels of up to 128 pixels into the first-level cache, and back on the way out.
//!
//! **What it costs.** V vectors of pixels and one weight take V loads and V multiply-adds, beside a
//! broadcast; dense tiles have 16 loads to 28 multiply-adds. A core that does two of each per cycle
//! does less of both together: with a loaded operand for each, some two thirds of the multiply-adds
//! that registers alone would allow. With what counts, begins and ends a chain of sums, a weight costs
//! about a cycle per vector against 0.6 of the dense tile (see `cost`), so half of the weights must go
//! before anything is gained. Where four neighbouring outputs have their weights in the same input
//! channels (pruning in blocks), they share the loads, and zeros pay earlier.
//! 2:4 patterns are no better than others of their density: choosing two of four inputs by lane takes
//! as many shuffles as it saves multiply-adds, on the same ports.
//!
//! **Bits.** Sums are chains of fused multiply-adds in ascending order of input channels that begin at
//! the bias, as in the dense product, with the zeros left out; between blocks they wait in memory, in
//! float32 as in the register. So the result is that of the dense product to the bit for finite inputs,
//! but for the sign of a zero, on every instruction set and number of threads. A weight that is zero
//! adds nothing, even where it meets an infinity.

mod cost;
mod product;
mod weights;

pub use cost::pays;
pub use product::{product, product_scratch_len, rows, scratch_len};
pub use weights::Weights;

#[cfg(test)]
mod tests;

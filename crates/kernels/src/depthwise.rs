//! Depthwise convolution, one filter per channel, forward and both gradients.
//!
//! Vectors run over channels, which lie next to each other. The arithmetic is thin (9
//! multiply-adds per element for 3x3), so loads decide: one pixel at a time needs an input and a
//! weight per multiply-add. Here a block of 16 channels slides along the rows of the input with all
//! its weights and the sums that are open in registers, two rows of output at once: 4 loads for 18
//! multiply-adds with 3x3 and stride 1. Padding is never materialised: taps that fall outside are
//! left out, which also keeps the order of the sum the same on every path.
//!
//! The input gradient of a stride-1 convolution is a stride-1 convolution with the taps in reverse
//! order, so it runs on the same code; larger strides gather the few taps that hit each input.

mod columns;
mod forward;
mod input_grad;
mod rows;
mod weight_grad;
mod weights;

pub use forward::depthwise;
pub use input_grad::depthwise_backward_input;
pub use rows::depthwise_rows;
pub use weight_grad::{depthwise_backward_weight, depthwise_backward_weight_scratch_len};
pub use weights::DepthwiseWeights;

#[cfg(test)]
mod tests;

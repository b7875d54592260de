//! Depthwise convolution, one filter per channel, forward and both gradients.
//!
//! Vectors run over channels, which lie next to each other. The arithmetic is thin (9
//! multiply-adds per element for 3x3), so loads decide: one pixel at a time needs an input and a
//! weight per multiply-add. Here 8 neighbouring outputs are summed together; for stride 1 a kernel
//! row then takes 10 input and 3 weight vectors for 24 multiply-adds, 0.54 loads each (0.83 for
//! stride 2). Padding is never materialised: taps that fall outside are left out, which also keeps
//! the order of the sum the same on every path.
//!
//! The input gradient of a stride-1 convolution is a stride-1 convolution with the taps in reverse
//! order, so it runs on the same code; larger strides gather the few taps that hit each input.

mod forward;
mod weight_grad;

pub use forward::{depthwise, depthwise_backward_input};
pub use weight_grad::{depthwise_backward_weight, depthwise_backward_weight_scratch_len};

#[cfg(test)]
mod tests;

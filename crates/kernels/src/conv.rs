//! Convolutions as matrix products, forward and all gradients.
//!
//! A 1x1 convolution with stride 1 is a product as it stands. Any other one runs row by row on the
//! register tile of products, which reads the inputs of each output pixel where they are
//! ([`conv_row`]). Where the weights are too large to be read once per row, blocks of rows pass them
//! panel by panel; a block is a copy of the input with its padding written out.
//!
//! The input gradient of a stride-1 convolution is a convolution of the output gradient with the
//! kernel turned round, so it takes the same path. Larger strides multiply first and add the rows
//! back (col2im), image by image, so that no two threads add to the same place.

mod blocks;
mod im2col;
mod input_grad;
mod rows;
mod runs;
mod shape;
mod weight_grad;
mod weights;

pub use blocks::{conv, conv_scratch_len};
pub(crate) use im2col::{col2im, im2col};
pub use input_grad::{conv_backward_input, conv_backward_input_scratch_len};
pub use rows::{conv_row, planar_conv_row};
pub(crate) use runs::ChannelRuns;
pub(crate) use shape::Taps;
pub use shape::{ConvShape, output_len};
pub use weight_grad::{conv_backward_weight, conv_backward_weight_scratch_len};
pub use weights::ConvWeights;

#[cfg(test)]
mod tests;

//! 8-bit depthwise convolution, one filter a channel.
//!
//! Vectors run over channels, which lie side by side. Four rows of the input are transposed column
//! by column, so that each lane of a dot product holds four neighbouring bytes of a column of its
//! channel: a 3x3 window is three products, and as four rows give two rows of output with stride 1,
//! the transposition is shared by six.
//!
//! Padding is never materialised: taps that fall outside read the zero point, so every output is the
//! same sum over all taps and the folded bias is right for all of them.

mod columns;
mod finish;
mod forward;
mod plain;
mod plan;
mod rows;
mod weights;

pub use forward::depthwise;
pub use rows::depthwise_rows;
pub use weights::DepthwiseWeights;

#[cfg(test)]
mod tests;

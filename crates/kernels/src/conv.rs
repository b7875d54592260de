//! Convolutions as matrix products.

mod shape;

pub(crate) use shape::Taps;
pub use shape::{ConvShape, output_len};

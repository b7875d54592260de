//! When sparse weights are worth it.

use super::weights::{BLOCK, Counts};
use crate::simd::LANES;

/// Cycles per vector of 16 pixels, with 512-bit vectors, as fitted to products of all shapes of
/// lightweight networks: of a weight in the dense product,
const PER_WEIGHT: f64 = 0.6;
/// of a weight that stands alone,
const PER_PLACE: f64 = 0.95;
/// of four weights that share a place,
const PER_SHARED: f64 = 3.0;
/// of an output in each block of input channels, whose sums come and go,
const PER_OUTPUT: f64 = 6.0;
/// and of a channel that is transposed.
const PER_CHANNEL: f64 = 4.0;

/// What the sparse product must save to be chosen: more than the model is wrong by.
const MARGIN: f64 = 0.9;

/// Whether the product of `m` pixels and the row-major `matrix[k, n]` is faster without its zeros. Only
/// counts decide, so it is the same everywhere.
pub fn pays(m: usize, k: usize, n: usize, matrix: &[f32]) -> bool {
    let counts = Counts::of(k, n, matrix);
    let pixels = m.next_multiple_of(LANES) as f64;
    let dense = m as f64 * PER_WEIGHT * (k * n.next_multiple_of(LANES)) as f64;
    let places = match counts.group() {
        1 => PER_PLACE * counts.single as f64,
        _ => PER_SHARED * counts.shared as f64,
    };
    let around = PER_OUTPUT * (n * k.div_ceil(BLOCK)) as f64 + PER_CHANNEL * (k + n) as f64;
    pixels * (places + around) < MARGIN * dense
}

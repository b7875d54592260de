//! From coefficients to samples: the inverse discrete cosine transform of libjpeg's `jidctint.c`
//! (Loeffler, Ligtenberg and Moschytz 1989), with 13 bits for its constants and 2 more bits between
//! its passes.

use super::{Component, Plane};

const CONSTANT_BITS: u32 = 13;
const PASS_BITS: u32 = 2;

/// The constants times 2^13, named by their value.
const F0_298: i32 = 2446;
const F0_390: i32 = 3196;
const F0_541: i32 = 4433;
const F0_765: i32 = 6270;
const F0_899: i32 = 7373;
const F1_175: i32 = 9633;
const F1_501: i32 = 12299;
const F1_847: i32 = 15137;
const F1_961: i32 = 16069;
const F2_053: i32 = 16819;
const F2_562: i32 = 20995;
const F3_072: i32 = 25172;

/// All samples of a component.
pub(super) fn plane(component: &Component) -> Plane {
    let [across, down] = component.blocks;
    let stride = across * 8;
    let mut samples = vec![0; stride * down * 8];
    let steps = component.steps.unwrap_or([1; 64]);
    for (index, block) in component.coefficients.chunks_exact(64).enumerate() {
        let corner = index / across * 8 * stride + index % across * 8;
        let values = inverse(block, &steps);
        for (y, row) in values.chunks_exact(8).enumerate() {
            samples[corner + y * stride..][..8].copy_from_slice(row);
        }
    }
    Plane { samples, stride, size: component.size }
}

fn inverse(block: &[i16], steps: &[u16; 64]) -> [u8; 64] {
    let mut between = [0i32; 64];
    for x in 0..8 {
        let column = std::array::from_fn(|y| {
            i32::from(block[y * 8 + x]).wrapping_mul(i32::from(steps[y * 8 + x]))
        });
        for (y, value) in pass(column, CONSTANT_BITS - PASS_BITS).into_iter().enumerate() {
            between[y * 8 + x] = value;
        }
    }
    let mut samples = [0; 64];
    for (row, out) in between.chunks_exact(8).zip(samples.chunks_exact_mut(8)) {
        let row = std::array::from_fn(|x| row[x]);
        let values = pass(row, CONSTANT_BITS + PASS_BITS + 3);
        for (sample, value) in out.iter_mut().zip(values) {
            *sample = value.saturating_add(128).clamp(0, 255) as u8;
        }
    }
    samples
}

/// One dimension, rounded to `shift` bits fewer. Sums wrap: a hostile file may hold any numbers.
fn pass(v: [i32; 8], shift: u32) -> [i32; 8] {
    use std::num::Wrapping as W;
    let [v0, v1, v2, v3, v4, v5, v6, v7] = v.map(W);
    let f = |value: W<i32>, factor: i32| value * W(factor);
    // Even part.
    let z = f(v2 + v6, F0_541);
    let (t2, t3) = (z - f(v6, F1_847), z + f(v2, F0_765));
    let (t0, t1) = ((v0 + v4) << 13, (v0 - v4) << 13);
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    // Odd part.
    let z5 = f(v7 + v3 + v5 + v1, F1_175);
    let (z1, z2) = (f(v7 + v1, -F0_899), f(v5 + v3, -F2_562));
    let (z3, z4) = (z5 - f(v7 + v3, F1_961), z5 - f(v5 + v1, F0_390));
    let odd = [
        f(v1, F1_501) + z1 + z4,
        f(v3, F3_072) + z2 + z3,
        f(v5, F2_053) + z2 + z4,
        f(v7, F0_298) + z1 + z3,
    ];
    let half = W(1 << (shift - 1));
    let rounded = |sum: W<i32>| (sum + half).0 >> shift;
    std::array::from_fn(|i| match i {
        0..4 => rounded(even[i] + odd[i]),
        _ => rounded(even[7 - i] - odd[7 - i]),
    })
}

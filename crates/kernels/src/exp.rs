//! The exponential and logarithm of this crate, the same bits on every machine.
//!
//! The C library's versions differ between platforms and do not vectorise. `exp` reduces x to
//! n ln 2 + r with |r| <= ln 2 / 2 (ln 2 in two parts, Cody and Waite), evaluates the polynomial of
//! Cephes `expf` in r with fused multiply-add and scales by 2^n in two steps, so that results below
//! the normal range round once. Its error is below 2 units in the last place.

use crate::simd::Simd;

/// 1.5 * 2^23: adding it leaves the nearest integer in the low bits.
pub(crate) const ROUND: f32 = 12_582_912.0;
/// 9 significant bits, so that n * LN2_HIGH is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
const POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// e^x; infinity above 88.73, 0 below -104, NaN for NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (shifted, rest) = parts(x);
    let [first, second] = powers_of_two(shifted);
    (rest + 1.0) * first * second
}

/// [`exp`] of every lane.
#[inline(always)]
pub(crate) fn exp_lanes<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let shifted = s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(shifted, s.splat(ROUND));
    let r = s.fma(n, s.splat(-LN2_LOW), s.fma(n, s.splat(-LN2_HIGH), x));
    let mut p = s.splat(POLYNOMIAL[0]);
    for &coefficient in &POLYNOMIAL[1..] {
        p = s.fma(r, p, s.splat(coefficient));
    }
    let rest = s.fma(s.mul(r, r), p, r);
    let [first, second] = s.powers_of_two(shifted);
    s.mul(s.mul(s.add(rest, s.splat(1.0)), first), second)
}

/// 2^half and 2^(n - half), half = n / 2 rounded down, of the number n for which `shifted` is
/// n + [`ROUND`].
#[inline(always)]
pub(crate) fn powers_of_two(shifted: f32) -> [f32; 2] {
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    [power_of_two(half), power_of_two(n.wrapping_sub(half))]
}

/// e^x - 1 for x up to 0, without the cancellation near 0.
#[inline(always)]
pub(crate) fn exp_minus_one(x: f32) -> f32 {
    // e^-80 vanishes beside 1, and keeps 2^n in the normal range.
    let (shifted, rest) = parts(if x < -80.0 { -80.0 } else { x });
    let power = power_of_two(shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32);
    power.mul_add(rest, power - 1.0)
}

/// The number n, plus [`ROUND`], and the rest r for which e^x = 2^n (1 + r), with r in -0.3..0.42.
#[inline(always)]
fn parts(x: f32) -> (f32, f32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = r.mul_add(p, *coefficient);
    }
    (shifted, (r * r).mul_add(p, r))
}

/// 2^n for n in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// Natural logarithm of a positive, finite, normal number, from `ln(m) = 2 artanh((m - 1)/(m + 1))`
/// with m in sqrt(1/2)..sqrt(2): only basic arithmetic, error below 1e-12.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s; // at most 0.0295: 8 terms leave 0.0295^8 / 17
    let series = (0..8).rev().fold(0.0, |sum, i| sum * square + 1.0 / f64::from(2 * i + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut worst = 0.0f64;
        for i in -870_000..887_000 {
            let x = i as f32 / 10_000.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            worst = worst.max(((got - want) / want).abs());
        }
        assert!(worst < 2.0 * 2f64.powi(-24), "relative error {worst:e}");
    }

    #[test]
    fn exp_handles_the_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert!(exp(88.7).is_finite());
        assert!(exp(f32::NAN).is_nan());
        let tiny = exp(-100.0);
        assert!((f64::from(tiny) - (-100f64).exp()).abs() < 1.5e-45);
    }

    #[test]
    fn exp_minus_one_keeps_small_numbers() {
        for i in 0..1_000_000 {
            let x = -1.0001f32.powi(i % 1000) * i as f32 * 1e-4;
            let (got, want) = (f64::from(exp_minus_one(x)), f64::from(x).exp_m1());
            assert!((got - want).abs() <= 2.0 * 2f64.powi(-24) * want.abs(), "{x}: {got} {want}");
        }
        assert_eq!(exp_minus_one(f32::NEG_INFINITY), -1.0);
        assert!(exp_minus_one(f32::NAN).is_nan());
    }

    #[test]
    fn ln_agrees_with_the_library() {
        for i in 1..100_000 {
            for x in [f64::from(i) * 0.01, 1.0 / f64::from(i), 1.0 + 1e-6 * f64::from(i)] {
                let error = (ln(x) - x.ln()).abs();
                assert!(error < 1e-12 * (1.0 + x.ln().abs()), "ln({x}): error {error:e}");
            }
        }
    }
}

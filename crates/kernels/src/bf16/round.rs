//! Rounding to bfloat16: the upper half of a float, to nearest, ties to even, as `vcvtne2ps2bf16`
//! does. Numbers below the normal range become zero, NaN stays NaN.

/// The nearest bfloat16.
#[inline(always)]
pub(super) fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let exponent = bits & 0x7f80_0000;
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let quiet = bits >> 16 | 0x40;
    let zero = bits >> 16 & 0x8000;
    let special = if x.is_nan() { quiet } else { nearest };
    (if exponent == 0 { zero } else { special }) as u16
}

/// The nearest bfloat16, as a float.
#[inline(always)]
pub(super) fn nearest(x: f32) -> f32 {
    f32::from_bits(u32::from(round(x)) << 16)
}

/// Two neighbours in a word, the first in the low half.
#[inline(always)]
pub(super) fn pair(first: f32, second: f32) -> u32 {
    u32::from(round(first)) | u32::from(round(second)) << 16
}

/// The two numbers of a word.
#[inline(always)]
pub(super) fn unpair(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_and_flushes() {
        let rounded = |x: f32| f32::from_bits(u32::from(round(x)) << 16);
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (1e-40, 0.0),
            (f32::MIN_POSITIVE, f32::MIN_POSITIVE),
        ] {
            assert_eq!(rounded(x), want, "{x}");
            assert_eq!(rounded(-x), -want, "-{x}");
        }
        assert!(rounded(-1e-40).is_sign_negative());
        assert!(rounded(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(unpair(pair(2.0, -3.0)), [2.0, -3.0]);
    }
}

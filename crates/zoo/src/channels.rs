//! Channel counts under a width multiplier.

/// The multiple of `divisor` nearest to `value`, at least `divisor`, and never more than 10 %
/// below `value`: the rounding of the MobileNet reference code, which keeps channel counts
/// friendly to vector units.
pub fn make_divisible(value: f64, divisor: usize) -> usize {
    let rounded = (value + divisor as f64 / 2.0) as usize / divisor * divisor;
    let rounded = rounded.max(divisor);
    if (rounded as f64) < 0.9 * value { rounded + divisor } else { rounded }
}

/// `channels * width`, rounded by [`make_divisible`] to multiples of 8. The product is formed
/// from the decimal number that the caller wrote: 0.35 means 0.35, not its nearest float32.
pub(crate) fn scale(channels: usize, width: f32) -> usize {
    make_divisible(channels as f64 * decimal(width), 8)
}

/// `width` to six decimals.
pub(crate) fn decimal(width: f32) -> f64 {
    (f64::from(width) * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of torchvision's `_make_divisible`.
    #[test]
    fn agrees_with_the_reference() {
        for (value, expected) in [
            (32.0, 32),
            (11.2, 16),
            (5.6, 8),
            (8.4, 8),
            (33.6, 32),
            (1.0, 8),
            (44.8, 48),
            (12.0, 16),
        ] {
            assert_eq!(make_divisible(value, 8), expected, "{value}");
        }
    }

    #[test]
    fn never_loses_more_than_a_tenth() {
        for tenth in 1..20_000 {
            let value = f64::from(tenth) / 10.0;
            let rounded = make_divisible(value, 8);
            assert!(rounded.is_multiple_of(8) && rounded as f64 >= 0.9 * value, "{value}");
        }
    }
}

//! RandAugment (Cubuk et al. 2020, arXiv:1909.13719): some of 14 variations, all of one strength.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::Image;
use super::colour::{equalise, jitter, map, saturate, sharpen, stretch};
use super::geometry::affine;

/// How many variations, and how strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// Variations in a row.
    pub count: usize,
    /// Strength, 0 to [`RandAugment::STRONGEST`].
    pub magnitude: usize,
}

impl RandAugment {
    /// The largest magnitude.
    pub const STRONGEST: usize = 30;

    /// Varies a picture in place. `spare` is a buffer to reuse.
    pub(super) fn apply(self, image: &mut Image, spare: &mut Vec<u8>, rng: &mut Rng) {
        let strength = self.magnitude as f32 / RandAugment::STRONGEST as f32;
        for _ in 0..self.count {
            let kind = KINDS[rng.below(KINDS.len())];
            let sign = if rng.below(2) == 1 { -1.0 } else { 1.0 };
            kind.apply(image, strength, sign, spare);
        }
    }
}

/// The variations of the paper, in its ranges.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Colour,
    Contrast,
    Sharpness,
    Posterise,
    Solarise,
    Stretch,
    Equalise,
}

const KINDS: [Kind; 14] = [
    Kind::Identity,
    Kind::ShearX,
    Kind::ShearY,
    Kind::TranslateX,
    Kind::TranslateY,
    Kind::Rotate,
    Kind::Brightness,
    Kind::Colour,
    Kind::Contrast,
    Kind::Sharpness,
    Kind::Posterise,
    Kind::Solarise,
    Kind::Stretch,
    Kind::Equalise,
];

impl Kind {
    /// `strength` is 0 to 1, `sign` 1 or -1.
    fn apply(self, image: &mut Image, strength: f32, sign: f32, spare: &mut Vec<u8>) {
        let signed = sign * strength;
        let factor = 1.0 + 0.9 * signed;
        // Pixels, of a range that is 150 of 331 in the paper.
        let shift = |side: usize| (signed * side as f32 * 150.0 / 331.0).trunc();
        match self {
            Kind::Identity => {}
            Kind::ShearX => affine(image, [1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0], spare),
            Kind::ShearY => affine(image, [1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0], spare),
            Kind::TranslateX => {
                affine(image, [1.0, 0.0, 0.0, 0.0, 1.0, shift(image.w)], spare);
            }
            Kind::TranslateY => {
                affine(image, [1.0, 0.0, shift(image.h), 0.0, 1.0, 0.0], spare);
            }
            Kind::Rotate => {
                let angle = f64::from(signed) * 30.0f64.to_radians();
                let (sin, cos) = (libm::sin(angle) as f32, libm::cos(angle) as f32);
                affine(image, [cos, sin, 0.0, -sin, cos, 0.0], spare);
            }
            Kind::Brightness => jitter(image, factor, 1.0),
            Kind::Contrast => jitter(image, 1.0, factor),
            Kind::Colour => saturate(image, factor),
            Kind::Sharpness => sharpen(image, factor, spare),
            Kind::Posterise => {
                let lost = (4.0 * strength).round() as u32;
                map(image, |v| v >> lost << lost);
            }
            Kind::Solarise => {
                let from = 255.0 * (1.0 - strength);
                map(image, |v| if f32::from(v) >= from { 255 - v } else { v });
            }
            Kind::Stretch => stretch(image),
            Kind::Equalise => equalise(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_strength_only_the_range_changes() {
        let image = Image { h: 6, w: 5, c: 3, pixels: (0..90).map(|i| i * 2 + 20).collect() };
        for kind in KINDS {
            let mut own = image.clone();
            kind.apply(&mut own, 0.0, 1.0, &mut vec![]);
            // 30 pixels are too few for a flat histogram.
            assert_eq!(own != image, matches!(kind, Kind::Stretch), "{kind:?}");
            for (strength, sign) in [(1.0, 1.0), (1.0, -1.0), (0.5, 1.0)] {
                let mut own = image.clone();
                kind.apply(&mut own, strength, sign, &mut vec![]);
                assert_eq!(own.pixels.len(), image.pixels.len(), "{kind:?}");
            }
        }
    }
}

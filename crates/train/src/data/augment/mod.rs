//! Random variations of training pictures, on `u8` at the input's size.
//!
//! The generator is keyed by (seed, epoch, sample), so a picture's variation depends neither on the
//! thread that makes it nor on the batch that it falls into, and a resumed run repeats it.

mod colour;
mod crop;
mod erase;
mod geometry;
mod rand_augment;

use super::resize::Window;
use super::{DataError, Image, Result};
use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

pub use rand_augment::RandAugment;

/// Keeps augmentation's generators apart from shuffling's under the same seed.
const STREAM: u64 = 0x6175_676d_656e_7400;

/// What to vary. The default varies nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Smallest share of a picture's area that is cut out and resized to the input's size, instead of
    /// the whole picture (random resized crop, as torchvision's; 0 is off).
    pub resized_crop: f32,
    /// Random crop: shift by up to this many pixels in both directions; uncovered pixels are black.
    pub crop_padding: usize,
    /// Mirror left to right every second picture on average.
    pub flip: bool,
    /// Brightness and contrast each vary by up to this fraction (0 to 1; 0 is off).
    pub jitter: f32,
    /// Side of a square, centred anywhere, that is replaced by the picture's mean colour (0 is off;
    /// DeVries and Taylor 2017, arXiv:1708.04552).
    pub cutout: usize,
    /// Probability that a random rectangle is replaced by the mean colour (random erasing).
    pub erase: f32,
    /// Random variations of place, colour and contrast, if any.
    pub rand_augment: Option<RandAugment>,
}

impl Augment {
    /// Shift by up to `crop_padding` pixels and mirror: the usual recipe of CIFAR and Fashion-MNIST.
    pub fn crop_and_flip(crop_padding: usize) -> Augment {
        Augment { crop_padding, flip: true, ..Augment::default() }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// A jitter or probability outside 0..=1, a padding or cutout larger than any picture, a
    /// RandAugment beyond 16 variations or its largest magnitude.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(DataError::invalid(
                "augment.jitter",
                format!("{}; allowed is 0 to 1", self.jitter),
            ));
        }
        if !(0.0..=1.0).contains(&self.resized_crop) {
            let problem = format!("{}; allowed is 0 to 1", self.resized_crop);
            return Err(DataError::invalid("augment.resized_crop", problem));
        }
        if !(0.0..=1.0).contains(&self.erase) {
            let problem = format!("{}; allowed is 0 to 1", self.erase);
            return Err(DataError::invalid("augment.erase", problem));
        }
        let strongest = RandAugment::STRONGEST;
        if self.rand_augment.is_some_and(|r| r.count > 16 || r.magnitude > strongest) {
            let problem = format!("at most 16 variations of magnitude at most {strongest}");
            return Err(DataError::invalid("augment.rand_augment", problem));
        }
        let side = super::limits::MAX_SIDE as usize;
        if self.crop_padding > side || self.cutout > side {
            return Err(DataError::invalid(
                "augment.crop_padding, augment.cutout",
                format!("at most {side}"),
            ));
        }
        Ok(())
    }

    /// The generator of one sample's variation in one epoch.
    pub fn generator(seed: u64, epoch: u64, sample: u64) -> Rng {
        Rng::keyed(&[STREAM, seed, epoch, sample])
    }

    /// The part of a picture of `size` that is resized to the input's size, or `None` for what the
    /// preprocessing says.
    pub(crate) fn window(&self, size: [usize; 2], rng: &mut Rng) -> Option<Window> {
        (self.resized_crop > 0.0).then(|| crop::part(size, self.resized_crop, rng))
    }

    /// Varies a picture in place. `spare` is a buffer to reuse.
    pub fn apply(&self, image: &mut Image, spare: &mut Vec<u8>, rng: &mut Rng) {
        if self.crop_padding > 0 || self.flip {
            let range = 2 * self.crop_padding + 1;
            let shift = |rng: &mut Rng| rng.below(range) as isize - self.crop_padding as isize;
            let (dy, dx) = (shift(rng), shift(rng));
            let mirror = self.flip && rng.below(2) == 1;
            if (dy, dx, mirror) != (0, 0, false) {
                geometry::move_pixels(image, dy, dx, mirror, spare);
            }
        }
        if let Some(varied) = self.rand_augment {
            varied.apply(image, spare, rng);
        }
        if self.jitter > 0.0 {
            let brightness = rng.range(1.0 - self.jitter, 1.0 + self.jitter);
            let contrast = rng.range(1.0 - self.jitter, 1.0 + self.jitter);
            colour::jitter(image, brightness, contrast);
        }
        if self.cutout > 0 {
            let (y, x) = (rng.below(image.h), rng.below(image.w));
            erase::cut_out(image, y, x, self.cutout);
        }
        if self.erase > 0.0 && rng.uniform() < self.erase {
            erase::erase(image, rng);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(h: usize, w: usize, c: usize) -> Image {
        Image { h, w, c, pixels: (0..h * w * c).map(|i| i as u8).collect() }
    }

    #[test]
    fn a_variation_is_a_function_of_its_key() {
        let augment = Augment {
            resized_crop: 0.0,
            crop_padding: 2,
            flip: true,
            jitter: 0.2,
            cutout: 3,
            erase: 0.5,
            rand_augment: Some(RandAugment { count: 2, magnitude: 9 }),
        };
        let vary = |epoch, sample| {
            let mut image = ramp(12, 12, 3);
            augment.apply(&mut image, &mut Vec::new(), &mut Augment::generator(1, epoch, sample));
            image
        };
        assert_eq!(vary(3, 7), vary(3, 7));
        assert_ne!(vary(3, 7), vary(4, 7));
        assert_ne!(vary(3, 7), vary(3, 8));
    }
}

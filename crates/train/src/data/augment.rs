//! Random variations of training pictures, on `u8` at the input's size.
//!
//! The generator is keyed by (seed, epoch, sample), so a picture's variation depends neither on the
//! thread that makes it nor on the batch that it falls into, and a resumed run repeats it.

use super::{DataError, Image, Result};
use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

/// Keeps augmentation's generators apart from shuffling's under the same seed.
const STREAM: u64 = 0x6175_676d_656e_7400;

/// What to vary. The default varies nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Random crop: shift by up to this many pixels in both directions; uncovered pixels are black.
    pub crop_padding: usize,
    /// Mirror left to right every second picture on average.
    pub flip: bool,
    /// Brightness and contrast each vary by up to this fraction (0 to 1; 0 is off).
    pub jitter: f32,
    /// Side of a square, centred anywhere, that is replaced by the picture's mean colour (0 is off;
    /// DeVries and Taylor 2017, arXiv:1708.04552).
    pub cutout: usize,
}

impl Augment {
    /// Shift by up to `crop_padding` pixels and mirror: the usual recipe of CIFAR and Fashion-MNIST.
    pub fn crop_and_flip(crop_padding: usize) -> Augment {
        Augment { crop_padding, flip: true, ..Augment::default() }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// A jitter outside 0..=1, a padding or cutout larger than any picture.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(DataError::invalid(
                "augment.jitter",
                format!("{}; allowed is 0 to 1", self.jitter),
            ));
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

    /// Varies a picture in place. `spare` is a buffer to reuse.
    pub fn apply(&self, image: &mut Image, spare: &mut Vec<u8>, rng: &mut Rng) {
        if self.crop_padding > 0 || self.flip {
            let range = 2 * self.crop_padding + 1;
            let shift = |rng: &mut Rng| rng.below(range) as isize - self.crop_padding as isize;
            let (dy, dx) = (shift(rng), shift(rng));
            let mirror = self.flip && rng.below(2) == 1;
            if (dy, dx, mirror) != (0, 0, false) {
                move_pixels(image, dy, dx, mirror, spare);
            }
        }
        if self.jitter > 0.0 {
            let brightness = rng.range(1.0 - self.jitter, 1.0 + self.jitter);
            let contrast = rng.range(1.0 - self.jitter, 1.0 + self.jitter);
            jitter(image, brightness, contrast);
        }
        if self.cutout > 0 {
            let (y, x) = (rng.below(image.h), rng.below(image.w));
            cut_out(image, y, x, self.cutout);
        }
    }
}

/// `out[y, x] = image[y + dy, x + dx]`, black outside, then mirrored.
fn move_pixels(image: &mut Image, dy: isize, dx: isize, mirror: bool, spare: &mut Vec<u8>) {
    let (h, w, c) = (image.h, image.w, image.c);
    spare.clear();
    spare.resize(image.pixels.len(), 0);
    // Columns of the result that have a source: 0 <= x + dx < w.
    let left = (-dx).clamp(0, w as isize) as usize;
    let right = (w as isize - dx).clamp(left as isize, w as isize) as usize;
    let from_left = (left as isize + dx).max(0) as usize;
    for (y, row) in spare.chunks_exact_mut(w * c).enumerate() {
        let Some(from) = y.checked_add_signed(dy).filter(|&from| from < h) else { continue };
        if left < right {
            let source = &image.pixels[(from * w + from_left) * c..][..(right - left) * c];
            row[left * c..right * c].copy_from_slice(source);
        }
        if mirror {
            match c {
                1 => row.reverse(),
                _ => reverse_pixels(row),
            }
        }
    }
    std::mem::swap(&mut image.pixels, spare);
}

fn reverse_pixels(row: &mut [u8]) {
    let (pixels, _) = row.as_chunks_mut::<3>();
    pixels.reverse();
}

/// Contrast about the picture's mean, then brightness, as a table over the 256 values.
fn jitter(image: &mut Image, brightness: f32, contrast: f32) {
    let mean = channel_means(image, 1)[0] as f32;
    let table: [u8; 256] = std::array::from_fn(|value| {
        let varied = ((value as f32 - mean) * contrast + mean) * brightness;
        (varied + 0.5).clamp(0.0, 255.0) as u8
    });
    for pixel in &mut image.pixels {
        *pixel = table[usize::from(*pixel)];
    }
}

/// Fills the square of side `side` about `(y, x)`, clipped at the border.
fn cut_out(image: &mut Image, y: usize, x: usize, side: usize) {
    let means = channel_means(image, image.c);
    let bounds =
        |at: usize, end: usize| (at.saturating_sub(side / 2), (at + side - side / 2).min(end));
    let ((top, bottom), (left, right)) = (bounds(y, image.h), bounds(x, image.w));
    let (w, c) = (image.w, image.c);
    for row in image.pixels.chunks_exact_mut(w * c).take(bottom).skip(top) {
        for pixel in row[left * c..right * c].chunks_exact_mut(c) {
            pixel.copy_from_slice(&means[..c]);
        }
    }
}

/// Rounded mean of each of `c` interleaved channels; `c = 1` gives the mean of all values.
fn channel_means(image: &Image, c: usize) -> [u8; 3] {
    let mut sums = [0u64; 3];
    for pixel in image.pixels.chunks_exact(c) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(value);
        }
    }
    let count = (image.pixels.len() / c).max(1) as u64;
    sums.map(|sum| ((sum + count / 2) / count) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(h: usize, w: usize, c: usize) -> Image {
        Image { h, w, c, pixels: (0..h * w * c).map(|i| i as u8).collect() }
    }

    /// The definition, pixel by pixel.
    fn moved(image: &Image, dy: isize, dx: isize, mirror: bool) -> Image {
        let mut out = Image::black(image.h, image.w, image.c);
        for y in 0..image.h as isize {
            for x in 0..image.w as isize {
                let (sy, sx) = (y + dy, x + dx);
                let inside = sy >= 0 && sx >= 0 && sy < image.h as isize && sx < image.w as isize;
                let to = if mirror { image.w as isize - 1 - x } else { x };
                for k in 0..image.c {
                    if inside {
                        out.pixels[(y as usize * image.w + to as usize) * image.c + k] =
                            image.pixels[(sy as usize * image.w + sx as usize) * image.c + k];
                    }
                }
            }
        }
        out
    }

    #[test]
    fn moving_agrees_with_its_definition() {
        for c in [1, 3] {
            let image = ramp(4, 5, c);
            for dy in -6..=6 {
                for dx in -7..=7 {
                    for mirror in [false, true] {
                        let mut own = image.clone();
                        move_pixels(&mut own, dy, dx, mirror, &mut vec![9; 3]);
                        assert_eq!(own, moved(&image, dy, dx, mirror), "{dy} {dx} {mirror} {c}");
                    }
                }
            }
        }
    }

    #[test]
    fn neutral_jitter_changes_nothing() {
        let mut image = ramp(9, 9, 3);
        jitter(&mut image, 1.0, 1.0);
        assert_eq!(image, ramp(9, 9, 3));
        jitter(&mut image, 0.0, 1.0);
        assert!(image.pixels.iter().all(|&p| p == 0));
    }

    #[test]
    fn cutout_stays_inside_and_has_its_size() {
        let mut image = Image {
            h: 8,
            w: 8,
            c: 1,
            pixels: (0..64).map(|i| if i % 2 == 0 { 0 } else { 200 }).collect(),
        };
        let before = image.clone();
        cut_out(&mut image, 4, 4, 3);
        let changed = image.pixels.iter().filter(|&&p| p == 100).count();
        assert_eq!(changed, 9);
        cut_out(&mut image, 0, 7, 1000);
        assert_eq!(image.pixels.len(), before.pixels.len());
    }

    #[test]
    fn a_variation_is_a_function_of_its_key() {
        let augment = Augment { crop_padding: 2, flip: true, jitter: 0.2, cutout: 3 };
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

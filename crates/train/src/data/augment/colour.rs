//! Brightness, contrast, colours and sharpness of a picture.

use super::Image;
use super::erase::channel_means;

/// Replaces every value by that of a table.
pub(super) fn map(image: &mut Image, table: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| table(value as u8));
    for pixel in &mut image.pixels {
        *pixel = table[usize::from(*pixel)];
    }
}

/// Nearest byte.
fn byte(value: f32) -> u8 {
    (value + 0.5).clamp(0.0, 255.0) as u8
}

/// Contrast about the picture's mean, then brightness.
pub(super) fn jitter(image: &mut Image, brightness: f32, contrast: f32) {
    let mean = f32::from(channel_means(image, 1)[0]);
    map(image, |value| byte(((f32::from(value) - mean) * contrast + mean) * brightness));
}

/// Away from the grey of the same luma (ITU-R 601) by `factor`: 0 is grey, 1 the picture itself.
pub(super) fn saturate(image: &mut Image, factor: f32) {
    if image.c != 3 {
        return;
    }
    for pixel in image.pixels.chunks_exact_mut(3) {
        let [r, g, b] = [0, 1, 2].map(|k| f32::from(pixel[k]));
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        pixel.iter_mut().for_each(|p| *p = byte(luma + (f32::from(*p) - luma) * factor));
    }
}

/// Away from the smoothed picture by `factor`: 0 is smooth, 1 the picture itself. The filter has 5 in
/// the middle and 1 around it; pixels at the border stay.
pub(super) fn sharpen(image: &mut Image, factor: f32, spare: &mut Vec<u8>) {
    let (h, w, c) = (image.h, image.w, image.c);
    spare.clear();
    spare.extend_from_slice(&image.pixels);
    for y in 1..h.saturating_sub(1) {
        let inner = (y * w + 1) * c..((y * w + w).saturating_sub(1) * c).max((y * w + 1) * c);
        for (at, out) in inner.clone().zip(&mut spare[inner]) {
            let row = |at: usize| [at - c, at, at + c].map(|i| f32::from(image.pixels[i]));
            let sum: f32 = [at - w * c, at, at + w * c].into_iter().flat_map(row).sum();
            let own = f32::from(image.pixels[at]);
            let smooth = (sum + 4.0 * own) / 13.0;
            *out = byte(smooth + (own - smooth) * factor);
        }
    }
    std::mem::swap(&mut image.pixels, spare);
}

/// Stretches each channel to the whole range of values.
pub(super) fn stretch(image: &mut Image) {
    per_channel(image, |values| {
        let (low, high) = values.fold((255, 0), |(low, high), v| (v.min(low), v.max(high)));
        let (low, spread) = (f32::from(low), f32::from(high) - f32::from(low));
        std::array::from_fn(|value| match spread > 0.0 {
            true => byte((value as f32 - low) * 255.0 / spread),
            false => value as u8,
        })
    });
}

/// Gives each channel a flat histogram.
pub(super) fn equalise(image: &mut Image) {
    per_channel(image, |values| {
        let mut counts = [0usize; 256];
        values.for_each(|v| counts[usize::from(v)] += 1);
        let brightest = counts.iter().rev().find(|&&n| n > 0).copied().unwrap_or(0);
        // The brightest value does not count, so that it becomes 255.
        let step = (counts.iter().sum::<usize>() - brightest) / 255;
        let mut below = step / 2;
        std::array::from_fn(|value| {
            let mapped = below.checked_div(step).map_or(value, |level| level.min(255));
            below += counts[value];
            mapped as u8
        })
    });
}

/// Maps each channel by the table that `table` makes of its values.
fn per_channel(image: &mut Image, table: impl Fn(&mut dyn Iterator<Item = u8>) -> [u8; 256]) {
    for channel in 0..image.c {
        let values = image.pixels.iter().skip(channel).step_by(image.c);
        let table = table(&mut values.copied());
        let values = image.pixels.iter_mut().skip(channel).step_by(image.c);
        values.for_each(|v| *v = table[usize::from(*v)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(h: usize, w: usize, c: usize) -> Image {
        Image { h, w, c, pixels: (0..h * w * c).map(|i| i as u8).collect() }
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
    fn factor_one_changes_nothing_and_factor_zero_takes_all() {
        let mut image = ramp(4, 4, 3);
        saturate(&mut image, 1.0);
        sharpen(&mut image, 1.0, &mut vec![]);
        assert_eq!(image, ramp(4, 4, 3));
        saturate(&mut image, 0.0);
        assert!(image.pixels.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
        // An even ramp is smooth already.
        let mut image = ramp(4, 4, 1);
        sharpen(&mut image, 0.0, &mut vec![]);
        assert_eq!(image, ramp(4, 4, 1));
        let mut spot = Image::black(3, 3, 1);
        spot.pixels[4] = 130;
        sharpen(&mut spot, 0.0, &mut vec![]);
        assert_eq!(spot.pixels, [0, 0, 0, 0, 50, 0, 0, 0, 0]);
    }

    #[test]
    fn ranges_are_stretched_and_histograms_flat() {
        let mut image = Image { h: 1, w: 3, c: 1, pixels: vec![100, 110, 120] };
        stretch(&mut image);
        assert_eq!(image.pixels, [0, 128, 255]);
        stretch(&mut image);
        assert_eq!(image.pixels, [0, 128, 255]);
        let mut even = Image::black(2, 2, 3);
        stretch(&mut even);
        equalise(&mut even);
        assert_eq!(even, Image::black(2, 2, 3));
        // Values 0 to 15, each in 256 pixels: 16 levels over the whole range.
        let pixels = (0..64 * 64).map(|i| (i % 16) as u8).collect();
        let mut dark = Image { h: 64, w: 64, c: 1, pixels };
        equalise(&mut dark);
        let levels: Vec<u8> = dark.pixels[..16].to_vec();
        assert_eq!((levels[0], levels[15]), (0, 255));
        assert!(levels.windows(2).all(|w| (16..=18).contains(&(w[1] - w[0]))), "{levels:?}");
    }
}

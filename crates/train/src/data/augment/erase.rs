//! Blanking a part of a picture.

use edgecut_graph::rng::Rng;

use super::Image;

/// The area of a rectangle that is erased, as a share of the picture's, and the ratio of its height
/// and width (Zhong et al. 2020, arXiv:1708.04896).
const AREA: [f32; 2] = [0.02, 0.33];
const RATIO: [f64; 2] = [0.3, 1.0 / 0.3];
/// Rectangles that are drawn until one lies inside.
const TRIES: usize = 10;

/// Fills a random rectangle with the picture's mean colour.
pub(super) fn erase(image: &mut Image, rng: &mut Rng) {
    for _ in 0..TRIES {
        let area = f64::from(rng.range(AREA[0], AREA[1])) * (image.h * image.w) as f64;
        // Evenly between the logarithms, so that upright and lying ones are as frequent.
        let [low, high] = RATIO.map(libm::log);
        let ratio = libm::exp(low + (high - low) * f64::from(rng.uniform()));
        let h = libm::sqrt(area * ratio).round() as usize;
        let w = libm::sqrt(area / ratio).round() as usize;
        if (1..image.h).contains(&h) && (1..image.w).contains(&w) {
            let (top, left) = (rng.below(image.h - h + 1), rng.below(image.w - w + 1));
            return fill(image, [top, top + h], [left, left + w]);
        }
    }
}

/// Fills the square of side `side` about `(y, x)`, clipped at the border.
pub(super) fn cut_out(image: &mut Image, y: usize, x: usize, side: usize) {
    let bounds =
        |at: usize, end: usize| [at.saturating_sub(side / 2), (at + side - side / 2).min(end)];
    let (rows, columns) = (bounds(y, image.h), bounds(x, image.w));
    fill(image, rows, columns);
}

/// Fills a rectangle with the picture's mean colour.
fn fill(image: &mut Image, [top, bottom]: [usize; 2], [left, right]: [usize; 2]) {
    let means = channel_means(image, image.c);
    let (w, c) = (image.w, image.c);
    for row in image.pixels.chunks_exact_mut(w * c).take(bottom).skip(top) {
        for pixel in row[left * c..right * c].chunks_exact_mut(c) {
            pixel.copy_from_slice(&means[..c]);
        }
    }
}

/// Rounded mean of each of `c` interleaved channels; `c = 1` gives the mean of all values.
pub(super) fn channel_means(image: &Image, c: usize) -> [u8; 3] {
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
    fn erased_rectangles_have_their_share() {
        let mut rng = Rng::new(5);
        let mut shares = vec![];
        for _ in 0..200 {
            // Black and white columns: the mean, 128, differs from both.
            let mut image = Image { h: 40, w: 30, c: 1, pixels: vec![255; 1200] };
            image.pixels.iter_mut().step_by(2).for_each(|p| *p = 0);
            let before = image.clone();
            erase(&mut image, &mut rng);
            let changed = image.pixels.iter().zip(&before.pixels).filter(|(a, b)| a != b).count();
            shares.push(changed as f32 / 1200.0);
        }
        assert!(shares.iter().all(|s| (0.0..0.36).contains(s)));
        let mean = shares.iter().sum::<f32>() / 200.0;
        assert!((0.12..0.22).contains(&mean), "{mean}");
    }
}

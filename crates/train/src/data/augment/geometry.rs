//! Moving, mirroring, shearing and turning a picture.

use super::Image;

/// `out[y, x] = image[y + dy, x + dx]`, black outside, then mirrored.
pub(super) fn move_pixels(
    image: &mut Image,
    dy: isize,
    dx: isize,
    mirror: bool,
    spare: &mut Vec<u8>,
) {
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

/// `out[y, x]` is the pixel of `image` nearest to `(a y + b x + c, d y + e x + f)`, coordinates from
/// the picture's centre; black outside. `map` is `[a, b, c, d, e, f]`.
pub(super) fn affine(image: &mut Image, map: [f32; 6], spare: &mut Vec<u8>) {
    let (h, w, c) = (image.h, image.w, image.c);
    let [a, b, up, d, e, left] = map;
    let (middle_y, middle_x) = ((h as f32 - 1.0) / 2.0, (w as f32 - 1.0) / 2.0);
    spare.clear();
    spare.resize(image.pixels.len(), 0);
    for (i, out) in spare.chunks_exact_mut(c).enumerate() {
        let (y, x) = ((i / w) as f32 - middle_y, (i % w) as f32 - middle_x);
        let from_y = (a * y + b * x + up + middle_y + 0.5).floor();
        let from_x = (d * y + e * x + left + middle_x + 0.5).floor();
        let inside = |at: f32, end: usize| at >= 0.0 && at < end as f32;
        if inside(from_y, h) && inside(from_x, w) {
            let from = (from_y as usize * w + from_x as usize) * c;
            out.copy_from_slice(&image.pixels[from..from + c]);
        }
    }
    std::mem::swap(&mut image.pixels, spare);
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
    fn affine_maps_move_shear_and_turn() {
        let image = ramp(5, 5, 3);
        let map = |map| {
            let mut own = image.clone();
            affine(&mut own, map, &mut vec![]);
            own
        };
        assert_eq!(map([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), image);
        assert_eq!(map([1.0, 0.0, 2.0, 0.0, 1.0, -1.0]), moved(&image, 2, -1, false));
        assert_eq!(map([1.0, 0.0, 0.0, 0.0, -1.0, 0.0]), moved(&image, 0, 0, true));
        // A quarter turn four times.
        let turn = [0.0, 1.0, 0.0, -1.0, 0.0, 0.0];
        let mut turned = map(turn);
        assert_ne!(turned, image);
        (0..3).for_each(|_| affine(&mut turned, turn, &mut vec![]));
        assert_eq!(turned, image);
        // A shear of 1 moves the outer rows by two pixels and keeps the middle one.
        let sheared = map([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(sheared.pixels[30..45], image.pixels[30..45]);
        assert_eq!(sheared.pixels[60..69], image.pixels[66..75]);
    }
}

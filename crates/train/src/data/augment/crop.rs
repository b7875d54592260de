//! Random parts of pictures (random resized crop: Szegedy et al. 2015, arXiv:1409.4842), chosen as
//! torchvision's `RandomResizedCrop` does.

use edgecut_graph::rng::Rng;

use super::super::resize::Window;

/// Smallest and largest width of a part as a multiple of its height.
const RATIO: [f32; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Parts that are tried before the largest one in the middle is taken.
const TRIES: usize = 10;

/// A part of a picture of `h x w` whose share of the area is even between `least` and 1, and whose
/// ratio of sides is even in its logarithm.
pub(super) fn part([h, w]: [usize; 2], least: f32, rng: &mut Rng) -> Window {
    let area = (h * w) as f32;
    for _ in 0..TRIES {
        let area = area * rng.range(least, 1.0);
        let ratio = libm::expf(rng.range(libm::logf(RATIO[0]), libm::logf(RATIO[1])));
        let side = |square: f32| (libm::sqrtf(square).round() as usize).max(1);
        let (part_h, part_w) = (side(area / ratio), side(area * ratio));
        if part_h <= h && part_w <= w {
            let (top, left) = (rng.below(h - part_h + 1), rng.below(w - part_w + 1));
            return Window { top, left, h: part_h, w: part_w };
        }
    }
    let (tall, wide) = (h as f32, w as f32);
    let part_w = w.min((tall * RATIO[1]).round() as usize).max(1);
    let part_h = h.min((wide / RATIO[0]).round() as usize).max(1);
    Window { top: (h - part_h) / 2, left: (w - part_w) / 2, h: part_h, w: part_w }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_inside_and_as_large_as_asked() {
        let mut rng = Rng::new(1);
        for size in [[32, 32], [20, 90], [1, 1], [1, 300], [500, 3]] {
            let [h, w] = size;
            let mut smallest = 1.0f32;
            for _ in 0..500 {
                let p = part(size, 0.25, &mut rng);
                assert!(p.h > 0 && p.w > 0 && p.top + p.h <= h && p.left + p.w <= w, "{p:?}");
                smallest = smallest.min((p.h * p.w) as f32 / (h * w) as f32);
                if size == [32, 32] {
                    let ratio = p.w as f32 / p.h as f32;
                    assert!((0.7..1.42).contains(&ratio), "{p:?}");
                }
            }
            if size == [32, 32] {
                assert!((0.22..0.3).contains(&smallest), "{smallest}");
            }
        }
    }
}

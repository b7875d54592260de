//! Bilinear resizing with antialiasing, bit for bit Pillow's `Image.resize(..., BILINEAR)`, which is
//! also what torchvision's `Resize` does with pictures.
//!
//! Two passes (horizontal, then vertical) with a triangle filter that widens with the reduction.
//! Weights are 22-bit fixed point, rounded; sums are exact in `i32` (255 * 2^22 < 2^31), so results
//! do not depend on the instruction set. Only the wanted window of the resized picture is computed:
//! a centre crop costs no more than its own pixels.

use super::Image;

const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

/// A rectangle of the resized picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub top: usize,
    pub left: usize,
    pub h: usize,
    pub w: usize,
}

/// Resizes `source` to `h x w` pixels and puts `window` of the result into `out`.
pub(crate) fn resize(
    source: &Image,
    [h, w]: [usize; 2],
    window: Window,
    out: &mut Image,
    rows: &mut Vec<u8>,
) {
    assert!(window.top + window.h <= h && window.left + window.w <= w, "{window:?} of {h}x{w}");
    let c = source.c;
    out.reset(window.h, window.w, c);
    if [h, w] == [source.h, source.w] {
        return crop(source, window, out);
    }
    let across = Taps::new(source.w, w, window.left, window.w);
    let down = Taps::new(source.h, h, window.top, window.h);
    let (first, last) = down.span();
    let stride = window.w * c;
    rows.resize((last - first) * stride, 0);
    for (y, row) in rows.chunks_exact_mut(stride).enumerate() {
        let line = &source.pixels[(first + y) * source.w * c..][..source.w * c];
        match c {
            1 => horizontal::<1>(line, &across, row),
            _ => horizontal::<3>(line, &across, row),
        }
    }
    let mut sums = vec![HALF; stride];
    for (y, row) in out.pixels.chunks_exact_mut(stride).enumerate() {
        let (start, weights) = down.of(y);
        sums.fill(HALF);
        for (i, &weight) in weights.iter().enumerate() {
            let line = &rows[(start - first + i) * stride..][..stride];
            for (sum, &value) in sums.iter_mut().zip(line) {
                *sum += weight * i32::from(value);
            }
        }
        for (pixel, &sum) in row.iter_mut().zip(&sums) {
            *pixel = (sum >> BITS).clamp(0, 255) as u8;
        }
    }
}

/// Puts `window` of `source` into `out`.
pub(crate) fn crop(source: &Image, window: Window, out: &mut Image) {
    out.reset(window.h, window.w, source.c);
    let stride = window.w * source.c;
    for (y, row) in out.pixels.chunks_exact_mut(stride).enumerate() {
        let start = ((window.top + y) * source.w + window.left) * source.c;
        row.copy_from_slice(&source.pixels[start..start + stride]);
    }
}

fn horizontal<const C: usize>(line: &[u8], taps: &Taps, row: &mut [u8]) {
    for (x, pixel) in row.chunks_exact_mut(C).enumerate() {
        let (start, weights) = taps.of(x);
        let mut sums = [HALF; C];
        for (values, &weight) in line[start * C..].chunks_exact(C).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += weight * i32::from(value);
            }
        }
        for (value, sum) in pixel.iter_mut().zip(sums) {
            *value = (sum >> BITS).clamp(0, 255) as u8;
        }
    }
}

/// For each output position of a window: the first input position and its weights.
struct Taps {
    starts: Vec<usize>,
    ends: Vec<usize>,
    weights: Vec<i32>,
}

impl Taps {
    /// Positions `from..from + count` of `size` when `input` positions are resized to `size`.
    fn new(input: usize, size: usize, from: usize, count: usize) -> Taps {
        let scale = input as f64 / size as f64;
        let support = scale.max(1.0);
        let mut taps = Taps {
            starts: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            weights: Vec::new(),
        };
        let mut raw = Vec::new();
        for position in from..from + count {
            let centre = (position as f64 + 0.5) * scale;
            // Casts truncate towards zero and stop at zero, as Pillow's do after its own clamp.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(input);
            raw.clear();
            raw.extend((start..end).map(|i| {
                let distance = (i as f64 - centre + 0.5) * (1.0 / support);
                (1.0 - distance.abs()).max(0.0)
            }));
            let total: f64 = raw.iter().sum();
            taps.starts.push(start);
            taps.weights.extend(
                raw.iter().map(|weight| (0.5 + weight / total * f64::from(1 << BITS)) as i32),
            );
            taps.ends.push(taps.weights.len());
        }
        taps
    }

    fn of(&self, i: usize) -> (usize, &[i32]) {
        let from = if i == 0 { 0 } else { self.ends[i - 1] };
        (self.starts[i], &self.weights[from..self.ends[i]])
    }

    /// First and one past the last input position in use.
    fn span(&self) -> (usize, usize) {
        let end = |i: usize| self.starts[i] + self.of(i).1.len();
        let last = (0..self.starts.len()).map(end).max().unwrap_or(0);
        (self.starts.first().copied().unwrap_or(0), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(h: usize, w: usize, c: usize) -> Image {
        let mut rng = edgecut_graph::rng::Rng::new(5);
        Image { h, w, c, pixels: (0..h * w * c).map(|_| rng.next_u64() as u8).collect() }
    }

    fn whole(h: usize, w: usize) -> Window {
        Window { top: 0, left: 0, h, w }
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        for size in [[3, 7], [50, 20], [1, 1]] {
            let source = Image { h: 13, w: 17, c: 3, pixels: vec![201; 13 * 17 * 3] };
            let mut out = Image::default();
            resize(&source, size, whole(size[0], size[1]), &mut out, &mut Vec::new());
            assert!(out.pixels.iter().all(|&p| p == 201), "{size:?}");
        }
    }

    #[test]
    fn a_window_is_the_crop_of_the_whole() {
        for c in [1, 3] {
            let source = noise(31, 19, c);
            for size in [[12, 40], [31, 19], [64, 9]] {
                let (mut all, mut part, mut cut) =
                    (Image::default(), Image::default(), Image::default());
                resize(&source, size, whole(size[0], size[1]), &mut all, &mut Vec::new());
                let window = Window { top: 3, left: 2, h: 8, w: 6 };
                resize(&source, size, window, &mut part, &mut Vec::new());
                crop(&all, window, &mut cut);
                assert_eq!(part, cut, "{size:?} of {c} channels");
            }
        }
    }
}

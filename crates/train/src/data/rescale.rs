//! Prepared pictures at another size.

use std::borrow::Cow;

use super::{DataError, Result};
use crate::plan::Extent;

/// `x`, whole pictures of the extent `from` in NHWC, brought to the extent `to`: bilinear with
/// antialiasing, as preparing them at that size does but for the rounding of pixels.
///
/// # Errors
/// Where the channels differ.
pub fn rescaled(x: &[f32], from: Extent, to: Extent) -> Result<Cow<'_, [f32]>> {
    if from == to {
        return Ok(Cow::Borrowed(x));
    }
    if from.c != to.c {
        let problem = format!("have {} channels, the network takes {}", from.c, to.c);
        return Err(DataError::invalid("pictures", problem));
    }
    let (rows, columns) = (taps(from.h, to.h), taps(from.w, to.w));
    let mut out = Vec::with_capacity(x.len() / from.len().max(1) * to.len());
    let mut narrow = vec![0.0; from.h * to.w * to.c];
    for picture in x.chunks_exact(from.len()) {
        for (line, target) in
            picture.chunks_exact(from.w * from.c).zip(narrow.chunks_exact_mut(to.w * to.c))
        {
            for (taps, pixel) in columns.iter().zip(target.chunks_exact_mut(to.c)) {
                blend(taps, |at| &line[at * from.c..][..from.c], pixel);
            }
        }
        let width = to.w * to.c;
        for taps in &rows {
            let start = out.len();
            out.resize(start + width, 0.0);
            blend(taps, |at| &narrow[at * width..][..width], &mut out[start..]);
        }
    }
    Ok(Cow::Owned(out))
}

/// First source and weights of each target: a triangle over the distance between centres, as wide as a
/// target where that is larger than a source, cut off and normalised at the edges.
fn taps(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of = |target: usize| {
        let centre = (target as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).floor().max(0.0) as usize;
        let end = ((centre + reach + 0.5).floor() as usize).min(from);
        let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        (first, (first..end).map(|at| (weight(at) / sum) as f32).collect())
    };
    (0..to).map(of).collect()
}

fn blend<'a>(taps: &(usize, Vec<f32>), source: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    out.fill(0.0);
    for (at, &weight) in (taps.0..).zip(&taps.1) {
        out.iter_mut().zip(source(at)).for_each(|(sum, x)| *sum += weight * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(h: usize, w: usize) -> Extent {
        Extent { h, w, c: 1 }
    }

    #[test]
    fn halving_weighs_four_neighbours() {
        // 2 to 1: a triangle of reach 2 around 1: both pixels are half a pixel away.
        let half = rescaled(&[1.0, 3.0, 5.0, 7.0], extent(2, 2), extent(1, 1)).unwrap();
        assert_eq!(half.as_ref(), [4.0]);
        // 4 to 2: centre 1 has weights 0.75, 0.75, 0.25 of pixels 0, 1, 2.
        let line = rescaled(&[0.0, 7.0, 14.0, 21.0], extent(1, 4), extent(1, 2)).unwrap();
        assert_eq!(line.as_ref(), [5.0, 16.0]);
    }

    #[test]
    fn what_is_even_stays_even() {
        let flat = vec![0.25; 3 * 28 * 28];
        let small = rescaled(&flat, extent(28, 28), extent(20, 24)).unwrap();
        assert_eq!(small.len(), 3 * 20 * 24);
        assert!(small.iter().all(|v| (v - 0.25).abs() < 1e-6));
    }
}

//! Resampling of images: every output pixel is a weighted sum of a few input pixels.
//!
//! Rows and columns are resampled by tables that the caller computes once, so one kernel serves
//! linear and cubic interpolation with every rule for positions.

use serde::{Deserialize, Serialize};

use crate::Ctx;
use crate::simd::simd_fn;

/// The input positions and weights of each output position along one dimension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taps {
    /// Where the taps of each position begin in `taps`; one more entry at the end.
    starts: Vec<usize>,
    taps: Vec<(usize, f32)>,
    /// Positions must be below this.
    reach: usize,
}

impl Taps {
    /// Taps of output positions in order; each a list of input positions and weights.
    pub fn new<I: IntoIterator<Item = (usize, f32)>>(of: impl IntoIterator<Item = I>) -> Taps {
        let mut taps = Taps { starts: vec![0], ..Taps::default() };
        for position in of {
            taps.taps.extend(position);
            taps.starts.push(taps.taps.len());
        }
        taps.reach = taps.taps.iter().map(|&(at, _)| at + 1).max().unwrap_or(0);
        taps
    }

    /// Number of output positions.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no output position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the taps are whole and lie in an image of `len` positions: those from a file may not.
    pub fn fit(&self, len: usize) -> bool {
        let rising = self.starts.first() == Some(&0) && self.starts.is_sorted();
        let whole = self.starts.last() == Some(&self.taps.len());
        let inside = self.taps.iter().all(|&(at, _)| at < len.min(self.reach));
        rising && whole && inside && self.reach <= len
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.starts[..]) + size_of_val(&self.taps[..])
    }

    fn of(&self, position: usize) -> &[(usize, f32)] {
        &self.taps[self.starts[position]..self.starts[position + 1]]
    }
}

/// `out[n, rows, columns, channels]` from `x[n, h, w, channels]`, sums in the order of the taps,
/// columns within rows.
///
/// # Panics
/// If a slice has another size, or a tap lies outside of the image.
pub fn resample(
    ctx: Ctx,
    [h, w, channels]: [usize; 3],
    rows: &Taps,
    columns: &Taps,
    x: &[f32],
    out: &mut [f32],
) {
    assert!(rows.reach <= h && columns.reach <= w, "a tap lies outside of {h} x {w}");
    if out.is_empty() {
        return;
    }
    let (image, line) = (h * w * channels, columns.len() * channels);
    assert_eq!(x.len() * rows.len() * line, out.len() * image, "images of another size");
    ctx.pool.for_each_chunk_mut(out, line, |task, out| {
        let (n, row) = (task / rows.len(), task % rows.len());
        resample_row(ctx.isa, w, channels, rows.of(row), columns, &x[n * image..][..image], out);
    });
}

simd_fn! {
    fn resample_row(
        _s: Simd,
        w: usize,
        channels: usize,
        rows: &[(usize, f32)],
        columns: &Taps,
        image: &[f32],
        out: &mut [f32],
    ) {
        for (column, pixel) in out.chunks_exact_mut(channels).enumerate() {
            pixel.fill(0.0);
            for &(iy, wy) in rows {
                for &(ix, wx) in columns.of(column) {
                    let weight = wy * wx;
                    let x = &image[(iy * w + ix) * channels..][..channels];
                    pixel.iter_mut().zip(x).for_each(|(y, x)| *y = weight.mul_add(*x, *y));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, everywhere, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn pixels_are_weighted_sums(
            n in 1usize..3, h in 1usize..7, w in 1usize..7, c in 1usize..40,
            rows in 1usize..9, columns in 1usize..9, seed: u64,
        ) {
            let table = |len: usize, size: usize, seed: u64| -> Vec<Vec<(usize, f32)>> {
                let weights = random(3 * len, seed);
                (0..len).map(|i| {
                    let taps = (0..i % 4).map(|t| ((i + 5 * t) % size, weights[(3 * i + t) % (3 * len)]));
                    taps.collect()
                }).collect()
            };
            let (ty, tx) = (table(rows, h, seed), table(columns, w, seed ^ 1));
            let x = random(n * h * w * c, seed ^ 2);
            let got = everywhere(|ctx| {
                let mut out = vec![f32::NAN; n * rows * columns * c];
                let (ty, tx) = (Taps::new(ty.clone()), Taps::new(tx.clone()));
                resample(ctx, [h, w, c], &ty, &tx, &x, &mut out);
                out
            });
            let want: Vec<f64> = (0..got.len()).map(|i| {
                let (image, y) = (i / (rows * columns * c), i / (columns * c) % rows);
                let (column, channel) = (i / c % columns, i % c);
                let mut sum = 0.0;
                for &(iy, wy) in &ty[y] {
                    for &(ix, wx) in &tx[column] {
                        let at = ((image * h + iy) * w + ix) * c + channel;
                        sum += f64::from(wy) * f64::from(wx) * f64::from(x[at]);
                    }
                }
                sum
            }).collect();
            assert_close(&got, &want, 1e-5);
        }
    }
}

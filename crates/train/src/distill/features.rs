//! Losses of inner values. Images are matrices of pixels by channels, one after the other.

use edgecut_kernels::Ctx;
use edgecut_kernels::gemm::{gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::matmul::matmul;

use super::dot;

/// Lengths below this count as this.
const LEAST: f32 = 1e-6;
/// The weight of angles beside distances.
const ANGLES: f32 = 2.0;

/// Squared distance of `s` and `t` over the squared length of `t`, its gradient times `weight` added
/// to `ds`.
pub fn same(s: &[f32], t: &[f32], weight: f32, ds: &mut [f32]) -> f64 {
    let length = f64::from(dot(t, t)).max(1e-12);
    let error: Vec<f32> = s.iter().zip(t).map(|(s, t)| s - t).collect();
    let scale = (2.0 * f64::from(weight) / length) as f32;
    ds.iter_mut().zip(&error).for_each(|(d, e)| *d += scale * e);
    f64::from(dot(&error, &error)) / length
}

/// Squared distance of `s[rows, cs] w[cs, ct]` and `t[rows, ct]` over the squared length of `t`, its
/// gradient times `weight` for `s` (added to `ds`) and for `w` (into `dw`).
pub fn hint(
    ctx: Ctx,
    [cs, ct]: [usize; 2],
    s: &[f32],
    t: &[f32],
    w: &[f32],
    weight: f32,
    ds: &mut [f32],
    dw: &mut [f32],
) -> f64 {
    let rows = s.len() / cs.max(1);
    let mut error = vec![0.0; t.len()];
    matmul(ctx, [rows, cs, ct], (s, &[0]), (w, &[0]), &mut error);
    error.iter_mut().zip(t).for_each(|(e, t)| *e -= t);
    let length = f64::from(dot(t, t)).max(1e-12);
    let loss = f64::from(dot(&error, &error)) / length;
    let scale = (2.0 * f64::from(weight) / length) as f32;
    error.iter_mut().for_each(|e| *e *= scale);
    let mut turned = vec![0.0; w.len()];
    for (i, row) in w.chunks_exact(ct).enumerate() {
        row.iter().enumerate().for_each(|(j, &v)| turned[j * cs + i] = v);
    }
    let mut back = vec![0.0; s.len()];
    matmul(ctx, [rows, ct, cs], (&error, &[0]), (&turned, &[0]), &mut back);
    ds.iter_mut().zip(&back).for_each(|(d, b)| *d += b);
    let mut scratch = vec![0.0; gemm_at_b_scratch_len(rows, cs, ct)];
    gemm_at_b(ctx, rows, s, cs, cs, &error, ct, ct, dw, ct, &mut scratch, false);
    loss
}

/// Mean over `n` images of the squared distance of their maps of attention: sums of squares over
/// channels, divided by their length. The gradient times `weight` is added to `ds`.
pub fn attention(
    n: usize,
    [cs, ct]: [usize; 2],
    s: &[f32],
    t: &[f32],
    weight: f32,
    ds: &mut [f32],
) -> f64 {
    let pixels = s.len() / (n * cs).max(1);
    let mut loss = 0.0;
    let images = s.chunks_exact(pixels * cs).zip(t.chunks_exact(pixels * ct));
    for ((s, t), ds) in images.zip(ds.chunks_exact_mut(pixels * cs)) {
        let (own, length) = map(s, cs);
        let (taught, _) = map(t, ct);
        let difference: Vec<f32> = own.iter().zip(&taught).map(|(a, b)| a - b).collect();
        loss += f64::from(dot(&difference, &difference));
        // d map = 2 (own - taught), and a map of length 1 moves only across itself.
        let along = dot(&own, &difference);
        let scale = 2.0 * weight / (n as f32 * length);
        let rows = s.chunks_exact(cs).zip(ds.chunks_exact_mut(cs));
        for ((s, ds), (o, d)) in rows.zip(own.iter().zip(&difference)) {
            let slope = 2.0 * scale * (d - o * along);
            ds.iter_mut().zip(s).for_each(|(g, s)| *g += slope * s);
        }
    }
    loss / n.max(1) as f64
}

/// Sums of squares over channels, of length 1, and their length.
fn map(image: &[f32], channels: usize) -> (Vec<f32>, f32) {
    let mut map: Vec<f32> = image.chunks_exact(channels).map(|p| dot(p, p)).collect();
    let length = dot(&map, &map).sqrt().max(LEAST);
    map.iter_mut().for_each(|m| *m /= length);
    (map, length)
}

/// Huber's loss of the distances between the `n` rows of `s`, over their mean, and of the angles of
/// all triples, against those of `t`. The gradient times `weight` is added to `ds`.
pub fn relation(n: usize, s: &[f32], t: &[f32], weight: f32, ds: &mut [f32]) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let (own, taught) = (Differences::new(n, s), Differences::new(n, t));
    distances(&own, &taught, weight, ds)
        + angles(&own, &taught, ANGLES * weight, ds) * f64::from(ANGLES)
}

/// Differences of all pairs of rows, as directions and lengths.
struct Differences {
    n: usize,
    len: usize,
    /// `[n, n, len]`: number (j, i) points from row j to row i.
    directions: Vec<f32>,
    /// `[n, n]`
    lengths: Vec<f32>,
}

impl Differences {
    fn new(n: usize, rows: &[f32]) -> Differences {
        let len = rows.len() / n;
        let row = |i: usize| &rows[i * len..(i + 1) * len];
        let mut directions = Vec::with_capacity(n * n * len);
        let mut lengths = Vec::with_capacity(n * n);
        for j in 0..n {
            for i in 0..n {
                let start = directions.len();
                directions.extend(row(i).iter().zip(row(j)).map(|(a, b)| a - b));
                let own = &mut directions[start..];
                let length = dot(own, own).sqrt();
                own.iter_mut().for_each(|d| *d /= length.max(LEAST));
                lengths.push(length);
            }
        }
        Differences { n, len, directions, lengths }
    }

    /// Mean length of the pairs of different rows.
    fn mean(&self) -> f32 {
        let pairs = (self.n * (self.n - 1)) as f32;
        (self.lengths.iter().sum::<f32>() / pairs).max(LEAST)
    }

    /// Directions from row `j`, `[n, len]`.
    fn from(&self, j: usize) -> &[f32] {
        &self.directions[j * self.n * self.len..][..self.n * self.len]
    }
}

/// Value and slope.
fn huber(x: f32) -> (f64, f32) {
    let size = f64::from(x.abs());
    (if size < 1.0 { 0.5 * size * size } else { size - 0.5 }, x.clamp(-1.0, 1.0))
}

fn distances(own: &Differences, taught: &Differences, weight: f32, ds: &mut [f32]) -> f64 {
    let (n, len) = (own.n, own.len);
    let (mean, other) = (own.mean(), taught.mean());
    let scale = 1.0 / (n * n) as f32;
    let mut loss = 0.0;
    let lengths = own.lengths.iter().zip(&taught.lengths);
    let mut slopes: Vec<f32> = lengths
        .map(|(a, b)| {
            let (value, slope) = huber(a / mean - b / other);
            loss += value * f64::from(scale);
            slope * scale * weight
        })
        .collect();
    // Every length moves the mean, too.
    let through_mean = dot(&slopes, &own.lengths) / (mean * mean * (n * (n - 1)) as f32);
    slopes.iter_mut().for_each(|slope| *slope = *slope / mean - through_mean);
    for j in 0..n {
        for i in (0..n).filter(|&i| i != j) {
            // Both (j, i) and (i, j) are this length.
            let slope = slopes[j * n + i] + slopes[i * n + j];
            let direction = &own.from(j)[i * len..][..len];
            let row = ds[i * len..][..len].iter_mut();
            row.zip(direction).for_each(|(d, u)| *d += slope * u);
        }
    }
    loss
}

fn angles(own: &Differences, taught: &Differences, weight: f32, ds: &mut [f32]) -> f64 {
    let (n, len) = (own.n, own.len);
    let scale = 1.0 / (n * n * n) as f32;
    let mut loss = 0.0;
    let mut turn = vec![0.0; len];
    for j in 0..n {
        let (mine, theirs) = (own.from(j), taught.from(j));
        let row = |rows: &'_ [f32], i: usize, len: usize| rows[i * len..][..len].to_vec();
        for i in (0..n).filter(|&i| i != j) {
            let (a, b) = (row(mine, i, len), row(theirs, i, taught.len));
            turn.fill(0.0);
            for k in 0..n {
                let other = &mine[k * len..][..len];
                let cosine = dot(&a, other);
                let (value, slope) =
                    huber(cosine - dot(&b, &theirs[k * taught.len..][..taught.len]));
                loss += value * f64::from(scale);
                // (i, k) and (k, i) are the same angle. Only what turns a direction counts.
                let slope = 2.0 * slope * scale * weight;
                turn.iter_mut().zip(other.iter().zip(&a)).for_each(|(t, (o, a))| {
                    *t += slope * (o - cosine * a);
                });
            }
            let length = own.lengths[j * n + i].max(LEAST);
            for (c, t) in turn.iter().enumerate() {
                ds[i * len + c] += t / length;
                ds[j * len + c] -= t / length;
            }
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;
    use edgecut_kernels::{Isa, Pool};

    use super::super::check_gradient;
    use super::*;

    fn draw(len: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed);
        (0..len).map(|_| rng.normal()).collect()
    }

    #[test]
    fn gradients_of_equal_shapes_are_those_of_differences() {
        let (s, t) = (draw(12, 8), draw(12, 9));
        let mut gradient = vec![0.0; s.len()];
        same(&s, &t, 1.0, &mut gradient);
        check_gradient(&s, |s| same(s, &t, 0.0, &mut vec![0.0; s.len()]), &gradient);
        assert_eq!(same(&t, &t, 1.0, &mut gradient), 0.0);
    }

    #[test]
    fn gradients_of_hints_are_those_of_differences() {
        let pool = Pool::new(2);
        let ctx = Ctx { isa: Isa::detect(), pool: &pool };
        let (s, t, w) = (draw(6 * 3, 1), draw(6 * 4, 2), draw(3 * 4, 3));
        let value = |s: &[f32], w: &[f32], ds: &mut [f32], dw: &mut [f32]| {
            hint(ctx, [3, 4], s, &t, w, 1.0, ds, dw)
        };
        let (mut ds, mut dw) = (vec![0.0; s.len()], vec![0.0; w.len()]);
        value(&s, &w, &mut ds, &mut dw);
        let none = || (vec![0.0; s.len()], vec![0.0; w.len()]);
        check_gradient(
            &s,
            |s| {
                let (mut a, mut b) = none();
                value(s, &w, &mut a, &mut b)
            },
            &ds,
        );
        check_gradient(
            &w,
            |w| {
                let (mut a, mut b) = none();
                value(&s, w, &mut a, &mut b)
            },
            &dw,
        );
    }

    #[test]
    fn gradients_of_attention_are_those_of_differences() {
        let (s, t) = (draw(2 * 4 * 3, 4), draw(2 * 4 * 5, 5));
        let value = |s: &[f32], d: &mut [f32]| attention(2, [3, 5], s, &t, 1.0, d);
        let mut gradient = vec![0.0; s.len()];
        value(&s, &mut gradient);
        check_gradient(&s, |s| value(s, &mut vec![0.0; s.len()]), &gradient);
        assert_eq!(attention(2, [5, 5], &t, &t, 0.0, &mut vec![0.0; t.len()]), 0.0);
    }

    #[test]
    fn gradients_of_relations_are_those_of_differences() {
        let (s, t) = (draw(4 * 3, 6), draw(4 * 5, 7));
        let value = |s: &[f32], d: &mut [f32]| relation(4, s, &t, 1.0, d);
        let mut gradient = vec![0.0; s.len()];
        value(&s, &mut gradient);
        check_gradient(&s, |s| value(s, &mut vec![0.0; s.len()]), &gradient);
        // Scale and place do not count.
        let moved: Vec<f32> = t.iter().map(|t| 3.0 * t + 1.0).collect();
        assert!(relation(4, &moved, &t, 0.0, &mut vec![0.0; t.len()]) < 1e-9);
    }
}

//! What it would take to send codes: a price on inner values that cross a link.
//!
//! Values are rounded to whole numbers before they cross. The codes of each channel are taken for
//! Laplacian, rounded: two-sided geometric with the mean size that the batch shows. Their entropy is
//! what an ideal coder takes that knows no neighbours, and it falls with that size alone; so its slope
//! pulls all codes of a channel towards 0 alike, hardest where codes are rare.

/// Sizes below this count as this: a channel of zeros takes nothing.
const LEAST: f64 = 1e-3;

/// Bits of one image, whose `values` are rows of `channels`, of `n` images; their gradient times
/// `weight` is added to `d`.
pub fn rate(n: usize, channels: usize, values: &[f32], weight: f32, d: &mut [f32]) -> f64 {
    let rows = (values.len() / channels.max(1)).max(1);
    let mut sizes = vec![0f64; channels];
    for row in values.chunks_exact(channels) {
        row.iter().zip(&mut sizes).for_each(|(v, size)| *size += f64::from(v.abs()));
    }
    let per_image = rows as f64 / n.max(1) as f64;
    let mut bits = 0.0;
    let mut slopes = Vec::with_capacity(channels);
    for sum in &sizes {
        let size = (sum / rows as f64).max(LEAST);
        // The size moves by 1 / rows with each value.
        let step = 1e-4 * size;
        let slope = (entropy(size + step) - entropy(size - step)) / (2.0 * step);
        bits += per_image * entropy(size);
        slopes.push((f64::from(weight) * per_image * slope / rows as f64) as f32);
    }
    for (row, d) in values.chunks_exact(channels).zip(d.chunks_exact_mut(channels)) {
        for ((v, d), slope) in row.iter().zip(d).zip(&slopes) {
            *d += slope * if *v == 0.0 { 0.0 } else { v.signum() };
        }
    }
    bits
}

/// Entropy in bits of a Laplacian number of this mean size, rounded.
///
/// With t = exp(-1 / size) and s = sqrt(t), 0 has the probability 1 - s, and k and -k have
/// (1 - t) / (2 s) t^k each: a geometric distribution behind a coin.
fn entropy(size: f64) -> f64 {
    let t = libm::exp(-1.0 / size);
    let other = libm::sqrt(t);
    let bits = |p: f64| if p > 0.0 { -p * libm::log2(p) } else { 0.0 };
    // 0 or not; the sign; and how far from 1, geometric with t.
    let coin = bits(1.0 - other) + bits(other);
    let distance = if t > 0.0 && t < 1.0 { (bits(1.0 - t) + bits(t)) / (1.0 - t) } else { 0.0 };
    coin + other * (1.0 + distance)
}

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;

    use super::super::check_gradient;
    use super::*;

    #[test]
    fn entropies_are_those_of_sums() {
        for size in [0.05, 0.3, 1.0, 4.0] {
            let t: f64 = (-1.0f64 / size).exp();
            let zero = 1.0 - t.sqrt();
            let level = |k: i32| (1.0 - t) / (2.0 * t.sqrt()) * t.powi(k);
            let others: Vec<f64> = (1..400).map(level).take_while(|p| *p > 1e-300).collect();
            let total = zero + 2.0 * others.iter().sum::<f64>();
            assert!((total - 1.0).abs() < 1e-9, "{size}: {total}");
            let sum = -zero * zero.log2() - 2.0 * others.iter().map(|p| p * p.log2()).sum::<f64>();
            assert!((entropy(size) - sum).abs() < 1e-6, "{size}: {} {sum}", entropy(size));
        }
        assert!(entropy(LEAST) < 1e-9 && entropy(2.0) > entropy(1.0));
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let mut rng = Rng::new(2);
        // Away from 0, where the size has a corner.
        let mut draw = || {
            let v = 2.0 * rng.normal();
            v + 0.2 * v.signum()
        };
        let values: Vec<f32> = (0..2 * 6 * 3).map(|_| draw()).collect();
        let value = |v: &[f32], d: &mut [f32]| rate(2, 3, v, 1.0, d);
        let mut gradient = vec![0.0; values.len()];
        value(&values, &mut gradient);
        check_gradient(&values, |v| value(v, &mut vec![0.0; v.len()]), &gradient);
    }
}

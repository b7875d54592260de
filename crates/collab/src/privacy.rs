//! How much of a picture is left in what crosses: as a number without an attacker.

use edgecut_graph::Tensor;

use crate::{CollabError, Result};

/// Most samples: the distances of all pairs are kept, twice.
pub const MAX_SAMPLES: usize = 2048;

/// Distance correlation of paired samples, from 0 where they are independent to 1 where one is the
/// other turned, moved and scaled (Szekely, Rizzo and Bakirov 2007), with the correction of bias
/// without which any two of high dimension would seem alike (Szekely and Rizzo 2013). It says how far
/// pictures that are alike stay alike; Vepakomma et al. (arXiv:2008.09161) use it for what leaves a device.
///
/// # Errors
/// Where there are fewer than 4 samples, more than [`MAX_SAMPLES`], or not as many of both.
pub fn distance_correlation(a: &[Tensor], b: &[Tensor]) -> Result<f64> {
    let fail =
        |problem: String| Err(CollabError::Problem(format!("distance correlation: {problem}")));
    let n = a.len();
    if n != b.len() {
        return fail(format!("{n} and {} samples", b.len()));
    }
    if !(4..=MAX_SAMPLES).contains(&n) {
        return fail(format!("{n} samples, must be 4 to {MAX_SAMPLES}"));
    }
    for samples in [a, b] {
        if samples.iter().any(|s| s.len() != samples[0].len()) {
            return fail("samples of several sizes".into());
        }
    }
    let (a, b) = (centred(a), centred(b));
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    // Constant samples depend on nothing.
    Ok(if scale > 0.0 { (product(&a, &b) / scale).clamp(0.0, 1.0).sqrt() } else { 0.0 })
}

/// Distances of all pairs, less what is usual for each of both ("U-centred"), in rows.
fn centred(samples: &[Tensor]) -> Vec<f64> {
    let n = samples.len();
    let values: Vec<Vec<f32>> = samples.iter().map(Tensor::to_f32).collect();
    let mut distances = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            let square: f32 =
                values[i].iter().zip(&values[j]).map(|(x, y)| (x - y) * (x - y)).sum();
            let distance = f64::from(square).sqrt();
            (distances[i * n + j], distances[j * n + i]) = (distance, distance);
        }
    }
    let rows: Vec<f64> = distances.chunks(n).map(|row| row.iter().sum::<f64>()).collect();
    let (all, few) = (rows.iter().sum::<f64>(), (n - 2) as f64);
    for i in 0..n {
        for j in 0..n {
            let usual = (rows[i] + rows[j]) / few - all / ((n - 1) as f64 * few);
            let distance = &mut distances[i * n + j];
            *distance = if i == j { 0.0 } else { *distance - usual };
        }
    }
    distances
}

//! Determinants and eigenvalues of small symmetric matrices, the same bits on every platform.

/// Sweeps of rotations at most; each about squares what is left off the diagonal.
const SWEEPS: usize = 40;

/// `ln |det a|` of an `n` by `n` matrix by elimination with partial pivoting; minus infinity where it
/// is singular.
pub fn log_abs_det(mut a: Vec<f64>, n: usize) -> f64 {
    let mut sum = 0.0;
    for k in 0..n {
        let largest = |&i: &usize, &j: &usize| a[i * n + k].abs().total_cmp(&a[j * n + k].abs());
        let pivot = (k..n).max_by(largest).unwrap_or(k);
        (0..n).for_each(|j| a.swap(k * n + j, pivot * n + j));
        let divisor = a[k * n + k];
        if divisor == 0.0 {
            return f64::NEG_INFINITY;
        }
        sum += libm::log(divisor.abs());
        let (done, rest) = a.split_at_mut((k + 1) * n);
        let row = &done[k * n..];
        for other in rest.chunks_exact_mut(n) {
            let factor = other[k] / divisor;
            other[k..].iter_mut().zip(&row[k..]).for_each(|(o, r)| *o -= factor * r);
        }
    }
    sum
}

/// Eigenvalues of a symmetric `n` by `n` matrix by Jacobi's rotations, in no order.
pub fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for _ in 0..SWEEPS {
        let outside: f64 = pairs(n).map(|(p, q)| a[p * n + q].powi(2)).sum();
        let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        // Below the rounding of the largest eigenvalue.
        if outside <= 1e-34 * diagonal {
            break;
        }
        for (p, q) in pairs(n) {
            rotate(&mut a, n, p, q);
        }
    }
    (0..n).map(|i| a[i * n + i]).collect()
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |p| (p + 1..n).map(move |q| (p, q)))
}

/// Makes the element (p, q) zero (Golub and Van Loan, Matrix Computations, 8.5).
fn rotate(a: &mut [f64], n: usize, p: usize, q: usize) {
    let off = a[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for i in 0..n {
        let (x, y) = (a[i * n + p], a[i * n + q]);
        (a[i * n + p], a[i * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for i in 0..n {
        let (x, y) = (a[p * n + i], a[q * n + i]);
        (a[p * n + i], a[q * n + i]) = (c * x - s * y, s * x + c * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn symmetric(values: &[f64], n: usize) -> Vec<f64> {
        let at = |i: usize, j: usize| values[i.min(j) * n + i.max(j)];
        (0..n * n).map(|k| at(k / n, k % n)).collect()
    }

    #[test]
    fn by_hand() {
        assert!((log_abs_det(vec![0.0, 2.0, -3.0, 1.0], 2) - 6f64.ln()).abs() < 1e-12);
        assert_eq!(log_abs_det(vec![2.0; 9], 3), f64::NEG_INFINITY);
        let mut values = eigenvalues(vec![2.0, 1.0, 1.0, 2.0], 2);
        values.sort_by(f64::total_cmp);
        assert!((values[0] - 1.0).abs() < 1e-12 && (values[1] - 3.0).abs() < 1e-12);
        assert_eq!(eigenvalues(vec![0.0; 4], 2), [0.0, 0.0]);
    }

    proptest! {
        /// The product of the eigenvalues is the determinant, their sum the trace, that of their
        /// squares the sum of all squares.
        #[test]
        fn eigenvalues_and_determinant_agree(
            n in 1usize..9,
            values in proptest::collection::vec(-2.0f64..2.0, 81),
        ) {
            let a = symmetric(&values, n);
            let eigen = eigenvalues(a.clone(), n);
            let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
            prop_assert!((eigen.iter().sum::<f64>() - trace).abs() < 1e-9);
            let squares: f64 = a.iter().map(|v| v * v).sum();
            prop_assert!((eigen.iter().map(|v| v * v).sum::<f64>() - squares).abs() < 1e-9);
            let product: f64 = eigen.iter().product();
            let det = log_abs_det(a, n).exp();
            prop_assert!((product.abs() - det).abs() < 1e-9 * (1.0 + det));
        }
    }
}

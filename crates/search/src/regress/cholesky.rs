//! The Cholesky factor of a covariance.

/// A lower triangle L with L Lᵀ = A, row by row.
#[derive(Clone, Debug)]
pub struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// The factor of the symmetric positive matrix whose lower triangle is `rows`. Pivots that rounding
    /// makes too small are raised to 1e-12: rows that are equal up to noise then say the same.
    pub fn new(mut rows: Vec<Vec<f64>>) -> Cholesky {
        for i in 0..rows.len() {
            let (done, rest) = rows.split_at_mut(i);
            let row = &mut rest[0];
            for j in 0..i {
                let sum = dot(&row[..j], &done[j][..j]);
                row[j] = (row[j] - sum) / done[j][j];
            }
            row[i] = (row[i] - dot(&row[..i], &row[..i])).max(1e-12).sqrt();
        }
        Cholesky { rows }
    }

    /// Solves L x = b in place.
    pub fn solve_lower(&self, b: &mut [f64]) {
        for (i, row) in self.rows.iter().enumerate() {
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// Solves Lᵀ x = b in place.
    pub fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..self.rows.len()).rev() {
            b[i] /= self.rows[i][i];
            for j in 0..i {
                b[j] -= self.rows[i][j] * b[i];
            }
        }
    }

    /// Half of the logarithm of A's determinant.
    pub fn half_log_determinant(&self) -> f64 {
        self.rows.iter().enumerate().map(|(i, row)| libm::log(row[i])).sum()
    }
}

/// Four sums side by side, which a compiler turns into one vector; the order is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
}

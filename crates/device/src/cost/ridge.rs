//! Ridge regression (Hoerl and Kennard 1970), with its strength chosen by leaving each row out.

/// Strengths that are tried, for columns of unit variance.
const STRENGTHS: [f64; 8] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// A linear function of standardised columns.
#[derive(Clone, Debug)]
pub(super) struct Ridge {
    means: Vec<f64>,
    scales: Vec<f64>,
    weights: Vec<f64>,
    constant: f64,
}

impl Ridge {
    /// The function that fits `targets` best where each row is left out in turn, and what it then misses;
    /// none without rows.
    pub fn fit(rows: &[Vec<f64>], targets: &[f64]) -> Option<(Ridge, Vec<f64>)> {
        let columns = rows.first()?.len();
        let n = rows.len() as f64;
        let column = |j: usize| rows.iter().map(move |row| row[j]);
        let means: Vec<f64> = (0..columns).map(|j| column(j).sum::<f64>() / n).collect();
        let scale = |j: usize| {
            let variance = column(j).map(|v| (v - means[j]).powi(2)).sum::<f64>() / n;
            // A column that does not vary says nothing.
            if variance > 1e-18 { variance.sqrt() } else { f64::INFINITY }
        };
        let scales: Vec<f64> = (0..columns).map(scale).collect();
        let constant = targets.iter().sum::<f64>() / n;
        let centred: Vec<f64> = targets.iter().map(|t| t - constant).collect();
        let mut ridge = Ridge { means, scales, weights: vec![0.0; columns], constant };
        let x: Vec<Vec<f64>> = rows.iter().map(|row| ridge.standardised(row)).collect();
        let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
        for strength in STRENGTHS {
            let Some((weights, missed)) = solve(&x, &centred, strength * n) else { continue };
            let squares: f64 = missed.iter().map(|m| m * m).sum();
            if best.as_ref().is_none_or(|(least, ..)| squares < *least) {
                best = Some((squares, weights, missed));
            }
        }
        let (_, weights, missed) = best?;
        ridge.weights = weights;
        Some((ridge, missed))
    }

    /// The value at `row`.
    pub fn predict(&self, row: &[f64]) -> f64 {
        let standardised = self.standardised(row);
        let terms = standardised.iter().zip(&self.weights).map(|(x, w)| x * w);
        self.constant + terms.sum::<f64>()
    }

    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        let scales = self.means.iter().zip(&self.scales);
        row.iter().zip(scales).map(|(v, (mean, scale))| (v - mean) / scale).collect()
    }
}

/// Weights `(X'X + strength)^-1 X'y` of centred columns, and for each row what the weights from all
/// others miss: its error over `1 - h`, h its element of the diagonal of `X (X'X + strength)^-1 X'`,
/// and of the mean.
fn solve(x: &[Vec<f64>], y: &[f64], strength: f64) -> Option<(Vec<f64>, Vec<f64>)> {
    let (n, columns) = (x.len(), x.first()?.len());
    let mut gram = vec![0.0; columns * columns];
    let mut moment = vec![0.0; columns];
    for (row, target) in x.iter().zip(y) {
        for (i, a) in row.iter().enumerate() {
            moment[i] += a * target;
            row.iter().enumerate().for_each(|(j, b)| gram[i * columns + j] += a * b);
        }
    }
    (0..columns).for_each(|i| gram[i * columns + i] += strength);
    let factor = cholesky(gram, columns)?;
    let weights = backward(&factor, &forward(&factor, &moment));
    let missed = x.iter().zip(y).map(|(row, target)| {
        let half = forward(&factor, row);
        let leverage = half.iter().map(|v| v * v).sum::<f64>() + 1.0 / n as f64;
        let fitted: f64 = row.iter().zip(&weights).map(|(v, w)| v * w).sum();
        (target - fitted) / (1.0 - leverage).max(1e-3)
    });
    let missed = missed.collect();
    Some((weights, missed))
}

/// The lower triangle L with `L L' = a`; none where `a` is not positive definite.
fn cholesky(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            a[i * n + j] = match i == j {
                true if rest <= 0.0 => return None,
                true => rest.sqrt(),
                false => rest / a[j * n + j],
            };
        }
    }
    Some(a)
}

/// Solves `L x = b`.
fn forward(factor: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut x = b.to_vec();
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| factor[i * n + k] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i * n + i];
    }
    x
}

/// Solves `L' x = b`.
fn backward(factor: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut x = b.to_vec();
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| factor[k * n + i] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i * n + i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;

    fn table(rows: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut rng = Rng::new(4);
        let row = |_| (0..4).map(|_| f64::from(rng.range(-2.0, 2.0))).collect::<Vec<f64>>();
        let rows: Vec<Vec<f64>> = (0..rows).map(row).collect();
        let targets = rows.iter().map(|r| 3.0 + 2.0 * r[0] - r[1] + 0.5 * r[3]).collect();
        (rows, targets)
    }

    #[test]
    fn linear_functions_are_found() {
        let (rows, targets) = table(40);
        let (ridge, missed) = Ridge::fit(&rows, &targets).unwrap();
        assert!(missed.iter().all(|m| m.abs() < 1e-3), "{missed:?}");
        assert!((ridge.predict(&[1.0, 1.0, 9.0, 2.0]) - 5.0).abs() < 1e-2);
    }

    /// What the formula says is missed is what is missed.
    #[test]
    fn left_out_rows_are_missed_by_as_much_as_is_said() {
        let (rows, mut targets) = table(12);
        targets.iter_mut().enumerate().for_each(|(i, t)| *t += (i % 3) as f64);
        let centre = |rows: &[Vec<f64>], targets: &[f64]| {
            let n = rows.len() as f64;
            let means: Vec<f64> =
                (0..4).map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / n).collect();
            let mean = targets.iter().sum::<f64>() / n;
            (means, mean)
        };
        let less = |row: &[f64], by: &[f64]| -> Vec<f64> {
            row.iter().zip(by).map(|(a, b)| a - b).collect()
        };
        let fit = |rows: &[Vec<f64>], targets: &[f64]| {
            let (means, mean) = centre(rows, targets);
            let x: Vec<Vec<f64>> = rows.iter().map(|row| less(row, &means)).collect();
            let y: Vec<f64> = targets.iter().map(|t| t - mean).collect();
            (solve(&x, &y, 1e-9).unwrap(), means, mean)
        };
        let ((_, missed), ..) = fit(&rows, &targets);
        for (left_out, said) in missed.iter().enumerate() {
            let (mut others, mut rest) = (rows.clone(), targets.clone());
            let (row, target) = (others.remove(left_out), rest.remove(left_out));
            let ((weights, _), means, mean) = fit(&others, &rest);
            let x = less(&row, &means);
            let fitted: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let error = target - mean - fitted;
            assert!((error - said).abs() < 1e-6, "{error} {said}");
        }
    }

    #[test]
    fn columns_that_do_not_vary_say_nothing() {
        let rows = vec![vec![1.0, 0.0], vec![1.0, 1.0], vec![1.0, 2.0]];
        let (ridge, _) = Ridge::fit(&rows, &[0.0, 2.0, 4.0]).unwrap();
        assert!((ridge.predict(&[5.0, 3.0]) - 6.0).abs() < 1e-2);
        assert!(Ridge::fit(&[], &[]).is_none());
    }
}

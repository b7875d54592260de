//! Eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction to three diagonals, then
//! the QL method with implicit shifts (Golub and Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3;
//! Martin, Reinsch and Wilkinson 1968). Some 9 n^3 operations, all of them on contiguous rows; one order,
//! one thread, so the same bits everywhere.

/// A shift per eigenvalue finds it in 2 on average; so many mean numbers that are not finite.
const MAX_SHIFTS: usize = 60;

/// Eigenvalues, descending, and their eigenvectors of length 1, of the symmetric matrix `a` of `n` rows.
/// `None` where its numbers are not finite.
pub(super) fn symmetric(a: Vec<f64>, n: usize) -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
    if !a.iter().all(|x| x.is_finite()) {
        return None;
    }
    let Reduced { mut diagonal, mut beside, reflectors } = reduce(a, n);
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| unit(n, i)).collect();
    diagonalise(&mut diagonal, &mut beside, &mut vectors)?;
    for vector in &mut vectors {
        for (k, reflector) in reflectors.iter().enumerate().rev() {
            reflect(&mut vector[k + 1..], reflector);
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| diagonal[j].total_cmp(&diagonal[i]));
    let take = |&i: &usize| (diagonal[i], std::mem::take(&mut vectors[i]));
    Some(order.iter().map(take).unzip())
}

/// A matrix `Q T Q'` with `T` of three diagonals.
struct Reduced {
    diagonal: Vec<f64>,
    /// Below the diagonal; the last one is 0.
    beside: Vec<f64>,
    /// Vectors v of length 1 or 0: `Q` is the product of `1 - 2 v v'`, number k on the elements behind k.
    reflectors: Vec<Vec<f64>>,
}

fn reduce(mut a: Vec<f64>, n: usize) -> Reduced {
    let (mut beside, mut reflectors) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for k in 0..n.saturating_sub(1) {
        // The rest of column k, mirrored onto its first axis.
        let mut v = a[k * n + k + 1..(k + 1) * n].to_vec();
        let length = dot(&v, &v).sqrt();
        let mirrored = if v[0] > 0.0 { -length } else { length };
        beside.push(mirrored);
        v[0] -= mirrored;
        let size = dot(&v, &v).sqrt();
        let scale = if size > 0.0 { size.recip() } else { 0.0 };
        v.iter_mut().for_each(|x| *x *= scale);
        // (1 - 2 v v') A (1 - 2 v v') = A - v w' - w v', where w = 2 (A v - (v' A v) v).
        let mut w: Vec<f64> = (k + 1..n).map(|i| dot(&a[i * n + k + 1..(i + 1) * n], &v)).collect();
        let inner = dot(&w, &v);
        w.iter_mut().zip(&v).for_each(|(w, v)| *w = 2.0 * (*w - inner * v));
        for (i, row) in a.chunks_exact_mut(n).skip(k + 1).enumerate() {
            let (vi, wi) = (v[i], w[i]);
            let entries = row[k + 1..].iter_mut().zip(v.iter().zip(&w));
            entries.for_each(|(entry, (v, w))| *entry -= vi * w + wi * v);
        }
        reflectors.push(v);
    }
    beside.push(0.0);
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    Reduced { diagonal, beside, reflectors }
}

/// Turns `d`, with `e` beside it, into eigenvalues, and the rows of `vectors` into eigenvectors.
fn diagonalise(d: &mut [f64], e: &mut [f64], vectors: &mut [Vec<f64>]) -> Option<()> {
    let n = d.len();
    for first in 0..n {
        let mut shifts = 0;
        loop {
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let last = (first..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if last == first {
                break;
            }
            shifts += 1;
            if shifts > MAX_SHIFTS {
                return None;
            }
            sweep(d, e, vectors, (first, last));
        }
    }
    Some(())
}

/// One QL step with Wilkinson's shift on the block from `first` to `last`: rotations from its end chase
/// what the shift has put beside the three diagonals.
fn sweep(d: &mut [f64], e: &mut [f64], vectors: &mut [Vec<f64>], (first, last): (usize, usize)) {
    let half = (d[first + 1] - d[first]) / (2.0 * e[first]);
    let root = half.hypot(1.0);
    let mut g = d[last] - d[first] + e[first] / (half + root.copysign(half));
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    for i in (first..last).rev() {
        let (f, b) = (sine * e[i], cosine * e[i]);
        let length = f.hypot(g);
        e[i + 1] = length;
        if length == 0.0 {
            // The block has fallen apart; the next step takes its parts.
            d[i + 1] -= shift;
            e[last] = 0.0;
            return;
        }
        (sine, cosine) = (f / length, g / length);
        g = d[i + 1] - shift;
        let turned = (d[i] - g) * sine + 2.0 * cosine * b;
        shift = sine * turned;
        d[i + 1] = g + shift;
        g = cosine * turned - b;
        if let [low, high] = &mut vectors[i..i + 2] {
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = (cosine * *low - sine * *high, sine * *low + cosine * *high);
            }
        }
    }
    d[first] -= shift;
    e[first] = g;
    e[last] = 0.0;
}

/// `x` mirrored by a vector of length 1.
fn reflect(x: &mut [f64], v: &[f64]) {
    let along = 2.0 * dot(x, v);
    x.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
}

fn unit(n: usize, i: usize) -> Vec<f64> {
    let mut vector = vec![0.0; n];
    vector[i] = 1.0;
    vector
}

/// Eight sums side by side, which fill vector registers, then theirs.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut sums, [a, b]) = ([0.0; 8], [a, b].map(|x| x.as_chunks::<8>()));
    for (a, b) in a.0.iter().zip(b.0) {
        (0..8).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    let rest: f64 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;

    use super::*;

    /// A symmetric matrix of so many rows and of this rank.
    fn matrix(n: usize, rank: usize, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        let parts: Vec<Vec<f64>> =
            (0..rank).map(|_| (0..n).map(|_| f64::from(rng.normal())).collect()).collect();
        let entry = |i: usize| parts.iter().map(|part| part[i / n] * part[i % n]).sum();
        (0..n * n).map(entry).collect()
    }

    #[test]
    fn vectors_are_orthonormal_and_eigenvectors() {
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (17, 17), (40, 12), (64, 64), (5, 0)] {
            let a = matrix(n, rank, n as u64);
            let (values, vectors) = symmetric(a.clone(), n).unwrap();
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            let largest = values[0].abs().max(1e-30);
            for (i, (value, vector)) in values.iter().zip(&vectors).enumerate() {
                for (row, x) in a.chunks_exact(n).zip(vector) {
                    assert!((dot(row, vector) - value * x).abs() < 1e-12 * n as f64 * largest);
                }
                for (j, other) in vectors.iter().enumerate() {
                    let expected = f64::from(i == j);
                    assert!((dot(vector, other) - expected).abs() < 1e-12 * n as f64);
                }
                assert!(i < rank || value.abs() < 1e-12 * largest, "rank {rank}: {value}");
            }
        }
        assert!(symmetric(vec![f64::NAN; 9], 3).is_none());
    }
}

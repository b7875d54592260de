//! Means and softmax along dimensions.

/// Mean over `axes`. The result keeps the order of the other dimensions, so that it serves with
/// and without kept dimensions. The mean of nothing is NaN, as in NumPy.
pub(super) fn mean(shape: &[usize], x: &[f32], axes: &[usize]) -> Vec<f32> {
    let kept: Vec<usize> =
        shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let target = super::elementwise::Broadcast::new(&kept, shape);
    let mut sums = vec![0f64; kept.iter().product()];
    for (i, &v) in x.iter().enumerate() {
        sums[target.at(i)] += f64::from(v);
    }
    let count: usize = axes.iter().map(|&a| shape[a]).product();
    sums.into_iter().map(|sum| (sum / count as f64) as f32).collect()
}

/// `exp(x - max) / sum(exp(x - max))` along `axis`; subtracting the maximum changes nothing but
/// avoids overflow.
pub(super) fn softmax(shape: &[usize], x: &[f32], axis: usize) -> Vec<f32> {
    let (extent, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let outer: usize = shape[..axis].iter().product();
    let mut result = vec![0f32; x.len()];
    for o in 0..outer {
        for i in 0..inner {
            let at = |k: usize| (o * extent + k) * inner + i;
            let largest = (0..extent).map(|k| x[at(k)]).fold(f32::NEG_INFINITY, f32::max);
            let power = |k: usize| (f64::from(x[at(k)]) - f64::from(largest)).exp();
            let sum: f64 = (0..extent).map(power).sum();
            (0..extent).for_each(|k| result[at(k)] = (power(k) / sum) as f32);
        }
    }
    result
}

//! How far two results differ.

use edgecut_graph::Tensor;

/// Largest absolute difference. Infinite where shapes differ or only one element is NaN.
pub fn max_abs_diff(a: &Tensor, b: &Tensor) -> f32 {
    if a.shape() != b.shape() {
        return f32::INFINITY;
    }
    let differ = |(x, y): (f32, f32)| {
        // Equal infinities and two NaNs agree; a NaN against a number does not.
        if x == y || (x.is_nan() && y.is_nan()) {
            0.0
        } else if x.is_nan() || y.is_nan() {
            f32::INFINITY
        } else {
            (x - y).abs()
        }
    };
    a.to_f32().into_iter().zip(b.to_f32()).map(differ).fold(0.0, f32::max)
}

/// `|a - b| / |b|` in the Euclidean norm, with `b` the truth. Zero where both are zero; infinite
/// where shapes differ or a difference is not finite.
pub fn relative_error(a: &Tensor, b: &Tensor) -> f32 {
    if a.shape() != b.shape() {
        return f32::INFINITY;
    }
    let (mut error, mut norm) = (0f64, 0f64);
    for (x, y) in a.to_f32().into_iter().zip(b.to_f32()) {
        let (x, y) = (f64::from(x), f64::from(y));
        error += (x - y) * (x - y);
        norm += y * y;
    }
    match (error, norm) {
        (0.0, _) => 0.0,
        (e, n) if e.is_finite() && n.is_finite() => (e / n).sqrt() as f32,
        _ => f32::INFINITY,
    }
}

/// Fails where [`relative_error`] exceeds `tolerance`; `context` names the case, such as its seed.
pub fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32, context: &str) {
    let error = relative_error(a, b);
    assert!(
        error <= tolerance,
        "{context}: relative error {error:e} exceeds {tolerance:e} ({:?} against {:?}, largest \
         difference {:e})",
        a.shape(),
        b.shape(),
        max_abs_diff(a, b)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(values: &[f32]) -> Tensor {
        Tensor::vector(values.to_vec())
    }

    #[test]
    fn differences() {
        let (a, b) = (vector(&[3.0, 4.0]), vector(&[3.0, 4.5]));
        assert_eq!(max_abs_diff(&a, &b), 0.5);
        assert_eq!(relative_error(&b, &a), 0.1);
        assert_eq!(relative_error(&a, &a), 0.0);
    }

    #[test]
    fn what_cannot_be_compared_is_infinitely_far() {
        let nan = vector(&[f32::NAN]);
        assert_eq!(max_abs_diff(&vector(&[1.0]), &nan), f32::INFINITY);
        assert_eq!(max_abs_diff(&nan, &nan), 0.0);
        assert_eq!(relative_error(&vector(&[1.0]), &nan), f32::INFINITY);
        assert_eq!(max_abs_diff(&vector(&[1.0]), &vector(&[1.0, 2.0])), f32::INFINITY);
        assert_eq!(relative_error(&vector(&[1.0]), &vector(&[0.0])), f32::INFINITY);
    }
}

//! Distance correlation: what is the same, what is independent, and a value computed elsewhere.

use edgecut_collab::privacy::distance_correlation;
use edgecut_graph::Tensor;
use edgecut_graph::rng::Rng;

fn draw(count: usize, len: usize, seed: u64) -> Vec<Tensor> {
    let mut rng = Rng::new(seed);
    let mut one = || Tensor::new([1, len], (0..len).map(|_| rng.normal()).collect::<Vec<f32>>());
    (0..count).map(|_| one().unwrap()).collect()
}

fn map(samples: &[Tensor], f: impl Fn(f32) -> f32) -> Vec<Tensor> {
    let one =
        |t: &Tensor| Tensor::new(t.shape(), t.to_f32().into_iter().map(&f).collect::<Vec<f32>>());
    samples.iter().map(|t| one(t).unwrap()).collect()
}

#[test]
fn copies_are_1_and_independent_samples_near_0() {
    let a = draw(200, 50, 1);
    assert!((distance_correlation(&a, &a).unwrap() - 1.0).abs() < 1e-9);
    let moved = map(&a, |v| 3.0 - 2.0 * v);
    assert!((distance_correlation(&a, &moved).unwrap() - 1.0).abs() < 1e-5);
    // Without the correction these would come out near 1.
    let other = draw(200, 50, 2);
    assert!(distance_correlation(&a, &other).unwrap() < 0.25);
    let half = map(&a, |v| v.max(0.0));
    let found = distance_correlation(&a, &half).unwrap();
    assert!((0.7..0.999).contains(&found), "{found}");
    let constant = map(&a, |_| 1.0);
    assert_eq!(distance_correlation(&a, &constant).unwrap(), 0.0);
}

/// By the definition, with loops, for five points on a line and their squares.
#[test]
fn values_are_those_of_the_definition() {
    let points = [-2.0f32, -1.0, 0.5, 1.0, 3.0];
    let n = points.len();
    let tensors = |f: fn(f32) -> f32| -> Vec<Tensor> {
        points.iter().map(|&p| Tensor::new([1, 1], vec![f(p)]).unwrap()).collect()
    };
    let pairs: Vec<(usize, usize)> =
        (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| i != j).collect();
    let centred = |f: fn(f32) -> f32| -> Vec<f64> {
        let d = |i: usize, j: usize| f64::from((f(points[i]) - f(points[j])).abs());
        let row = |i: usize| (0..n).map(|j| d(i, j)).sum::<f64>();
        let all: f64 = (0..n).map(row).sum();
        let usual = |i, j| (row(i) + row(j)) / 3.0 - all / 12.0;
        pairs.iter().map(|&(i, j)| d(i, j) - usual(i, j)).collect()
    };
    let (a, b) = (centred(|v| v), centred(|v| v * v));
    let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let expected = (sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()).max(0.0).sqrt();
    let found = distance_correlation(&tensors(|v| v), &tensors(|v| v * v)).unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn samples_that_do_not_belong_together_are_refused() {
    let fails = |a: &[Tensor], b: &[Tensor], says: &str| {
        let error = distance_correlation(a, b).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let a = draw(6, 3, 1);
    fails(&a, &a[..5], "6 and 5 samples");
    fails(&a[..3], &a[..3], "3 samples");
    let mixed = [&a[..4], &draw(2, 4, 1)[..]].concat();
    fails(&mixed, &a, "several sizes");
}

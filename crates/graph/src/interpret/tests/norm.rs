//! Normalisations.

use super::*;

#[test]
fn batch_norm_is_per_channel() {
    let x = ramp(&[1, 2, 1, 2]);
    let v = |a: f32, b: f32| tensor(&[2], vec![a, b]);
    let inputs = [&x, &v(2.0, 1.0), &v(0.0, 5.0), &v(1.0, 2.0), &v(4.0, 0.25)];
    let op = Op::BatchNorm { epsilon: 0.0, momentum: 0.9 };
    expect(op, &inputs, &[1, 2, 1, 2], &[-1.0, 0.0, 5.0, 7.0]);
}

#[test]
fn layer_instance_and_group_norm() {
    // Two groups of deviation 1 around 1 and 10.
    let x = tensor(&[1, 2, 2], vec![0f32, 2.0, 9.0, 11.0]);
    let (scale, bias) = (Tensor::vector(vec![2f32, 3.0]), Tensor::vector(vec![0f32, 1.0]));
    let epsilon = 0.0;
    let rows = [-2.0, 2.0, -2.0, 4.0];
    expect(Op::InstanceNorm { epsilon }, &[&x, &scale, &bias], &[1, 2, 2], &rows);
    expect(Op::GroupNorm { groups: 2, epsilon }, &[&x, &scale, &bias], &[1, 2, 2], &rows);
    let positions = [-2.0, 4.0, -2.0, 4.0];
    expect(Op::LayerNorm { axis: 2, epsilon }, &[&x, &scale, &bias], &[1, 2, 2], &positions);
    expect(Op::LayerNorm { axis: 2, epsilon }, &[&x, &scale], &[1, 2, 2], &[-2.0, 3.0, -2.0, 3.0]);
    // All four: mean 5.5, variance 21.25.
    let one = Tensor::vector(vec![1f32; 2]);
    let zero = Tensor::vector(vec![0f32; 2]);
    let unit = |v: f64| ((v - 5.5) / 21.25f64.sqrt()) as f32;
    let op = Op::GroupNorm { groups: 1, epsilon };
    let expected = [unit(0.0), unit(2.0), unit(9.0), unit(11.0)];
    expect(op, &[&x, &one, &zero], &[1, 2, 2], &expected);
}

#[test]
fn local_response_looks_at_neighbouring_channels() {
    let x = tensor(&[1, 4, 1], vec![1f32, 2.0, 3.0, 4.0]);
    let op = |size| Op::LocalResponseNorm { alpha: size as f32, beta: 1.0, bias: 1.0, size };
    let three = [1.0 / 6.0, 2.0 / 15.0, 3.0 / 30.0, 4.0 / 26.0];
    expect(op(3), &[&x], &[1, 4, 1], &three);
    // The channel itself and the one behind.
    let two = [1.0 / 6.0, 2.0 / 14.0, 3.0 / 26.0, 4.0 / 17.0];
    expect(op(2), &[&x], &[1, 4, 1], &two);
}

#[test]
fn lp_norm_of_zeros_is_zero() {
    let x = tensor(&[2, 2], vec![3f32, -4.0, 0.0, 0.0]);
    expect(Op::LpNorm { axis: 1, p: 2 }, &[&x], &[2, 2], &[0.6, -0.8, 0.0, 0.0]);
    expect(Op::LpNorm { axis: 1, p: 1 }, &[&x], &[2, 2], &[3.0 / 7.0, -4.0 / 7.0, 0.0, 0.0]);
}

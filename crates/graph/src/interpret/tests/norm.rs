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

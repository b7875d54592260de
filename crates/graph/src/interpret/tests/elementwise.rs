//! Functions of single elements.

use super::*;

#[test]
fn elementwise_functions() {
    let x = tensor(&[5], vec![-7f32, -1.0, 0.0, 2.0, 7.0]);
    expect(Op::RELU, &[&x], &[5], &[0.0, 0.0, 0.0, 2.0, 7.0]);
    expect(Op::RELU6, &[&x], &[5], &[0.0, 0.0, 0.0, 2.0, 6.0]);
    let crossed = Op::Unary(Unary::Clip { min: 3.0, max: 1.0 });
    expect(crossed, &[&x], &[5], &[1.0; 5]);
    expect(Op::Unary(Unary::LeakyRelu { alpha: 0.5 }), &[&x], &[5], &[-3.5, -0.5, 0.0, 2.0, 7.0]);
    expect(
        Op::Unary(Unary::HardSigmoid { alpha: 0.25, beta: 0.5 }),
        &[&x],
        &[5],
        &[0.0, 0.25, 0.5, 1.0, 1.0],
    );
    let swish = apply(Op::Unary(Unary::HardSwish), &[&x]).unwrap();
    assert_eq!(swish.f32s().unwrap()[4], 7.0);
    let sigmoid = apply(Op::Unary(Unary::Sigmoid), &[&x]).unwrap();
    assert!((sigmoid.f32s().unwrap()[3] - 0.880_797_1).abs() < 1e-7);
}

#[test]
fn binary_functions_broadcast() {
    let (a, b) = (ramp(&[2, 3]), tensor(&[2, 1], vec![10f32, 20.0]));
    let add = Op::Binary(Binary::Add);
    expect(add.clone(), &[&a, &b], &[2, 3], &[10.0, 11.0, 12.0, 23.0, 24.0, 25.0]);
    expect(
        Op::Binary(Binary::Sub),
        &[&Tensor::scalar(1.0), &a],
        &[2, 3],
        &[1.0, 0.0, -1.0, -2.0, -3.0, -4.0],
    );
    expect(Op::Binary(Binary::Mul), &[&Tensor::scalar(3.0), &Tensor::scalar(2.0)], &[], &[6.0]);
    expect(Op::Binary(Binary::Div), &[&b, &tensor(&[1], vec![4f32])], &[2, 1], &[2.5, 5.0]);
    assert!(apply(add, &[&a, &ramp(&[2])]).is_err());
}

//! Matrix products.

use super::*;

#[test]
fn matrix_products() {
    let (a, b) = (ramp(&[2, 3]), ramp(&[3, 2]));
    expect(Op::MatMul, &[&a, &b], &[2, 2], &[10.0, 13.0, 28.0, 40.0]);
    let c = tensor(&[2, 1], vec![1f32, 2.0]);
    let gemm = Gemm { alpha: 2.0, beta: 10.0, trans_a: false, trans_b: false };
    expect(Op::Gemm(gemm), &[&a, &b, &c], &[2, 2], &[30.0, 36.0, 76.0, 100.0]);
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: true, trans_b: true };
    expect(Op::Gemm(gemm), &[&b, &a], &[2, 2], &[10.0, 28.0, 13.0, 40.0]);
    // A stack of one matrix broadcasts against a stack of two.
    let stack = ramp(&[2, 1, 3]);
    let result = apply(Op::MatMul, &[&stack, &b]).unwrap();
    assert_eq!(
        (result.shape(), result.f32s().unwrap()),
        (&[2, 1, 2][..], &[10.0, 13.0, 28.0, 40.0][..])
    );
}

#[test]
fn integers_less_their_zero_points() {
    let a = tensor(&[2, 2], vec![3u8, 5, 255, 0]);
    let b = tensor(&[2, 2], vec![-1i8, 2, 3, -128]);
    expect_any(Op::MatMulInteger, &[&a, &b], &[2, 2], vec![12i32, -634, -255, 510]);
    // One zero point for each row of a, and for each column of b.
    let (rows, columns) = (Tensor::vector(vec![3u8, 0]), Tensor::vector(vec![-1i8, 2]));
    let expected = vec![8i32, 2 * -130, 0, 0];
    expect_any(Op::MatMulInteger, &[&a, &b, &rows, &columns], &[2, 2], expected);
}

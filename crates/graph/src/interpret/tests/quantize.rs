//! Between float and integers.

use super::*;

#[test]
fn quantisation_rounds_half_to_even_and_saturates() {
    let x = tensor(&[6], vec![0.5f32, 1.5, -0.5, 1000.0, -1000.0, 2.4]);
    let (one, zero) = (Tensor::scalar(1.0), tensor(&[], vec![10u8]));
    let q = apply(Op::Quantize { axis: 0 }, &[&x, &one, &zero]).unwrap();
    assert_eq!(q.u8s().unwrap(), [10, 12, 10, 255, 0, 12]);
    let back = apply(Op::Dequantize { axis: 0 }, &[&q, &one, &zero]).unwrap();
    assert_eq!(back.f32s().unwrap(), [0.0, 2.0, 0.0, 245.0, -10.0, 2.0]);
    // One scale for each row.
    let w = tensor(&[2, 2], vec![1i8, -2, 3, 4]);
    let scales = tensor(&[2], vec![0.5f32, 10.0]);
    expect(Op::Dequantize { axis: 0 }, &[&w, &scales], &[2, 2], &[0.5, -1.0, 30.0, 40.0]);
}

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

#[test]
fn wide_integers_become_floats() {
    let x = Tensor::vector(vec![i32::MIN, -3, 16_777_217]);
    let (scale, zero) = (Tensor::scalar(0.5), tensor(&[], vec![1i32]));
    let expected = [-1_073_741_824.0, -2.0, 8_388_608.0];
    expect(Op::Dequantize { axis: 0 }, &[&x, &scale, &zero], &[3], &expected);
}

#[test]
fn dynamic_quantisation_includes_zero() {
    let all = |values: Vec<f32>| {
        let op = Op::DynamicQuantize;
        let node = Node { name: "node".into(), op, inputs: vec![], outputs: vec![] };
        run_node(&Graph::default(), &node, &[Some(&Tensor::vector(values))]).unwrap()
    };
    let outputs = all(vec![51.0, 25.6, 102.0]);
    assert_eq!(outputs[0].u8s().unwrap(), [128, 64, 255]);
    assert_eq!(outputs[1], Tensor::scalar(0.4));
    assert_eq!(outputs[2], tensor(&[], vec![0u8]));
    let outputs = all(vec![-1.0, 254.0]);
    assert_eq!(outputs[0].u8s().unwrap(), [0, 255]);
    assert_eq!(outputs[2].u8s().unwrap(), [1]);
    let outputs = all(vec![0.0; 2]);
    assert_eq!((outputs[0].u8s().unwrap(), &outputs[1]), (&[0, 0][..], &Tensor::scalar(1.0)));
}

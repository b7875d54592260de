//! Extremes, order and running sums.

use super::*;

#[test]
fn extremes_of_equal_elements() {
    let x = tensor(&[2, 3], vec![3f32, 7.0, 7.0, 1.0, 1.0, 2.0]);
    let op = |largest, axis, last| Op::ArgExtreme { largest, axis, keep_dims: false, last };
    expect_any(op(true, 1, false), &[&x], &[2], vec![1i64, 2]);
    expect_any(op(true, 1, true), &[&x], &[2], vec![2i64, 2]);
    expect_any(op(false, 1, true), &[&x], &[2], vec![0i64, 1]);
    expect_any(op(false, 0, false), &[&x], &[3], vec![1i64, 1, 1]);
    let nan = Tensor::vector(vec![9f32, f32::NAN, -9.0, f32::NAN]);
    expect_any(op(true, 0, false), &[&nan], &[], vec![1i64]);
    expect_any(op(false, 0, false), &[&nan], &[], vec![1i64]);
    expect_any(op(false, 0, true), &[&nan], &[], vec![3i64]);
    expect(Op::Hardmax { axis: 1 }, &[&x], &[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn the_first_of_equal_elements_comes_first() {
    let x = tensor(&[1, 4], vec![5i32, 9, 5, 9]);
    let op = |k, largest| Op::TopK { axis: 1, k, largest };
    let both = |op: Op| {
        let node = Node { name: "node".into(), op, inputs: vec![], outputs: vec![] };
        run_node(&Graph::default(), &node, &[Some(&x)]).unwrap()
    };
    let expected = [tensor(&[1, 3], vec![9i32, 9, 5]), tensor(&[1, 3], vec![1i64, 3, 0])];
    assert_eq!(both(op(3, true)), expected);
    let expected = [tensor(&[1, 3], vec![5i32, 5, 9]), tensor(&[1, 3], vec![0i64, 2, 1])];
    assert_eq!(both(op(3, false)), expected);
}

#[test]
fn running_sums() {
    let x = tensor(&[2, 3], vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let op = |axis, exclusive, reverse| Op::CumSum { axis, exclusive, reverse };
    expect(op(1, false, false), &[&x], &[2, 3], &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    expect(op(1, true, false), &[&x], &[2, 3], &[0.0, 1.0, 3.0, 0.0, 4.0, 9.0]);
    expect(op(1, false, true), &[&x], &[2, 3], &[6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
    expect(op(1, true, true), &[&x], &[2, 3], &[5.0, 3.0, 0.0, 11.0, 6.0, 0.0]);
    expect(op(0, false, false), &[&x], &[2, 3], &[1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
    let bytes = Tensor::vector(vec![200u8, 100, 1]);
    expect_any(op(0, false, false), &[&bytes], &[3], vec![200u8, 44, 45]);
}

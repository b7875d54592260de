//! Reductions and softmax.

use super::*;

#[test]
fn reductions() {
    let x = ramp(&[2, 3]);
    expect(
        Op::Reduce { kind: Reduction::Mean, axes: vec![1], keep_dims: true },
        &[&x],
        &[2, 1],
        &[1.0, 4.0],
    );
    expect(
        Op::Reduce { kind: Reduction::Mean, axes: vec![0], keep_dims: false },
        &[&x],
        &[3],
        &[1.5, 2.5, 3.5],
    );
    expect(
        Op::Reduce { kind: Reduction::Mean, axes: vec![0, 1], keep_dims: false },
        &[&x],
        &[],
        &[2.5],
    );
    let large = tensor(&[2, 2], vec![1000f32, 1000.0, 0.0, 3f32.ln()]);
    let soft = apply(Op::Softmax { axis: 1 }, &[&large]).unwrap();
    let expected = [0.5, 0.5, 0.25, 0.75];
    assert!(soft.f32s().unwrap().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn every_reduction() {
    let x = tensor(&[2, 2], vec![1f32, -2.0, 3.0, 4.0]);
    let rows = |kind, expected: [f32; 2]| {
        let op = Op::Reduce { kind, axes: vec![1], keep_dims: false };
        expect(op, &[&x], &[2], &expected);
    };
    rows(Reduction::Sum, [-1.0, 7.0]);
    rows(Reduction::Mean, [-0.5, 3.5]);
    rows(Reduction::Prod, [-2.0, 12.0]);
    rows(Reduction::Max, [1.0, 4.0]);
    rows(Reduction::Min, [-2.0, 3.0]);
    rows(Reduction::L1, [3.0, 7.0]);
    rows(Reduction::L2, [5f32.sqrt(), 5.0]);
    rows(Reduction::SumSquare, [5.0, 25.0]);
    // ln(e + e^-2) and ln(e^3 + e^4)
    rows(Reduction::LogSumExp, [1.048_587_3, 4.313_261_7]);
    let positive = tensor(&[1, 2], vec![1f32, 2.0]);
    let op = Op::Reduce { kind: Reduction::LogSum, axes: vec![1], keep_dims: true };
    expect(op, &[&positive], &[1, 1], &[3f32.ln()]);
}

#[test]
fn reductions_of_nothing_and_of_infinities() {
    let none = tensor(&[1, 0], Vec::<f32>::new());
    let of = |x: &Tensor, kind| {
        let op = Op::Reduce { kind, axes: vec![1], keep_dims: false };
        apply(op, &[x]).unwrap()
    };
    for (kind, expected) in [
        (Reduction::Sum, 0.0),
        (Reduction::Prod, 1.0),
        (Reduction::Max, f32::NEG_INFINITY),
        (Reduction::Min, f32::INFINITY),
        (Reduction::L2, 0.0),
        (Reduction::LogSum, f32::NEG_INFINITY),
        (Reduction::LogSumExp, f32::NEG_INFINITY),
    ] {
        assert_eq!(of(&none, kind).f32s().unwrap(), [expected], "{kind:?}");
    }
    assert!(of(&none, Reduction::Mean).f32s().unwrap()[0].is_nan());
    let none = tensor(&[1, 0], Vec::<u8>::new());
    assert_eq!(of(&none, Reduction::Max).u8s().unwrap(), [0]);
    assert_eq!(of(&none, Reduction::Min).u8s().unwrap(), [255]);
    let infinite = tensor(&[1, 2], vec![f32::INFINITY, 1.0]);
    assert_eq!(of(&infinite, Reduction::LogSumExp).f32s().unwrap(), [f32::INFINITY]);
    let large = tensor(&[1, 2], vec![1000f32, 1000.0]);
    assert_eq!(of(&large, Reduction::LogSumExp).f32s().unwrap(), [1000.0 + 2f32.ln()]);
    let nan = tensor(&[1, 2], vec![f32::NAN, 1.0]);
    assert!(of(&nan, Reduction::Max).f32s().unwrap()[0].is_nan());
}

#[test]
fn reductions_of_integers() {
    let x = tensor(&[1, 3], vec![-7i32, 2, i32::MAX]);
    let whole = |kind, expected: i32| {
        let op = Op::Reduce { kind, axes: vec![0, 1], keep_dims: false };
        expect_any(op, &[&x], &[], vec![expected]);
    };
    whole(Reduction::Sum, i32::MAX - 5);
    whole(Reduction::Mean, (i32::MAX - 5) / 3);
    whole(Reduction::L1, i32::MIN + 8);
    let small = tensor(&[3], vec![-4i64, 3, 0]);
    let op = |kind| Op::Reduce { kind, axes: vec![0], keep_dims: false };
    expect_any(op(Reduction::L2), &[&small], &[], vec![5i64]);
    expect_any(op(Reduction::SumSquare), &[&small], &[], vec![25i64]);
    expect_any(op(Reduction::Mean), &[&tensor(&[2], vec![-4i64, 1])], &[], vec![-1i64]);
    let none = tensor(&[0], Vec::<i64>::new());
    assert!(failure(op(Reduction::Mean), &[&none]).contains("no element"));
}

#[test]
fn log_softmax_keeps_its_digits() {
    let x = Tensor::vector(vec![0f32, 10.0]);
    let expected = [-10.000_046, -4.539_889_8e-5];
    expect(Op::LogSoftmax { axis: 0 }, &[&x], &[2], &expected);
}

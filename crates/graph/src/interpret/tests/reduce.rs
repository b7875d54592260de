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

//! Operators that take positions as data.

use super::*;

#[test]
fn gathering() {
    let x = ramp(&[3, 2]);
    let rows = Tensor::vector(vec![2i64, -3]);
    expect(Op::Gather { axis: 0 }, &[&x, &rows], &[2, 2], &[4.0, 5.0, 0.0, 1.0]);
    let one = tensor(&[], vec![-1i32]);
    expect(Op::Gather { axis: 1 }, &[&x, &one], &[3], &[1.0, 3.0, 5.0]);
    let places = tensor(&[2, 2], vec![0i64, 2, -1, 1]);
    expect(Op::GatherElements { axis: 0 }, &[&x, &places], &[2, 2], &[0.0, 5.0, 4.0, 3.0]);
    let tuples = tensor(&[2, 2], vec![0i64, 1, 2, -2]);
    expect(Op::GatherNd { batch_dims: 0 }, &[&x, &tuples], &[2], &[1.0, 4.0]);
    let rows = tensor(&[1, 1, 1], vec![1i64]);
    expect(Op::GatherNd { batch_dims: 0 }, &[&x, &rows], &[1, 1, 2], &[2.0, 3.0]);
    // One position for each row.
    let own = tensor(&[3, 1], vec![1i64, 0, -1]);
    expect(Op::GatherNd { batch_dims: 1 }, &[&x, &own], &[3], &[1.0, 2.0, 5.0]);
}

#[test]
fn scattering() {
    let x = ramp(&[2, 3]);
    let places = tensor(&[1, 2], vec![1i64, 1]);
    let updates = tensor(&[1, 2], vec![10f32, 20.0]);
    let inputs = [&x, &places, &updates];
    let elements = |mode| Op::ScatterElements { axis: 1, mode };
    expect(elements(ScatterMode::Replace), &inputs, &[2, 3], &[0.0, 20.0, 2.0, 3.0, 4.0, 5.0]);
    expect(elements(ScatterMode::Add), &inputs, &[2, 3], &[0.0, 31.0, 2.0, 3.0, 4.0, 5.0]);
    expect(elements(ScatterMode::Mul), &inputs, &[2, 3], &[0.0, 200.0, 2.0, 3.0, 4.0, 5.0]);
    expect(elements(ScatterMode::Max), &inputs, &[2, 3], &[0.0, 20.0, 2.0, 3.0, 4.0, 5.0]);
    expect(elements(ScatterMode::Min), &inputs, &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let down = Op::ScatterElements { axis: 0, mode: ScatterMode::Replace };
    expect(down, &inputs, &[2, 3], &[0.0, 1.0, 2.0, 10.0, 20.0, 5.0]);
    let rows = tensor(&[2, 1], vec![-1i64, -1]);
    let updates = tensor(&[2, 3], vec![1i64, 2, 3, 4, 5, 6]);
    let counts = tensor(&[2, 3], vec![0i64; 6]);
    let add = Op::ScatterNd { mode: ScatterMode::Add };
    expect_any(add, &[&counts, &rows, &updates], &[2, 3], vec![0i64, 0, 0, 5, 7, 9]);
}

#[test]
fn positions_outside_are_errors() {
    let x = ramp(&[3, 2]);
    let text = failure(Op::Gather { axis: 0 }, &[&x, &Tensor::vector(vec![0i64, 3])]);
    assert_eq!(text, "node 'node' (Gather): index 3 (number 1) is outside dimension 0 of extent 3");
    let text = failure(Op::GatherNd { batch_dims: 0 }, &[&x, &tensor(&[1, 2], vec![0i64, -3])]);
    assert!(text.contains("index -3 (number 1) is outside dimension 1 of extent 2"), "{text}");
    let inputs = [&x, &tensor(&[1, 1], vec![i64::MIN]), &tensor(&[1, 1], vec![0f32])];
    let op = Op::ScatterElements { axis: 1, mode: ScatterMode::Replace };
    assert!(failure(op, &inputs).contains("outside dimension 1"));
}

#[test]
fn one_hot_vectors() {
    let (indices, values) = (Tensor::vector(vec![1i64, -1, 3]), Tensor::vector(vec![2f32, 5.0]));
    let rows = [2.0, 5.0, 2.0, 2.0, 2.0, 5.0, 2.0, 2.0, 2.0];
    expect(Op::OneHot { axis: 1, depth: 3 }, &[&indices, &values], &[3, 3], &rows);
    let columns = [2.0, 2.0, 2.0, 5.0, 2.0, 2.0, 2.0, 5.0, 2.0];
    expect(Op::OneHot { axis: 0, depth: 3 }, &[&indices, &values], &[3, 3], &columns);
}

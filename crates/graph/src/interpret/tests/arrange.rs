//! Operators that copy elements.

use super::*;

#[test]
fn rearrangements() {
    let x = ramp(&[2, 3]);
    expect(Op::Transpose { perm: vec![1, 0] }, &[&x], &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let column = tensor(&[2, 1], vec![8f32, 9.0]);
    expect(
        Op::Concat { axis: 1 },
        &[&x, &column],
        &[2, 4],
        &[0.0, 1.0, 2.0, 8.0, 3.0, 4.0, 5.0, 9.0],
    );
    let pad = Op::Pad { before: vec![0, 1], after: vec![1, 0], mode: PadMode::Constant(-1.0) };
    let padded = [-1.0, 0.0, 1.0, 2.0, -1.0, 3.0, 4.0, 5.0, -1.0, -1.0, -1.0, -1.0];
    expect(pad, &[&x], &[3, 4], &padded);
    let cuts = vec![Cut { axis: 1, start: 0, len: 2, step: 2 }];
    expect(Op::Slice { cuts }, &[&x], &[2, 2], &[0.0, 2.0, 3.0, 5.0]);
    expect(Op::Flatten { axis: 0 }, &[&x], &[1, 6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    expect(
        Op::Unsqueeze { axes: vec![0, 3] },
        &[&x],
        &[1, 2, 3, 1],
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    );
    let bytes =
        apply(Op::Transpose { perm: vec![1, 0] }, &[&tensor(&[1, 2], vec![3u8, 4])]).unwrap();
    assert_eq!(bytes.u8s().unwrap(), [3, 4]);
}

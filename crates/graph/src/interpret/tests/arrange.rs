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

#[test]
fn padding_modes() {
    let x = Tensor::vector(vec![1i64, 2, 3]);
    let pad = |mode| Op::Pad { before: vec![4], after: vec![3], mode };
    expect_any(pad(PadMode::Edge), &[&x], &[10], vec![1i64, 1, 1, 1, 1, 2, 3, 3, 3, 3]);
    expect_any(pad(PadMode::Reflect), &[&x], &[10], vec![1i64, 2, 3, 2, 1, 2, 3, 2, 1, 2]);
    expect_any(pad(PadMode::Wrap), &[&x], &[10], vec![3i64, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
    expect_any(
        pad(PadMode::Constant(-7.0)),
        &[&x],
        &[10],
        vec![-7i64, -7, -7, -7, 1, 2, 3, -7, -7, -7],
    );
    let one = Tensor::vector(vec![5u8]);
    expect_any(pad(PadMode::Reflect), &[&one], &[8], vec![5u8; 8]);
}

#[test]
fn repetition_and_triangles() {
    let x = ramp(&[2, 1]);
    expect(
        Op::Expand { shape: vec![2, 1, 3] },
        &[&x],
        &[2, 2, 3],
        &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
    );
    let tiled = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    expect(Op::Tile { repeats: vec![2, 2] }, &[&x], &[4, 2], &tiled);
    let x = tensor(&[2, 3], vec![true; 6]);
    let triangle = |upper, diagonal| Op::Trilu { upper, diagonal };
    expect_any(triangle(true, 0), &[&x], &[2, 3], vec![true, true, true, false, true, true]);
    expect_any(triangle(true, 1), &[&x], &[2, 3], vec![false, true, true, false, false, true]);
    expect_any(triangle(false, 0), &[&x], &[2, 3], vec![true, false, false, true, true, false]);
    expect_any(triangle(false, -1), &[&x], &[2, 3], vec![false, false, false, true, false, false]);
}

#[test]
fn blocks_of_channels_and_space() {
    // Channels 0 to 7 of one pixel each.
    let x = ramp(&[1, 8, 1, 1]);
    let depth = |order| Op::DepthToSpace { block: 2, order };
    let dcr = [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0];
    expect(depth(DepthOrder::Dcr), &[&x], &[1, 2, 2, 2], &dcr);
    let crd = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    expect(depth(DepthOrder::Crd), &[&x], &[1, 2, 2, 2], &crd);
    let x = ramp(&[1, 2, 2, 2]);
    let deep = [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0];
    expect(Op::SpaceToDepth { block: 2 }, &[&x], &[1, 8, 1, 1], &deep);
    let x = ramp(&[1, 6, 1, 1]);
    let shuffled = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0];
    expect(Op::ChannelShuffle { groups: 2 }, &[&x], &[1, 6, 1, 1], &shuffled);
}

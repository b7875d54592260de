//! Shuffles, changes of shape, pooling heads, blocks on 1x1 maps, and layer normalisation.

use edgecut_graph::{
    Binary::*, Cut, DepthOrder, Graph, Op, Pool, Reduction, ReshapeDim, Unary, ValueId, Window,
    passes,
};
use edgecut_testkit::{random_tensor, randomise_statistics};

use crate::{Sketch, check, ops};

fn reshape(s: &mut Sketch, x: ValueId, dims: &[usize]) -> ValueId {
    let mut rules = vec![ReshapeDim::Infer];
    rules.extend(dims.iter().map(|&d| ReshapeDim::Fixed(d)));
    s.op(Op::Reshape { dims: rules }, &[x])
}

/// Reshape, Transpose, Reshape of a map.
fn rearranged(map: &[usize], split: &[usize], perm: &[usize], out: &[usize]) -> Graph {
    let (mut s, x) = Sketch::new("rearranged", map);
    let y = reshape(&mut s, x, split);
    let y = s.op(Op::Transpose { perm: perm.to_vec() }, &[y]);
    let y = reshape(&mut s, y, out);
    s.finish(y)
}

#[test]
fn channel_shuffles() {
    let shuffle = Op::ChannelShuffle { groups: 3 };
    for split in [&[3, 2, 4, 5][..], &[3, 2, 20]] {
        let perm: Vec<usize> = [0, 2, 1].into_iter().chain(3..split.len() + 1).collect();
        let graph = rearranged(&[6, 4, 5], split, &perm, &[6, 4, 5]);
        let (count, rewritten) = check(&graph, passes::channel_shuffle, 0.0);
        assert_eq!((count, &rewritten.nodes[0].op), (1, &shuffle));
    }
    // Other orders, and space that moves.
    for (split, perm) in [
        (&[3, 2, 4, 5][..], &[0, 1, 2, 3, 4][..]),
        (&[3, 2, 4, 5], &[0, 2, 1, 4, 3]),
        (&[3, 4, 10], &[0, 2, 1, 3]),
    ] {
        let graph = rearranged(&[6, 4, 5], split, perm, &[6, 4, 5]);
        assert_eq!(check(&graph, passes::channel_shuffle, 0.0).0, 0, "{split:?} {perm:?}");
    }
}

#[test]
fn pixel_shuffles() {
    let map = [12, 3, 5];
    let crd = rearranged(&map, &[3, 2, 2, 3, 5], &[0, 1, 4, 2, 5, 3], &[3, 6, 10]);
    let dcr = rearranged(&map, &[2, 2, 3, 3, 5], &[0, 3, 4, 1, 5, 2], &[3, 6, 10]);
    let back = rearranged(&[3, 6, 10], &[3, 3, 2, 5, 2], &[0, 3, 5, 1, 2, 4], &map);
    for (graph, op) in [
        (crd, Op::DepthToSpace { block: 2, order: DepthOrder::Crd }),
        (dcr, Op::DepthToSpace { block: 2, order: DepthOrder::Dcr }),
        (back, Op::SpaceToDepth { block: 2 }),
    ] {
        let (count, rewritten) = check(&graph, passes::depth_to_space, 0.0);
        assert_eq!((count, &rewritten.nodes[0].op), (1, &op));
    }
    let other = rearranged(&map, &[3, 2, 2, 3, 5], &[0, 1, 4, 3, 5, 2], &[3, 6, 10]);
    assert_eq!(check(&other, passes::depth_to_space, 0.0).0, 0);
}

#[test]
fn changes_of_shape_in_a_row_become_one() {
    let (mut s, x) = Sketch::new("reshapes", &[3, 4, 1]);
    let y = s.op(Op::Squeeze { axes: vec![3] }, &[x]);
    let y = s.op(Op::Unsqueeze { axes: vec![1] }, &[y]);
    let y = reshape(&mut s, y, &[12]);
    let y = s.unary(Unary::Relu, y);
    let (count, rewritten) = check(&s.finish(y), passes::merge_reshapes, 0.0);
    assert_eq!((count > 0, ops(&rewritten)), (true, vec!["Flatten", "Relu"]));
    // A map reshaped for two readers stays.
    let (mut s, x) = Sketch::new("shared", &[3, 4]);
    let y = reshape(&mut s, x, &[4, 3]);
    let z = reshape(&mut s, y, &[12, 1]);
    let graph = s.0.finish(&[y, z]).unwrap();
    assert_eq!(check(&graph, passes::merge_reshapes, 0.0).0, 0);
}

#[test]
fn transposes_in_a_row_become_one() {
    let (mut s, x) = Sketch::new("transposes", &[2, 3, 4]);
    let y = s.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x]);
    let y = s.op(Op::Transpose { perm: vec![0, 3, 2, 1] }, &[y]);
    let y = s.unary(Unary::Relu, y);
    let (count, rewritten) = check(&s.finish(y), passes::merge_transposes, 0.0);
    assert_eq!((count, &rewritten.nodes[0].op), (1, &Op::Transpose { perm: vec![0, 1, 3, 2] }));
    // Of a 1x1 map it moves nothing.
    let (mut s, x) = Sketch::new("point", &[2, 1, 1]);
    let y = s.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x]);
    let y = s.unary(Unary::Relu, y);
    let (count, rewritten) = check(&s.finish(y), passes::merge_transposes, 0.0);
    assert_eq!((count, ops(&rewritten)), (1, vec!["Reshape", "Relu"]));
}

#[test]
fn means_over_whole_maps() {
    let mean = |keep_dims, axes: &[usize]| {
        let (mut s, x) = Sketch::new("mean", &[3, 4, 5]);
        let op = Op::Reduce { kind: Reduction::Mean, axes: axes.to_vec(), keep_dims };
        let y = s.op(op, &[x]);
        ops(&check(&s.finish(y), passes::global_pool, 1e-6).1)
    };
    assert_eq!(mean(true, &[2, 3]), ["GlobalAveragePool"]);
    assert_eq!(mean(false, &[2, 3]), ["GlobalAveragePool", "Flatten"]);
    assert_eq!(mean(true, &[1, 2]), ["ReduceMean"]);
    let pool = |kernel, pads, count_include_pad| {
        let (mut s, x) = Sketch::new("pool", &[3, 4, 5]);
        let window = Window { pads, ..Window::new(kernel, [1, 1]) };
        let y = s.op(Op::AveragePool(Pool { window, ceil_mode: false, count_include_pad }), &[x]);
        ops(&check(&s.finish(y), passes::global_pool, 1e-6).1)
    };
    assert_eq!(pool([4, 5], [0; 4], false), ["GlobalAveragePool"]);
    assert_eq!(pool([4, 4], [0; 4], false), ["AveragePool"]);
    assert_eq!(pool([4, 5], [1; 4], true), ["AveragePool"]);
}

/// Squeeze and excitation by fully connected layers, the way PyTorch's `view` exports.
fn excitation(gap: bool) -> Graph {
    let (mut s, x) = Sketch::new("excitation", &[6, 4, 5]);
    let pool = if gap { s.op(Op::GlobalAveragePool, &[x]) } else { s.unary(Unary::Relu, x) };
    let y = if gap { reshape(&mut s, pool, &[6]) } else { reshape(&mut s, pool, &[120]) };
    let y = s.0.linear(y, "squeeze", 2).unwrap();
    let y = s.unary(Unary::Relu, y);
    let y = s.0.dense(y, "excite", 6).unwrap();
    let y = s.unary(Unary::Sigmoid, y);
    let y = reshape(&mut s, y, &[6, 1, 1]);
    let y = s.binary(Mul, x, y);
    let mut graph = s.finish(y);
    randomise_statistics(&mut graph, 3);
    passes::join_gemm(&mut graph).unwrap();
    graph
}

#[test]
fn layers_between_reshapes_of_a_point_become_convolutions() {
    let (count, rewritten) = check(&excitation(true), passes::pointwise, 1e-6);
    let expected = ["GlobalAveragePool", "Conv", "Relu", "Conv", "Sigmoid", "Mul"];
    assert_eq!((count, ops(&rewritten)), (1, expected.to_vec()));
    assert_eq!(check(&excitation(false), passes::pointwise, 0.0).0, 0);
}

/// What PyTorch exports for LayerNorm before opset 17; `twist` changes one thing.
fn spelled_norm(twist: &str) -> Graph {
    let (mut s, x) = Sketch::new(twist, &[3, 8]);
    let mean = |s: &mut Sketch, x, axes: &[usize]| {
        s.op(Op::Reduce { kind: Reduction::Mean, axes: axes.to_vec(), keep_dims: true }, &[x])
    };
    let m = mean(&mut s, x, &[2]);
    let d = s.binary(Sub, x, m);
    let square = match twist {
        "product" => s.binary(Mul, d, d),
        _ => s.with(Pow, d, if twist == "cube" { 4.0 } else { 2.0 }),
    };
    let v = mean(&mut s, square, if twist == "axes" { &[1, 2] } else { &[2] });
    let v = s.with(Add, v, 1e-5);
    let v = s.unary(Unary::Sqrt, v);
    let y = s.binary(Div, d, v);
    let scale = s.0.constant("scale", random_tensor(&[8], 4));
    let bias = s.0.constant("bias", random_tensor(&[8], 5));
    let y = s.binary(Mul, y, scale);
    let y = s.binary(Add, bias, y);
    match twist {
        "shared" => s.0.finish(&[y, v]).unwrap(),
        _ => s.finish(y),
    }
}

#[test]
fn layer_norm() {
    for twist in ["power", "product"] {
        let (count, half) = check(&spelled_norm(twist), passes::layer_norm, 1e-5);
        assert_eq!((count, ops(&half)), (1, vec!["LayerNormalization", "Mul", "Add"]));
        let mut graph = half.clone();
        // The factor, then the sum: one sweep finds both.
        while passes::norm_affine(&mut graph).unwrap() > 0 {}
        crate::assert_same(&half, &graph, 1e-6);
        assert_eq!(ops(&graph), ["LayerNormalization"], "{twist}");
    }
    for twist in ["cube", "axes", "shared"] {
        assert_eq!(check(&spelled_norm(twist), passes::layer_norm, 0.0).0, 0, "{twist}");
    }
}

#[test]
fn equal_nodes_are_computed_once() {
    let (mut s, x) = Sketch::new("twice", &[6]);
    let cut = |start| Op::Slice { cuts: vec![Cut { axis: 1, start, len: 3, step: 1 }] };
    let (a, b, c) = (s.op(cut(0), &[x]), s.op(cut(0), &[x]), s.op(cut(3), &[x]));
    let (a, b) = (s.with(Mul, a, 2.0), s.with(Mul, b, 2.0));
    let y = s.binary(Add, a, b);
    let y = s.binary(Add, y, c);
    let (count, rewritten) = check(&s.finish(y), passes::share_equal, 0.0);
    // A slice, a product, and the number 2.
    assert_eq!((count, rewritten.nodes.len()), (3, 5));
}

#[test]
fn equal_weights_stay_apart() {
    let (mut s, x) = Sketch::new("weights", &[3, 4, 4]);
    let y = s.0.conv(x, "one", 3, Window::same(1, 1), 1, true).unwrap();
    let y = s.0.conv(y, "two", 3, Window::same(1, 1), 1, true).unwrap();
    let y = s.0.batch_norm(y, "norm").unwrap();
    let graph = s.finish(y);
    assert_eq!(check(&graph, passes::share_equal, 0.0).0, 0);
}

//! Passes that fold constants, padding and normalisation into layers.

use edgecut_graph::{
    Binary, Builder, Conv, ConvTranspose, Gemm, Op, PadMode, Pool, ReshapeDim, Tensor, ValueId,
    Window, passes,
};
use edgecut_testkit::{Layer, random_graph, random_graph_of, random_tensor, randomise_statistics};
use proptest::prelude::*;

use crate::{check, count};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Folding rounds each weight once, by up to 2^-24 = 6e-8 of it: a layer moves results by a few
    /// of these units, and the layers behind it pass that on with gains above 1.
    #[test]
    fn fold_batch_norm_keeps_the_function(seed: u64) {
        let kinds = [Layer::Conv, Layer::GroupedConv, Layer::Depthwise, Layer::BatchNorm, Layer::BatchNorm, Layer::Add];
        let graph = random_graph_of(seed, &kinds);
        let (folded, rewritten) = check(&graph, passes::fold_batch_norm, 1e-5);
        prop_assert_eq!(
            count(&rewritten, "BatchNormalization") + folded,
            count(&graph, "BatchNormalization")
        );
        // A norm that is left has no layer of its own before it.
        let consumers = rewritten.consumers();
        for norm in rewritten.nodes.iter().filter(|n| n.op.name() == "BatchNormalization") {
            let x = norm.inputs[0].unwrap();
            let producer = rewritten.producers()[x.index()].map(|i| rewritten.nodes[i].op.name());
            prop_assert!(producer != Some("Conv") || consumers[x.index()].len() > 1);
        }
        // Once is enough.
        prop_assert_eq!(passes::fold_batch_norm(&mut rewritten.clone()).unwrap(), 0);
    }

    #[test]
    fn exact_passes_leave_other_graphs_alone(seed: u64) {
        let graph = random_graph(seed);
        for pass in [passes::fold_constants, passes::remove_identities, passes::pad_into_conv] {
            let (_, rewritten) = check(&graph, pass, 0.0);
            prop_assert!(rewritten.nodes.len() <= graph.nodes.len());
        }
    }

    #[test]
    fn padding_moves_into_convolutions(pads in prop::array::uniform4(0usize..4), own in 0usize..3, seed: u64) {
        let mut b = Builder::new("padded", seed);
        let x = b.input("x", ["n".into(), 2.into(), 5.into(), 6.into()]);
        let [top, left, bottom, right] = pads;
        let (before, after) = (vec![0, 0, top, left], vec![0, 0, bottom, right]);
        let x = b.apply("pad", Op::Pad { before, after, mode: PadMode::Constant(0.0) }, &[x]).unwrap();
        let window = Window { pads: [own, 0, 0, own], ..Window::new([3, 2], [2, 1]) };
        let y = b.conv(x, "conv", 3, window, 1, true).unwrap();
        let (moved, rewritten) = check(&b.finish(&[y]).unwrap(), passes::pad_into_conv, 0.0);
        prop_assert_eq!((moved, rewritten.nodes.len()), (1, 1));
    }

    #[test]
    fn batch_norm_folds_into_gemm(trans_b: bool, beta in -2f32..2.0, bias in 0usize..4, seed: u64) {
        let mut b = Builder::new("gemm", seed);
        let x = b.input("x", ["n".into(), 4.into()]);
        let shape = if trans_b { [3, 4] } else { [4, 3] };
        let mut inputs = vec![x, b.constant("w", random_tensor(&shape, seed))];
        let shapes: [&[usize]; 4] = [&[], &[3], &[1, 3], &[1]];
        if bias > 0 {
            inputs.push(b.constant("b", random_tensor(shapes[bias], seed)));
        }
        let gemm = Gemm { alpha: 1.5, beta, trans_a: false, trans_b };
        let y = b.apply("gemm", Op::Gemm(gemm), &inputs).unwrap();
        let y = b.batch_norm(y, "norm").unwrap();
        let mut graph = b.finish(&[y]).unwrap();
        let keep: Vec<ValueId> = graph.value_ids().collect();
        let stored = keep.iter().map(|&id| graph.constant(id).cloned()).collect::<Vec<_>>();
        randomise_statistics(&mut graph, seed);
        // The bias has its own shapes here: put it back.
        if let Some(id) = graph.find_value("b") {
            graph.set_constant(id, stored[id.index()].clone().unwrap());
        }
        prop_assert_eq!(check(&graph, passes::fold_batch_norm, 2e-6).0, 1);
    }
}

#[test]
fn batch_norm_stays_where_its_input_is_needed() {
    let mut b = Builder::new("shared", 1);
    let x = b.input("x", ["n".into(), 3.into(), 4.into(), 4.into()]);
    let y = b.conv(x, "conv", 3, Window::same(3, 1), 1, false).unwrap();
    let z = b.batch_norm(y, "norm").unwrap();
    let sum = b.add(y, z).unwrap();
    let other = b.conv(sum, "other", 2, Window::same(1, 1), 1, false).unwrap();
    let norm = b.batch_norm(other, "other_norm").unwrap();
    // The second convolution's own result is an output.
    let mut graph = b.finish(&[norm, other]).unwrap();
    randomise_statistics(&mut graph, 1);
    assert_eq!(check(&graph, passes::fold_batch_norm, 0.0).0, 0);
}

#[test]
fn shared_weights_are_not_scaled_twice() {
    let mut b = Builder::new("twins", 1);
    let x = b.input("x", ["n".into(), 3.into(), 4.into(), 4.into()]);
    let w = b.constant("w", random_tensor(&[3, 3, 1, 1], 5));
    let conv = Op::Conv(Conv { window: Window::same(1, 1), groups: 1 });
    let first = b.apply("first", conv.clone(), &[x, w]).unwrap();
    let first = b.batch_norm(first, "first_norm").unwrap();
    let second = b.apply("second", conv, &[first, w]).unwrap();
    let second = b.batch_norm(second, "second_norm").unwrap();
    let mut graph = b.finish(&[second]).unwrap();
    randomise_statistics(&mut graph, 2);
    let (folded, rewritten) = check(&graph, passes::fold_batch_norm, 2e-6);
    assert_eq!((folded, rewritten.nodes.len()), (2, 2));
}

#[test]
fn two_norms_in_a_row_both_fold() {
    let mut b = Builder::new("double", 1);
    let x = b.input("x", ["n".into(), 3.into(), 4.into(), 4.into()]);
    let y = b.conv(x, "conv", 5, Window::same(3, 1), 1, true).unwrap();
    let y = b.batch_norm(y, "one").unwrap();
    let y = b.batch_norm(y, "two").unwrap();
    let mut graph = b.finish(&[y]).unwrap();
    randomise_statistics(&mut graph, 3);
    let (folded, rewritten) = check(&graph, passes::fold_batch_norm, 2e-6);
    assert_eq!((folded, rewritten.nodes.len()), (2, 1));
}

#[test]
fn constants_are_computed_once() {
    let mut b = Builder::new("constants", 1);
    let x = b.input("x", ["n".into(), 6.into()]);
    let a = b.constant("a", random_tensor(&[2, 3], 1));
    let two = b.constant("two", Tensor::scalar(2.0));
    let a = b.apply("double", Op::Binary(Binary::Mul), &[a, two]).unwrap();
    let a = b.apply("flat", Op::Reshape { dims: vec![ReshapeDim::Infer] }, &[a]).unwrap();
    let y = b.add(x, a).unwrap();
    let (folded, rewritten) = check(&b.finish(&[y]).unwrap(), passes::fold_constants, 0.0);
    assert_eq!((folded, rewritten.nodes.len(), rewritten.values().len()), (2, 1, 3));
}

#[test]
fn quantised_weights_stay_quantised() {
    let mut b = Builder::new("quantised", 1);
    let x = b.input("x", ["n".into(), 2.into()]);
    let w = b.constant("w", Tensor::new([2, 2], vec![1i8, 2, 3, 4]).unwrap());
    let scale = b.constant("scale", Tensor::scalar(0.5));
    let w = b.apply("w", Op::Dequantize { axis: 0 }, &[w, scale]).unwrap();
    let y = b.apply("y", Op::MatMul, &[x, w]).unwrap();
    assert_eq!(check(&b.finish(&[y]).unwrap(), passes::fold_constants, 0.0).0, 0);
}

#[test]
fn identities_go() {
    let mut b = Builder::new("identities", 1);
    let x = b.input("x", ["n".into(), 6.into()]);
    let y = b.apply("transpose", Op::Transpose { perm: vec![0, 1] }, &[x]).unwrap();
    let y = b.flatten(y).unwrap();
    let y = b.concat(&[y], 1).unwrap();
    let y = b.relu(y).unwrap();
    let y = b
        .apply(
            "pad",
            Op::Pad { before: vec![0; 2], after: vec![0; 2], mode: PadMode::Constant(1.0) },
            &[y],
        )
        .unwrap();
    let z = b.add(y, x).unwrap();
    let z = b.flatten(z).unwrap();
    let (removed, rewritten) = check(&b.finish(&[z]).unwrap(), passes::remove_identities, 0.0);
    // The last one computes an output and stays.
    assert_eq!((removed, rewritten.nodes.len()), (4, 3));
}

/// Each node doubles its input: folding stops at the limit instead of filling memory.
#[test]
fn folding_is_bounded() {
    let mut b = Builder::new("doubling", 1);
    let mut a = b.constant("a", random_tensor(&[1 << 12], 1));
    for _ in 0..16 {
        a = b.concat(&[a, a], 0).unwrap();
    }
    let x = b.input("x", [1.into()]);
    let y = b.add(x, a).unwrap();
    let mut graph = b.finish(&[y]).unwrap();
    // 2^13 + ... + 2^23 elements fit below 2^24; the next result alone is as large as the limit.
    assert_eq!(passes::fold_constants(&mut graph).unwrap(), 11);
}

fn padded_pool(value: f32, pool: &dyn Fn(Pool) -> Op, own: usize, counts: bool) -> (usize, usize) {
    let mut b = Builder::new("padded", 1);
    let x = b.input("x", ["n".into(), 2.into(), 5.into(), 6.into()]);
    let (before, after) = (vec![0, 0, 1, 1], vec![0, 0, 0, 1]);
    let pad = Op::Pad { before, after, mode: PadMode::Constant(value) };
    let x = b.apply("pad", pad, &[x]).unwrap();
    let window = Window { pads: [own; 4], ..Window::new([3, 3], [2, 1]) };
    let op = pool(Pool { window, ceil_mode: false, count_include_pad: counts });
    let y = b.apply("pool", op, &[x]).unwrap();
    let (moved, rewritten) = check(&b.finish(&[y]).unwrap(), passes::pad_into_conv, 0.0);
    (moved, rewritten.nodes.len())
}

#[test]
fn padding_moves_into_pools_that_treat_it_the_same() {
    let low = f32::NEG_INFINITY;
    assert_eq!(padded_pool(0.0, &Op::AveragePool, 0, false), (1, 1));
    assert_eq!(padded_pool(0.0, &Op::AveragePool, 0, true), (1, 1));
    assert_eq!(padded_pool(0.0, &Op::AveragePool, 1, true), (1, 1));
    assert_eq!(padded_pool(low, &Op::MaxPool, 1, false), (1, 1));
    // The pool's own padding does not count, but that of Pad does.
    assert_eq!(padded_pool(0.0, &Op::AveragePool, 1, false), (0, 2));
    assert_eq!(padded_pool(1.0, &Op::AveragePool, 0, true), (0, 2));
    assert_eq!(padded_pool(0.0, &Op::MaxPool, 0, false), (0, 2));
    // Three rows of padding are as many as the window has: some windows would be empty.
    assert_eq!(padded_pool(low, &Op::MaxPool, 2, false), (0, 2));
}

#[test]
fn batch_norm_folds_into_transposed_convolutions() {
    for groups in [1, 2] {
        let mut b = Builder::new("transposed", 1);
        let x = b.input("x", ["n".into(), 4.into(), 3.into(), 3.into()]);
        let window = Window::new([2, 3], [2, 1]);
        let conv = ConvTranspose { window, groups, output_padding: [0, 0] };
        let y = b.conv_transpose(x, "up", 6, conv, true).unwrap();
        let y = b.batch_norm(y, "norm").unwrap();
        let mut graph = b.finish(&[y]).unwrap();
        randomise_statistics(&mut graph, 4);
        assert_eq!(check(&graph, passes::fold_batch_norm, 2e-6).0, 1);
    }
}

/// A convolution, then a constant of this shape on one side of a function.
fn conv_then(function: Binary, shape: &[usize], first: bool) -> (usize, usize) {
    let mut b = Builder::new("affine", 1);
    let x = b.input("x", ["n".into(), 3.into(), 4.into(), 5.into()]);
    let y = b.conv(x, "conv", 5, Window::same(3, 1), 1, true).unwrap();
    let c = b.constant("c", random_tensor(shape, 8));
    let inputs: [ValueId; 2] = if first { [c, y] } else { [y, c] };
    let y = b.apply("affine", Op::Binary(function), &inputs).unwrap();
    let mut graph = b.finish(&[y]).unwrap();
    randomise_statistics(&mut graph, 4);
    let (folded, rewritten) = check(&graph, passes::fold_affine, 3e-6);
    (folded, rewritten.nodes.len())
}

#[test]
fn factors_and_sums_per_channel_fold_into_convolutions() {
    let channels: [&[usize]; 4] = [&[5, 1, 1], &[1, 5, 1, 1], &[], &[1]];
    for shape in channels {
        for function in [Binary::Add, Binary::Sub, Binary::Mul] {
            for first in [false, true] {
                assert_eq!(conv_then(function, shape, first), (1, 1), "{function:?} {shape:?}");
            }
        }
        assert_eq!(conv_then(Binary::Div, shape, false), (1, 1));
        assert_eq!(conv_then(Binary::Div, shape, true), (0, 2));
    }
    // Along columns, of every element, and of a higher rank.
    let others: [&[usize]; 4] = [&[5], &[4, 5], &[5, 4, 5], &[1, 1, 5, 1, 1]];
    for shape in others {
        assert_eq!(conv_then(Binary::Mul, shape, false).0, 0, "{shape:?}");
    }
}

#[test]
fn product_and_sum_become_gemm() {
    for (bias, joined) in [(&[3usize][..], 1), (&[1, 3], 1), (&[1], 0), (&[2, 3], 0)] {
        let mut b = Builder::new("gemm", 1);
        let x = b.input("x", [2.into(), 4.into()]);
        let w = b.constant("w", random_tensor(&[4, 3], 1));
        let c = b.constant("c", random_tensor(bias, 2));
        let y = b.apply("product", Op::MatMul, &[x, w]).unwrap();
        let y = b.apply("sum", Op::Binary(Binary::Add), &[c, y]).unwrap();
        let graph = b.finish(&[y]).unwrap();
        assert_eq!(check(&graph, passes::join_gemm, 1e-6).0, joined, "{bias:?}");
    }
}

#[test]
fn numbers_that_change_nothing_go() {
    for (function, number, gone) in [
        (Binary::Add, 0.0, 1),
        (Binary::Sub, 0.0, 1),
        (Binary::Mul, 1.0, 1),
        (Binary::Div, 1.0, 1),
        (Binary::Mul, 0.0, 0),
        (Binary::Add, 1.0, 0),
    ] {
        for shape in [&[][..], &[1, 1, 1]] {
            let mut b = Builder::new("neutral", 1);
            let x = b.input("x", ["n".into(), 4.into()]);
            let c = b.constant("c", Tensor::new(shape, vec![number]).unwrap());
            let y = b.apply("f", Op::Binary(function), &[x, c]).unwrap();
            let y = b.relu(y).unwrap();
            let graph = b.finish(&[y]).unwrap();
            // A constant of higher rank makes the result one of higher rank.
            let expected = if shape.is_empty() { gone } else { 0 };
            assert_eq!(check(&graph, passes::remove_identities, 0.0).0, expected);
        }
    }
}

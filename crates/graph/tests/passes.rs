//! Every pass against the graph it rewrote, through the reference interpreter.

use edgecut_graph::interpret::run;
use edgecut_graph::{
    Binary, Builder, Conv, Gemm, Graph, Op, PadMode, ReshapeDim, Result, Tensor, ValueId, Window,
    passes,
};
use edgecut_testkit::{
    Layer, assert_close, random_graph, random_graph_of, random_inputs, random_tensor,
    randomise_statistics,
};
use proptest::prelude::*;

/// Applies `pass` and checks that names and results of the outputs stay. Returns how often it
/// applied, and the new graph.
fn check(graph: &Graph, pass: fn(&mut Graph) -> Result<usize>, tolerance: f32) -> (usize, Graph) {
    let mut rewritten = graph.clone();
    let count = pass(&mut rewritten).unwrap();
    rewritten.validate().unwrap();
    let names = |g: &Graph, ids: &[ValueId]| -> Vec<String> {
        ids.iter().map(|&id| g.value(id).name.clone()).collect()
    };
    assert_eq!(names(graph, &graph.inputs), names(&rewritten, &rewritten.inputs));
    assert_eq!(names(graph, &graph.outputs), names(&rewritten, &rewritten.outputs));
    let inputs = random_inputs(graph, 2, 9);
    let (expected, got) = (run(graph, &inputs).unwrap(), run(&rewritten, &inputs).unwrap());
    for (expected, got) in expected.iter().zip(&got) {
        assert_close(got, expected, tolerance, &graph.name);
    }
    (count, rewritten)
}

fn count(graph: &Graph, name: &str) -> usize {
    graph.nodes.iter().filter(|n| n.op.name() == name).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Folding rounds each weight once, so that results move by a few units of 2^-24.
    #[test]
    fn fold_batch_norm_keeps_the_function(seed: u64) {
        let kinds = [Layer::Conv, Layer::GroupedConv, Layer::Depthwise, Layer::BatchNorm, Layer::BatchNorm, Layer::Add];
        let graph = random_graph_of(seed, &kinds);
        let (folded, rewritten) = check(&graph, passes::fold_batch_norm, 2e-6);
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

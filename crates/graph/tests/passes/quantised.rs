//! Passes on graphs with Quantize and Dequantize.

use edgecut_graph::{
    Binary, Data, DepthOrder, Graph, Op, Tensor, Unary, ValueId, Window, interpret, passes,
};
use edgecut_testkit::random_tensor;
use proptest::prelude::*;

use crate::{Sketch, check, count, ops};

fn scalar(data: impl Into<Data>) -> Tensor {
    Tensor::new([], data).unwrap()
}

fn quantize(s: &mut Sketch, x: ValueId, scale: f32, zero: impl Into<Data>) -> ValueId {
    let scale = s.number(scale);
    let name = s.0.graph().unique_name("zero");
    let zero = s.0.constant(&name, scalar(zero));
    s.op(Op::Quantize { axis: 1 }, &[x, scale, zero])
}

fn dequantize(s: &mut Sketch, x: ValueId, scale: f32, zero: impl Into<Data>) -> ValueId {
    let scale = s.number(scale);
    let name = s.0.graph().unique_name("zero");
    let zero = s.0.constant(&name, scalar(zero));
    s.op(Op::Dequantize { axis: 1 }, &[x, scale, zero])
}

/// A convolution whose result is quantised with these parameters.
fn quantised_conv(scale: f32, zero: impl Into<Data>) -> Graph {
    let (mut s, x) = Sketch::new("hidden", &[3, 6, 6]);
    let y = s.0.conv(x, "conv", 8, Window::same(3, 1), 1, true).unwrap();
    let y = s.with(Binary::Add, y, 1.0);
    let y = quantize(&mut s, y, scale, zero);
    s.finish(y)
}

#[test]
fn clamps_hidden_in_a_zero_point_are_written_out() {
    let exposed = |graph: Graph| {
        let (count, rewritten) = check(&graph, passes::expose_clamps, 0.0);
        let clamp = rewritten.nodes.iter().find_map(|n| n.op.clamp_bounds());
        (count, clamp)
    };
    let relu = (1, Some((0.0, f32::INFINITY)));
    let relu6 = (1, Some((0.0, 6.0)));
    assert_eq!(exposed(quantised_conv(0.01, vec![0u8])), relu);
    assert_eq!(exposed(quantised_conv(0.01, vec![-128i8])), relu);
    assert_eq!(exposed(quantised_conv(6.0 / 255.0, vec![0u8])), relu6);
    assert_eq!(exposed(quantised_conv(0.023_528_5, vec![-128i8])), relu6);
    assert_eq!(exposed(quantised_conv(0.023_5, vec![0u8])), relu);
    // A range with negative numbers hides nothing.
    assert_eq!(exposed(quantised_conv(0.01, vec![1u8])), (0, None));
    assert_eq!(exposed(quantised_conv(0.01, vec![0i8])), (0, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the scale, the integers stay.
    #[test]
    fn exposed_clamps_keep_every_integer(scale in 0.001f32..0.1, near_six in -0.003f32..0.003) {
        for scale in [scale, 6.0 / 255.0 * (1.0 + near_six)] {
            let (mut s, x) = Sketch::new("integers", &[2000]);
            let y = s.with(Binary::Mul, x, 3.0);
            let y = s.binary(Binary::Add, y, y);
            let y = quantize(&mut s, y, scale, vec![0u8]);
            let graph = s.finish(y);
            let mut rewritten = graph.clone();
            prop_assert_eq!(passes::expose_clamps(&mut rewritten).unwrap(), 1);
            let x = Tensor::new([1, 2000], (0..2000).map(|i| i as f32 * 0.002 - 1.0).collect::<Vec<_>>());
            let x = [x.unwrap()];
            prop_assert_eq!(interpret::run(&graph, &x).unwrap(), interpret::run(&rewritten, &x).unwrap());
        }
    }
}

/// Quantize, Dequantize, `op`, Quantize, Dequantize.
fn round_trip(op: Option<Op>, second: (f32, u8)) -> Graph {
    let (mut s, x) = Sketch::new("round trip", &[4, 3, 3]);
    let y = quantize(&mut s, x, 0.05, vec![100u8]);
    let mut y = dequantize(&mut s, y, 0.05, vec![100u8]);
    if let Some(op) = op {
        y = s.op(op, &[y]);
    }
    let y = quantize(&mut s, y, second.0, vec![second.1]);
    let y = dequantize(&mut s, y, second.0, vec![second.1]);
    s.finish(y)
}

#[test]
fn integers_that_come_back_need_no_round_trip() {
    let same = (0.05, 100);
    let (gone, rewritten) = check(&round_trip(None, same), passes::remove_requantise, 0.0);
    assert_eq!((gone, rewritten.nodes.len()), (1, 2));
    let moves = Op::Transpose { perm: vec![0, 2, 3, 1] };
    let (gone, rewritten) = check(&round_trip(Some(moves), same), passes::remove_requantise, 0.0);
    let expected = ["QuantizeLinear", "Transpose", "DequantizeLinear"];
    assert_eq!((gone, ops(&rewritten)), (1, expected.to_vec()));
    let shuffle = Op::DepthToSpace { block: 2, order: DepthOrder::Crd };
    assert_eq!(check(&round_trip(Some(shuffle), same), passes::remove_requantise, 0.0).0, 1);
    // Other parameters, and an operator that computes.
    for (op, second) in [
        (None, (0.05, 99)),
        (None, (0.06, 100)),
        (Some(Op::Transpose { perm: vec![0, 2, 3, 1] }), (0.06, 100)),
        (Some(Op::Unary(Unary::Relu)), same),
    ] {
        let graph = round_trip(op, second);
        assert_eq!(check(&graph, passes::remove_requantise, 0.0).0, 0, "{second:?}");
    }
}

/// Two dequantised halves of a picture, joined, and the maxima of windows of that.
fn joined(scales: [f32; 2]) -> Graph {
    let (mut s, x) = Sketch::new("joined", &[4, 6, 6]);
    let halves = scales.map(|scale| {
        let y = quantize(&mut s, x, scale, vec![100u8]);
        dequantize(&mut s, y, scale, vec![100u8])
    });
    let y = s.op(Op::Concat { axis: 1 }, &halves);
    let y = s.op(Op::ChannelShuffle { groups: 2 }, &[y]);
    let y = s.0.max_pool(y, Window::same(3, 2)).unwrap();
    let y = quantize(&mut s, y, scales[0], vec![100u8]);
    let y = dequantize(&mut s, y, scales[0], vec![100u8]);
    s.finish(y)
}

#[test]
fn what_moves_and_selects_works_on_integers() {
    let (moved, graph) = check(&joined([0.05; 2]), passes::move_integers, 0.0);
    assert_eq!(moved, 3);
    let (gone, graph) = check(&graph, passes::remove_requantise, 0.0);
    assert_eq!(gone, 1);
    let last: Vec<&str> = ops(&graph).into_iter().rev().take(4).collect();
    assert_eq!(last, ["DequantizeLinear", "MaxPool", "ChannelShuffle", "Concat"]);
    // Integers of two scales do not mean the same.
    assert_eq!(check(&joined([0.05, 0.06]), passes::move_integers, 0.0).0, 0);
}

#[test]
fn weights_stay_quantised_in_the_canonical_form() {
    let (mut s, x) = Sketch::new("quantised", &[4]);
    let w = s.0.constant("w", Tensor::new([4, 2], vec![1i8, 2, 3, 4, 5, 6, 7, 8]).unwrap());
    let w = dequantize(&mut s, w, 0.5, vec![0i8]);
    let bias = s.0.constant("b", random_tensor(&[2], 1));
    let y = s.op(Op::MatMul, &[x, w]);
    let y = s.binary(Binary::Add, y, bias);
    let graph = s.finish(y);
    let mut canonical = graph.clone();
    passes::canonicalise(&mut canonical).unwrap();
    crate::assert_same(&graph, &canonical, 1e-6);
    assert_eq!(count(&canonical, "DequantizeLinear"), 1);
}

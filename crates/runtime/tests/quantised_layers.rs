//! Integer layers that take along what comes behind them, read and write channels of wider tensors,
//! and run in chains; against the literal execution in float.

mod common;

use common::qdq::{Qdq, integer_only, within_one};
use common::{kinds, plan};
use edgecut_graph::{Binary, Conv, Cut, Op, Tensor, Unary, ValueId, Window};
use edgecut_kernels::Isa;

const ACTIVATIONS: [Option<Unary>; 5] = [
    None,
    Some(Unary::HardSwish),
    Some(Unary::Silu),
    Some(Unary::Sigmoid),
    Some(Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }),
];

#[test]
fn a_residual_and_an_activation_are_taken_along() {
    for seed in 0..60 {
        let mut q = Qdq::new(seed);
        let c = 1 + q.rng.below(40);
        let images = 1 + q.rng.below(2);
        let x = q.quantised_input(&[images, c, 6, 5]);
        let (window, groups) = match seed % 3 {
            0 => (Window::same(1, 1), 1),
            1 => (Window::same(3, 1), 1),
            _ => (Window::same(3, 1), c),
        };
        let mut y = q.conv(x, c, window, groups);
        if q.rng.below(2) == 0 {
            y = q.node(Op::Binary(Binary::Add), &[y, x]);
        }
        let activation = ACTIVATIONS[seed as usize / 3 % 5];
        if let Some(activation) = activation {
            y = q.node(Op::Unary(activation), &[y]);
        }
        if q.rng.below(2) == 0 {
            y = q.node(Op::RELU6, &[y]);
        }
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 1, Isa::detect())).join(" ");
        assert!(integer_only(&graph) && !kinds.contains("elementwise"), "seed {seed}: {kinds}");
        within_one(&graph, seed, &format!("seed {seed}, {activation:?}, {groups} groups"));
    }
}

/// The other branch is dequantised behind the convolution that adds it; with weights for a chain, and
/// with more than that.
#[test]
fn a_residual_may_be_dequantised_later() {
    for (seed, [c, m]) in [(0, [9, 20]), (1, [9, 20]), (2, [240, 490])] {
        let mut q = Qdq::new(seed);
        let x = q.quantised_input(&[1, c, 5, 4]);
        let other = q.conv(x, m, Window::same(1, 1), 1);
        let (scale, zero) = q.parameters(4.0);
        let other = q.node(Op::Quantize { axis: 1 }, &[other, scale, zero]);
        let y = q.conv(x, m, Window::same(3, 1), 1);
        let other = q.node(Op::Dequantize { axis: 1 }, &[other, scale, zero]);
        let y = q.node(Op::Binary(Binary::Add), &[y, other]);
        let y = q.node(Op::RELU, &[y]);
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 1, Isa::detect())).join(" ");
        let fused = !kinds.contains("elementwise") && !kinds.contains("dequantize");
        assert!(fused && integer_only(&graph), "seed {seed}: {kinds}");
        within_one(&graph, seed, &format!("seed {seed}, {m} of {c}"));
    }
}

/// A graph whose only input is a picture of 1 to 4 channels.
#[test]
fn a_first_convolution_reads_the_planes_of_a_picture() {
    for seed in 0..12 {
        let mut q = Qdq::new(seed);
        let c = 1 + seed as usize % 4;
        let x = q.quantised_input(&[2, c, 11, 9]);
        let y = q.conv(x, 9, Window { pads: [1; 4], ..Window::new([3, 3], [2, 2]) }, 1);
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 2, Isa::detect())).join(" ");
        assert!(!kinds.starts_with("quantize layout") || c == 1, "{kinds}");
        within_one(&graph, seed, &format!("seed {seed}, {c} channels"));
    }
}

/// Quantised with the parameters of `like`, the dequantisation of another value.
fn as_like(q: &mut Qdq, x: ValueId, like: ValueId) -> ValueId {
    let producer = q.graph.producers()[like.index()].unwrap();
    let inputs = q.graph.nodes[producer].inputs.clone();
    let (scale, zero) = (inputs[1].unwrap(), inputs[2].unwrap());
    let codes = q.node(Op::Quantize { axis: 1 }, &[x, scale, zero]);
    q.node(Op::Dequantize { axis: 1 }, &[codes, scale, zero])
}

/// Squeeze-excitation.
#[test]
fn images_are_scaled_by_channels() {
    for seed in 0..12 {
        let mut q = Qdq::new(seed);
        let c = 1 + q.rng.below(60);
        let x = q.quantised_input(&[2, c, 7, 6]);
        let gate = q.node(Op::GlobalAveragePool, &[x]);
        let (_, gate) = q.requantise(gate, 1.0);
        let gate = q.conv(gate, c, Window::same(1, 1), 1);
        let gate = q.node(Op::Unary(Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }), &[gate]);
        let (_, gate) = q.requantise(gate, 1.0);
        let factors = if seed % 2 == 0 { [x, gate] } else { [gate, x] };
        let y = q.node(Op::Binary(Binary::Mul), &factors);
        let (y, _) = q.requantise(y, 3.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 2, Isa::detect())).join(" ");
        assert!(kinds.contains("scale.int8") && integer_only(&graph), "seed {seed}: {kinds}");
        within_one(&graph, seed, &format!("seed {seed}"));
    }
}

/// uint8 weights, whose zero point lies anywhere, do not fit int8.
#[test]
fn weights_beyond_int8_are_integers_too() {
    for seed in 0..60 {
        let mut q = Qdq::new(seed);
        let c = 4 * (1 + q.rng.below(10));
        let x = q.quantised_input(&[1, c, 9, 8]);
        let (kernel, groups) = match seed % 5 {
            0 => (1, 1),
            1 => (3, 1),
            2 => (3, c),
            3 => (5, c),
            _ => (3, 2),
        };
        let m = if groups == c { c } else { 2 * (1 + q.rng.below(20)) };
        let shape = [m, c / groups, kernel, kernel];
        let codes = (0..shape.iter().product()).map(|_| q.rng.below(256) as u8);
        let codes = Tensor::new(shape, codes.collect::<Vec<u8>>()).unwrap();
        let zero = 1 + q.rng.below(255) as u8;
        let parts = [codes, Tensor::scalar(0.01), Tensor::new([], vec![zero]).unwrap()];
        let parts = parts.map(|tensor| q.constant(tensor));
        let weights = q.node(Op::Dequantize { axis: 0 }, &parts);
        let stride = 1 + q.rng.below(2);
        let window = Window { strides: [stride; 2], ..Window::same(kernel, 1) };
        let y = q.node(Op::Conv(Conv { window, groups }), &[x, weights]);
        let y = q.node(Op::RELU6, &[y]);
        let (y, _) = q.requantise(y, 6.0);
        let graph = q.finish(&[y]);
        assert!(integer_only(&graph), "seed {seed}: {:?}", kinds(&plan(&graph, 1, Isa::detect())));
        within_one(&graph, seed, &format!("seed {seed}, {m} of {c} in {groups} groups"));
    }
}

/// Half of the channels goes through a convolution, the halves are joined and shuffled.
#[test]
fn a_shuffle_unit_moves_nothing() {
    for seed in 0..12 {
        let mut q = Qdq::new(seed);
        let c = 1 + q.rng.below(40);
        let x = q.quantised_input(&[1, 2 * c, 5, 6]);
        let x = q.conv(x, 2 * c, Window::same(1, 1), 1);
        let (_, x) = q.requantise(x, 4.0);
        let half = |start| Op::Slice { cuts: vec![Cut { axis: 1, start, len: c, step: 1 }] };
        let mut halves = [half(0), half(c)].map(|op| q.node(op, &[x]));
        if seed % 2 == 0 {
            halves = halves.map(|half| as_like(&mut q, half, x));
        }
        let y = q.conv(halves[1], c, Window::same(1, 1), 1);
        let y = q.node(Op::RELU, &[y]);
        let y = as_like(&mut q, y, x);
        let y = q.node(Op::Concat { axis: 1 }, &[halves[0], y]);
        let y = q.node(Op::ChannelShuffle { groups: 2 }, &[y]);
        let y = as_like(&mut q, y, x);
        let y = q.conv(y, 7, Window::same(3, 1), 1);
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 1, Isa::detect())).join(" ");
        let moves = ["concat", "shuffle", "move", "lookup"];
        assert!(!moves.iter().any(|kind| kinds.contains(kind)), "seed {seed}: {kinds}");
        within_one(&graph, seed, &format!("seed {seed}"));
    }
}

/// Grouped convolution, shuffle, depthwise convolution, grouped convolution.
#[test]
fn a_shuffle_between_grouped_convolutions_moves_nothing() {
    for seed in 0..12 {
        let mut q = Qdq::new(seed);
        let (groups, each) = (2 + q.rng.below(3), 1 + q.rng.below(12));
        let c = groups * each * groups;
        let x = q.quantised_input(&[1, c, 5, 6]);
        let y = q.conv(x, c, Window::same(1, 1), groups);
        let (_, y) = q.requantise(y, 4.0);
        let mut y = q.node(Op::ChannelShuffle { groups }, &[y]);
        if seed % 2 == 0 {
            y = q.conv(y, c, Window::same(3, 1), c);
            (_, y) = q.requantise(y, 4.0);
        }
        let y = q.conv(y, c, Window::same(1, 1), groups);
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 1, Isa::detect())).join(" ");
        assert!(!kinds.contains("shuffle"), "seed {seed}: {kinds}");
        within_one(&graph, seed, &format!("seed {seed}, {groups} groups of {each}"));
    }
}

/// Branches that are written side by side, and maxima of them.
#[test]
fn branches_are_written_side_by_side() {
    for seed in 0..12 {
        let mut q = Qdq::new(seed);
        let c = 1 + q.rng.below(20);
        let x = q.quantised_input(&[1, c, 9, 8]);
        let (a, b) = (1 + q.rng.below(40), 1 + q.rng.below(40));
        let left = q.conv(x, a, Window::same(1, 1), 1);
        let (_, left) = q.requantise(left, 4.0);
        let right = q.conv(x, b, Window::same(3, 1), 1);
        let right = q.node(Op::RELU, &[right]);
        let right = as_like(&mut q, right, left);
        let y = q.node(Op::Concat { axis: 1 }, &[left, right]);
        let y = as_like(&mut q, y, left);
        let window = Window { pads: [1; 4], ..Window::new([3, 3], [2, 2]) };
        let pool = edgecut_graph::Pool { window, ceil_mode: false, count_include_pad: false };
        let y = q.node(Op::MaxPool(pool), &[y]);
        let y = as_like(&mut q, y, left);
        let y = q.conv(y, 5, Window::same(1, 1), 1);
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        let kinds = kinds(&plan(&graph, 1, Isa::detect())).join(" ");
        assert!(integer_only(&graph) && !kinds.contains("concat"), "seed {seed}: {kinds}");
        within_one(&graph, seed, &format!("seed {seed}, {a} and {b} channels"));
    }
}

/// An inverted residual on a map that does not stay in the second-level cache.
#[test]
fn large_maps_make_chains() {
    let mut q = Qdq::new(3);
    let x = q.quantised_input(&[1, 16, 112, 112]);
    let y = q.conv(x, 48, Window::same(1, 1), 1);
    let y = q.node(Op::RELU6, &[y]);
    let (_, y) = q.requantise(y, 4.0);
    let y = q.conv(y, 48, Window::same(3, 1), 48);
    let y = q.node(Op::Unary(Unary::HardSwish), &[y]);
    let (_, y) = q.requantise(y, 4.0);
    let y = q.conv(y, 16, Window::same(1, 1), 1);
    let y = q.node(Op::Binary(Binary::Add), &[y, x]);
    let (y, _) = q.requantise(y, 6.0);
    let graph = q.finish(&[y]);
    let plan = plan(&graph, 1, Isa::detect());
    assert!(kinds(&plan).contains(&"chain"), "{:?}", kinds(&plan));
    within_one(&graph, 3, "inverted residual");
}

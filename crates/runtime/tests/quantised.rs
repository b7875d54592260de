//! QDQ graphs: integer steps against the literal execution of Quantize and Dequantize in float.

mod common;

use common::qdq::{Qdq, exact, inputs, integer_only, within_one};
use common::{kinds, plan, run_everywhere};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Conv, Gemm, Op, PadMode, Pool, Tensor, Unary, Window, interpret};
use edgecut_kernels::Isa;

#[test]
fn convolutions_with_clamps() {
    let mut rng = Rng::new(5);
    for seed in 0..60 {
        let mut q = Qdq::new(seed);
        let c = 1 + rng.below(24);
        let x = q.quantised_input(&[1 + rng.below(2), c, 4 + rng.below(6), 5 + rng.below(5)]);
        let kernel = [1 + rng.below(3), 1 + rng.below(3)];
        let mut window = Window::new(kernel, [1 + rng.below(2), 1 + rng.below(2)]);
        window.pads = std::array::from_fn(|i| rng.below(kernel[i % 2]));
        let (m, groups) = match rng.below(3) {
            0 => (c, c),
            1 if c.is_multiple_of(2) => (2 * (1 + rng.below(9)), 2),
            _ => (1 + rng.below(40), 1),
        };
        let mut y = q.conv(x, m, window, groups);
        match rng.below(3) {
            0 => y = q.node(Op::RELU, &[y]),
            1 => y = q.node(Op::Unary(Unary::Clip { min: -0.5, max: 1.25 }), &[y]),
            _ => {}
        }
        let (y, _) = q.requantise(y, 4.0);
        let graph = q.finish(&[y]);
        assert!(integer_only(&graph), "seed {seed}");
        within_one(
            &graph,
            seed,
            &format!("seed {seed}, {m} of {c} in {groups} groups, {window:?}"),
        );
    }
}

#[test]
fn matrix_products() {
    for seed in 0..40 {
        let mut q = Qdq::new(seed);
        let (rows, k, n) = (1 + q.rng.below(5), 1 + q.rng.below(70), 1 + q.rng.below(40));
        let x = q.quantised_input(&[rows, k]);
        let trans_b = q.rng.below(2) == 0;
        let (shape, axis) = if trans_b { ([n, k], 0) } else { ([k, n], 1) };
        let (w, b) = q.layer(&shape, axis, q.scale_of(x));
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b };
        let y = q.node(Op::Gemm(gemm), &[x, w, b]);
        let (y, _) = q.requantise(y, 6.0);
        let graph = q.finish(&[y]);
        assert!(integer_only(&graph), "seed {seed}");
        within_one(&graph, seed, &format!("seed {seed}"));
    }
}

#[test]
fn sums_that_stay_real_numbers() {
    for seed in 0..20 {
        let mut q = Qdq::new(seed);
        let x = q.quantised_input(&[2, 30]);
        let (w, b) = q.layer(&[10, 30], 0, q.scale_of(x));
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        let y = q.node(Op::Gemm(gemm), &[x, w, b]);
        let graph = q.finish(&[y]);
        assert!(integer_only(&graph));
        let inputs = inputs(&graph, seed);
        let expected = interpret::run(&graph, &inputs).unwrap();
        let outputs = run_everywhere(&graph, &inputs, "logits");
        edgecut_testkit::assert_close(&outputs[0], &expected[0], 1e-5, &format!("seed {seed}"));
    }
}

#[test]
fn additions_and_averages() {
    for seed in 0..40 {
        let mut q = Qdq::new(seed);
        let shape = [2, 1 + q.rng.below(20), 5, 7];
        let (a, b) = (q.quantised_input(&shape), q.quantised_input(&shape));
        let mut sum = q.node(Op::Binary(edgecut_graph::Binary::Add), &[a, b]);
        if seed % 2 == 0 {
            sum = q.node(Op::RELU, &[sum]);
        }
        let (out, sum) = q.requantise(sum, 5.0);
        let window = Window { pads: [1, 0, 1, 1], ..Window::new([3, 2], [2, 1]) };
        let pool = Pool { window, ceil_mode: false, count_include_pad: seed % 3 == 0 };
        let mean = q.node(Op::AveragePool(pool), &[sum]);
        let (mean, _) = q.requantise(mean, 2.0);
        let global = q.node(Op::GlobalAveragePool, &[a]);
        let (global, _) = q.requantise(global, 1.0);
        let graph = q.finish(&[out, mean, global]);
        assert!(integer_only(&graph), "seed {seed}");
        // The mean of sums may see a neighbouring code of each; it is still within one.
        within_one(&graph, seed, &format!("seed {seed}"));
    }
}

#[test]
fn functions_of_two_tensors_are_exact() {
    use edgecut_graph::Binary;
    for seed in 0..60 {
        let mut q = Qdq::new(seed);
        let c = 1 + q.rng.below(20);
        let shape = [2, c, 5, 7];
        let other = [&shape[..], &[1, c, 1, 1], &[2, c, 1, 1], &[2, 1, 5, 7], &[1, 1, 1, 7]];
        let (a, b) = (q.quantised_input(&shape), q.quantised_input(other[seed as usize % 5]));
        let op = [Binary::Add, Binary::Mul, Binary::Sub, Binary::Max, Binary::Min, Binary::Div];
        let op = op[seed as usize % 6];
        let gate = q.node(Op::Unary(Unary::Sigmoid), &[b]);
        let mut y = q.node(Op::Binary(op), &[a, if seed % 4 == 0 { gate } else { b }]);
        if seed % 2 == 0 {
            y = q.node(Op::RELU6, &[y]);
        }
        let (y, _) = q.requantise(y, 5.0);
        let silu = q.node(Op::Unary(Unary::Sigmoid), &[a]);
        let silu = q.node(Op::Binary(Binary::Mul), &[a, silu]);
        let (silu, _) = q.requantise(silu, 3.0);
        let graph = q.finish(&[y, silu]);
        assert!(integer_only(&graph), "seed {seed}");
        exact(&graph, seed, &format!("seed {seed} {op:?}"));
    }
}

#[test]
fn moves_of_8_bit_data_stay_8_bit() {
    use edgecut_graph::{Coordinates, Nearest, Resize, ResizeAxis, ResizeMode};
    for seed in 0..20 {
        let mut q = Qdq::new(seed);
        let a = q.quantised_input(&[2, 6, 4, 5]);
        let shuffle = q.node(Op::ChannelShuffle { groups: 3 }, &[a]);
        let cut = edgecut_graph::Cut { axis: 1, start: 2, len: 3, step: 1 };
        let slice = q.node(Op::Slice { cuts: vec![cut] }, &[shuffle]);
        let axis = |axis, len| ResizeAxis { axis, len, scale: 2.0, region: (0.0, 1.0) };
        let up = q.node(
            Op::Resize(Resize {
                axes: vec![axis(2, 8), axis(3, 10)],
                mode: ResizeMode::Nearest(Nearest::Floor),
                coordinates: Coordinates::Asymmetric,
                antialias: false,
                exclude_outside: false,
                extrapolation: 0.0,
            }),
            &[slice],
        );
        let (up, real) = q.requantise(up, 2.5);
        let space = q.node(Op::SpaceToDepth { block: 2 }, &[real]);
        let edge =
            Op::Pad { before: vec![0, 0, 1, 1], after: vec![0, 0, 2, 0], mode: PadMode::Reflect };
        let edge = q.node(edge, &[space]);
        let (edge, _) = q.requantise(edge, 2.5);
        let graph = q.finish(&[up, edge]);
        let plan = plan(&graph, 1, Isa::detect());
        let kinds = kinds(&plan);
        assert!(!kinds.contains(&"dequantize"), "seed {seed}: {kinds:?}");
        exact(&graph, seed, &format!("seed {seed}"));
    }
}

#[test]
fn what_only_moves_or_maps_codes_is_exact() {
    for seed in 0..30 {
        let mut q = Qdq::new(seed);
        let (a, b) = (q.quantised_input(&[2, 6, 4, 5]), q.quantised_input(&[2, 3, 4, 5]));
        let join = q.node(Op::Concat { axis: 1 }, &[a, b]);
        let (joined, _) = q.requantise(join, 4.0);
        let act = q.node(Op::Unary(Unary::HardSwish), &[a]);
        let act = q.node(Op::Unary(Unary::LeakyRelu { alpha: 0.1 }), &[act]);
        let (mapped, act) = q.requantise(act, 2.0);
        let pool =
            Pool { window: Window::new([2, 3], [2, 1]), ceil_mode: true, count_include_pad: false };
        let max = q.node(Op::MaxPool(pool), &[a]);
        let (max, _) = q.requantise(max, 2.5);
        let turned = q.node(Op::Transpose { perm: vec![0, 3, 1, 2] }, &[act]);
        let flat = q.node(Op::Flatten { axis: 1 }, &[turned]);
        let (flat, real) = q.requantise(flat, 2.5);
        let pad = Op::Pad {
            before: vec![0, 0, 1, 1],
            after: vec![0, 1, 0, 2],
            mode: PadMode::Constant(0.0),
        };
        let padded = q.node(pad, &[b]);
        let (padded, _) = q.requantise(padded, 3.0);
        let graph = q.finish(&[joined, mapped, max, flat, real, padded]);
        exact(&graph, seed, &format!("seed {seed}"));
    }
}

#[test]
fn a_requantisation_to_the_same_scale_costs_nothing() {
    let mut q = Qdq::new(1);
    let x = q.input(&[1, 8, 4, 4]);
    let (scale, zero) = q.parameters(3.0);
    let mut y = x;
    for op in
        [Op::Flatten { axis: 1 }, Op::Reshape { dims: vec![edgecut_graph::ReshapeDim::Infer] }]
    {
        y = q.node(Op::Quantize { axis: 1 }, &[y, scale, zero]);
        y = q.node(Op::Dequantize { axis: 1 }, &[y, scale, zero]);
        y = q.node(op, &[y]);
    }
    y = q.node(Op::Quantize { axis: 0 }, &[y, scale, zero]);
    let graph = q.finish(&[y]);
    assert_eq!(kinds(&plan(&graph, 1, Isa::detect())), ["quantize", "layout", "layout"]);
    exact(&graph, 3, "pass through");
}

#[test]
fn what_does_not_fit_integers_runs_as_written() {
    let mut q = Qdq::new(2);
    let x = q.quantised_input(&[1, 4, 5, 5]);
    // uint8 weights around 128 fit int8 once the zero point is subtracted; two of int8 add up to most
    // others, but not to 255.
    let mut outputs = vec![];
    for zero in [128u8, 0] {
        let mut codes: Vec<u8> = (0..6 * 4).map(|_| q.rng.below(256) as u8).collect();
        codes[7] = 255;
        let codes = q.constant(Tensor::new([6, 4, 1, 1], codes).unwrap());
        let scale = q.constant(Tensor::scalar(0.01));
        let zero = q.constant(Tensor::new([], vec![zero]).unwrap());
        let w = q.node(Op::Dequantize { axis: 0 }, &[codes, scale, zero]);
        let conv = Conv { window: Window::new([1, 1], [1, 1]), groups: 1 };
        let y = q.node(Op::Conv(conv), &[x, w]);
        outputs.push(q.requantise(y, 4.0).0);
    }
    // Per-channel activations.
    let scales = q.constant(Tensor::vector(vec![0.02f32, 0.03, 0.01, 0.05]));
    let zeros = q.constant(Tensor::vector(vec![3u8, 128, 0, 255]));
    let y = q.node(Op::Quantize { axis: 1 }, &[x, scales, zeros]);
    outputs.push(y);
    let graph = q.finish(&outputs);
    let plan = plan(&graph, 1, Isa::detect());
    let kinds = kinds(&plan);
    assert!(kinds.contains(&"pointwise.int8") && kinds.contains(&"pointwise"), "{kinds:?}");
    within_one(&graph, 4, "as written");
}

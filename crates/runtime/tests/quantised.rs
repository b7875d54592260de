//! QDQ graphs: integer steps against the literal execution of Quantize and Dequantize in float.

mod common;

use common::{kinds, plan, run_everywhere, same_bits};
use edgecut_graph::rng::Rng;
use edgecut_graph::{
    Conv, DType, Data, Gemm, Graph, Op, PadMode, Pool, Shape, Tensor, Unary, ValueId, Window,
    interpret,
};
use edgecut_kernels::Isa;
use edgecut_testkit::random_tensor;

/// Builds QDQ graphs by hand. All randomness comes from one generator.
struct Qdq {
    graph: Graph,
    rng: Rng,
    /// uint8 or int8 activations.
    dtype: DType,
    per_channel: bool,
}

impl Qdq {
    fn new(seed: u64) -> Qdq {
        let mut rng = Rng::new(seed);
        let dtype = if rng.below(2) == 0 { DType::U8 } else { DType::I8 };
        let per_channel = rng.below(2) == 0;
        Qdq { graph: Graph::new("qdq"), rng, dtype, per_channel }
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        let name = self.graph.unique_name("x");
        self.graph.add_input(name, DType::F32, Shape::fixed(shape))
    }

    fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = self.graph.unique_name(op.name());
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        self.graph.add_node(name, op, &inputs).unwrap()
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = self.graph.unique_name("k");
        self.graph.add_constant(name, tensor)
    }

    fn zero(&mut self) -> Tensor {
        let q = self.rng.below(256) as u8;
        let data: Data = match self.dtype {
            DType::U8 => vec![q].into(),
            _ => vec![q as i8].into(),
        };
        Tensor::new([], data).unwrap()
    }

    /// Parameters that map the numbers of a few units around zero to most codes.
    fn parameters(&mut self, reach: f32) -> (ValueId, ValueId) {
        let scale = Tensor::scalar(self.rng.range(0.5, 1.5) * reach / 128.0);
        let zero = self.zero();
        (self.constant(scale), self.constant(zero))
    }

    /// Quantize and Dequantize; both values.
    fn requantise(&mut self, x: ValueId, reach: f32) -> (ValueId, ValueId) {
        let (scale, zero) = self.parameters(reach);
        let q = self.node(Op::Quantize { axis: 1 }, &[x, scale, zero]);
        (q, self.node(Op::Dequantize { axis: 1 }, &[q, scale, zero]))
    }

    /// An 8-bit value made from a new input, and its dequantisation.
    fn quantised_input(&mut self, shape: &[usize]) -> ValueId {
        let x = self.input(shape);
        self.requantise(x, 3.0).1
    }

    /// Dequantised int8 weights with output channels along `axis`, and int32 or float bias.
    fn layer(&mut self, shape: &[usize], axis: usize, x_scale: f32) -> (ValueId, ValueId) {
        let (len, m) = (shape.iter().product::<usize>(), shape[axis]);
        let codes: Vec<i8> = (0..len).map(|_| self.rng.below(255) as i8).collect();
        let count = if self.per_channel { m } else { 1 };
        let scales: Vec<f32> = (0..count).map(|_| self.rng.range(0.002, 0.02)).collect();
        let bias: Vec<i32> = (0..m).map(|_| self.rng.below(4000) as i32 - 2000).collect();
        let bias_scales: Vec<f32> = scales.iter().map(|s| s * x_scale).collect();
        let vector = |v: Vec<f32>, one: bool| match one {
            true => Tensor::scalar(v[0]),
            false => Tensor::vector(v),
        };
        let codes = self.constant(Tensor::new(shape, codes).unwrap());
        let float_bias = bias.iter().enumerate().map(|(c, &b)| b as f32 * bias_scales[c % count]);
        let float_bias = Tensor::vector(float_bias.collect::<Vec<f32>>());
        let scale = self.constant(vector(scales, count == 1));
        let w = self.node(Op::Dequantize { axis }, &[codes, scale]);
        if self.rng.below(2) == 0 {
            return (w, self.constant(float_bias));
        }
        let bias = self.constant(Tensor::vector(bias));
        let bias_scale = self.constant(vector(bias_scales, count == 1));
        (w, self.node(Op::Dequantize { axis: 0 }, &[bias, bias_scale]))
    }

    fn scale_of(&self, dequantised: ValueId) -> f32 {
        let producer = self.graph.producers()[dequantised.index()].unwrap();
        let scale = self.graph.nodes[producer].inputs[1].unwrap();
        self.graph.constant(scale).unwrap().f32s().unwrap()[0]
    }

    fn conv(&mut self, x: ValueId, m: usize, window: Window, groups: usize) -> ValueId {
        let c = self.graph.value(x).shape.to_fixed().unwrap()[1];
        let [kh, kw] = window.kernel;
        let (w, b) = self.layer(&[m, c / groups, kh, kw], 0, self.scale_of(x));
        self.node(Op::Conv(Conv { window, groups }), &[x, w, b])
    }

    fn finish(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.outputs = outputs.to_vec();
        self.graph.validate().unwrap();
        self.graph
    }
}

fn inputs(graph: &Graph, seed: u64) -> Vec<Tensor> {
    let shapes = graph.inputs.iter().map(|&i| graph.value(i).shape.to_fixed().unwrap());
    shapes.enumerate().map(|(i, s)| random_tensor(&s, seed * 31 + i as u64)).collect()
}

/// Runs `graph`, whose outputs are 8-bit, and asserts that no code differs from the interpreter's
/// by more than one and almost all are equal.
fn within_one(graph: &Graph, seed: u64, context: &str) -> Vec<Tensor> {
    let inputs = inputs(graph, seed);
    let expected = interpret::run(graph, &inputs).unwrap();
    let outputs = run_everywhere(graph, &inputs, context);
    for (output, expected) in outputs.iter().zip(&expected) {
        assert_eq!((output.dtype(), output.shape()), (expected.dtype(), expected.shape()));
        let (a, b) = (output.to_i64().unwrap(), expected.to_i64().unwrap());
        let differ = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).max().unwrap();
        assert!(worst <= 1, "{context}: a code differs by {worst}");
        assert!(differ * 100 <= a.len() + 100, "{context}: {differ} of {} codes differ", a.len());
    }
    outputs
}

/// As [`within_one`], for graphs where only codes are moved or looked up.
fn exact(graph: &Graph, seed: u64, context: &str) {
    let inputs = inputs(graph, seed);
    let expected = interpret::run(graph, &inputs).unwrap();
    let outputs = run_everywhere(graph, &inputs, context);
    let same = outputs.iter().zip(&expected).all(|(a, b)| same_bits(a, b));
    assert!(same, "{context}: differs from literal execution");
}

fn integer_only(graph: &Graph) -> bool {
    let plan = plan(graph, 1, Isa::detect());
    let free = ["quantize", "layout", "dequantize"];
    kinds(&plan).iter().all(|k| k.ends_with("int8") || free.contains(k))
}

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
    // uint8 weights around 128 fit int8 once the zero point is subtracted; around 10 they do not.
    let mut outputs = vec![];
    for zero in [128u8, 10] {
        let codes: Vec<u8> = (0..6 * 4).map(|_| q.rng.below(256) as u8).collect();
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

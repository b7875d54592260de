//! Laws that hold between operators, on generated tensors.

use edgecut_graph::interpret::run_node;
use edgecut_graph::*;
use edgecut_testkit::{assert_close, random_tensor};
use proptest::prelude::*;

fn all(op: Op, inputs: &[&Tensor]) -> Vec<Tensor> {
    let node = Node { name: "node".into(), op, inputs: vec![], outputs: vec![] };
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(|&t| Some(t)).collect();
    run_node(&Graph::default(), &node, &inputs).unwrap()
}

fn apply(op: Op, inputs: &[&Tensor]) -> Tensor {
    all(op, inputs).remove(0)
}

/// Integers from -50 to 49, a function of the seed.
fn integers(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = rng::Rng::new(seed);
    let len = shape.iter().product::<usize>();
    let values: Vec<i64> = (0..len).map(|_| rng.below(100) as i64 - 50).collect();
    Tensor::new(shape, values).unwrap()
}

/// Positions below `extent`.
fn positions(shape: &[usize], extent: usize, seed: u64) -> Tensor {
    let values = integers(shape, seed).to_i64().unwrap();
    let within = values.iter().map(|v| v.rem_euclid(extent as i64)).collect::<Vec<_>>();
    Tensor::new(shape, within).unwrap()
}

fn cast(to: DType, x: &Tensor) -> Tensor {
    apply(Op::Cast { to }, &[x])
}

/// Sum of the products of all elements.
fn inner_product(a: &Tensor, b: &Tensor) -> f64 {
    let pairs = a.f32s().unwrap().iter().zip(b.f32s().unwrap());
    pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..5, 1..5)
}

fn map() -> impl Strategy<Value = [usize; 4]> {
    [1usize..3, 1usize..5, 1usize..6, 1usize..6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pieces_join_to_the_whole(shape in shape(), axis in 0usize..4, at in 0usize..5, seed: u64) {
        let axis = axis % shape.len();
        let at = at.min(shape[axis]);
        let x = random_tensor(&shape, seed);
        let cut = |start, len| Op::Slice { cuts: vec![Cut { axis, start, len, step: 1 }] };
        let (a, b) = (apply(cut(0, at), &[&x]), apply(cut(at, shape[axis] - at), &[&x]));
        prop_assert_eq!(apply(Op::Concat { axis }, &[&a, &b]), x);
    }

    #[test]
    fn a_permutation_and_its_inverse_cancel(shape in shape(), seed: u64) {
        let mut perm: Vec<usize> = (0..shape.len()).collect();
        rng::Rng::new(seed).shuffle(&mut perm);
        let mut inverse = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(i, &p)| inverse[p] = i);
        let x = random_tensor(&shape, seed);
        let moved = apply(Op::Transpose { perm }, &[&x]);
        prop_assert_eq!(apply(Op::Transpose { perm: inverse }, &[&moved]), x);
    }

    #[test]
    fn padding_can_be_cut_off(shape in shape(), pads in [0usize..7, 0usize..7], mode in 0..4) {
        let mode =
            [PadMode::Constant(1.0), PadMode::Reflect, PadMode::Edge, PadMode::Wrap][mode as usize];
        let x = random_tensor(&shape, 1);
        let (before, after) = (vec![pads[0]; shape.len()], vec![pads[1]; shape.len()]);
        let wide = apply(Op::Pad { before, after, mode }, &[&x]);
        let cut = |(axis, &len): (usize, &usize)| Cut { axis, start: pads[0], len, step: 1 };
        let cuts = shape.iter().enumerate().map(cut).collect();
        prop_assert_eq!(apply(Op::Slice { cuts }, &[&wide]), x);
    }

    #[test]
    fn depth_to_space_undoes_space_to_depth(map in map(), block in 1usize..4, seed: u64) {
        let [n, c, h, w] = map;
        let x = random_tensor(&[n, c, h * block, w * block], seed);
        let deep = apply(Op::SpaceToDepth { block }, &[&x]);
        let order = DepthOrder::Dcr;
        prop_assert_eq!(apply(Op::DepthToSpace { block, order }, &[&deep]), x);
    }

    #[test]
    fn shuffles_by_both_factors_cancel(groups in 1usize..5, inside in 1usize..5, seed: u64) {
        let x = random_tensor(&[2, groups * inside, 2, 3], seed);
        let shuffled = apply(Op::ChannelShuffle { groups }, &[&x]);
        prop_assert_eq!(apply(Op::ChannelShuffle { groups: inside }, &[&shuffled]), x);
    }

    #[test]
    fn what_was_gathered_scatters_to_where_it_was(shape in shape(), axis in 0usize..4, seed: u64) {
        let axis = axis % shape.len();
        let x = random_tensor(&shape, seed);
        let indices = positions(&shape, shape[axis], seed);
        let taken = apply(Op::GatherElements { axis }, &[&x, &indices]);
        let mode = ScatterMode::Replace;
        let put = apply(Op::ScatterElements { axis, mode }, &[&x, &indices, &taken]);
        prop_assert_eq!(&put, &x);
        // A tuple of one number is a position along the first dimension.
        let tuples = positions(&[3, 1], shape[0], seed);
        let slices = apply(Op::GatherNd { batch_dims: 0 }, &[&x, &tuples]);
        let flat = tuples.reshaped([3]).unwrap();
        prop_assert_eq!(&slices, &apply(Op::Gather { axis: 0 }, &[&x, &flat]));
        prop_assert_eq!(&apply(Op::ScatterNd { mode }, &[&x, &tuples, &slices]), &x);
    }

    #[test]
    fn the_last_running_sum_is_the_sum(shape in shape(), axis in 0usize..4, seed: u64) {
        let axis = axis % shape.len();
        let x = integers(&shape, seed);
        let sum = apply(Op::Reduce { kind: Reduction::Sum, axes: vec![axis], keep_dims: true }, &[&x]);
        for reverse in [false, true] {
            let running = apply(Op::CumSum { axis, exclusive: false, reverse }, &[&x]);
            let start = if reverse { 0 } else { shape[axis] - 1 };
            let cuts = vec![Cut { axis, start, len: 1, step: 1 }];
            prop_assert_eq!(apply(Op::Slice { cuts }, &[&running]), sum.clone());
            // An exclusive sum and the element itself make the inclusive one.
            let before = apply(Op::CumSum { axis, exclusive: true, reverse }, &[&x]);
            prop_assert_eq!(apply(Op::Binary(Binary::Add), &[&before, &x]), running);
        }
    }

    #[test]
    fn the_first_of_the_order_is_the_extreme(shape in shape(), axis in 0usize..4, seed: u64) {
        let axis = axis % shape.len();
        let x = integers(&shape, seed);
        for largest in [false, true] {
            let ordered = all(Op::TopK { axis, k: shape[axis], largest }, &[&x]);
            prop_assert_eq!(&apply(Op::GatherElements { axis }, &[&x, &ordered[1]]), &ordered[0]);
            let first = vec![Cut { axis, start: 0, len: 1, step: 1 }];
            let best = Op::ArgExtreme { largest, axis, keep_dims: true, last: false };
            let first = apply(Op::Slice { cuts: first }, &[&ordered[1]]);
            prop_assert_eq!(apply(best, &[&x]), first);
        }
    }

    #[test]
    fn resampling_to_the_same_extent_is_the_identity(map in map(), mode in 0..4, seed: u64) {
        let mode = [
            ResizeMode::Nearest(Nearest::RoundPreferFloor),
            ResizeMode::Nearest(Nearest::Ceil),
            ResizeMode::Linear,
            ResizeMode::Cubic(-0.75),
        ][mode as usize];
        let x = random_tensor(&map, seed);
        for coordinates in [
            Coordinates::HalfPixel,
            Coordinates::HalfPixelSymmetric,
            Coordinates::PytorchHalfPixel,
            Coordinates::AlignCorners,
            Coordinates::Asymmetric,
            Coordinates::CropAndResize,
        ] {
            let axis = |axis| ResizeAxis { axis, len: map[axis], scale: 1.0, region: (0.0, 1.0) };
            for antialias in [false, true] {
                let resize = Resize {
                    axes: vec![axis(2), axis(3)],
                    mode,
                    coordinates,
                    antialias,
                    exclude_outside: antialias,
                    extrapolation: f32::NAN,
                };
                prop_assert_eq!(apply(Op::Resize(resize), &[&x]), x.clone());
            }
        }
    }

    #[test]
    fn the_transposed_convolution_is_the_adjoint(
        groups in 1usize..3,
        size in [3usize..8, 3usize..8],
        kernel in [1usize..4, 1usize..4],
        strides in [1usize..3, 1usize..3],
        seed: u64,
    ) {
        let window = Window { kernel, strides, dilations: [1, 1], pads: [0, kernel[1] - 1, kernel[0] - 1, 0] };
        let (x, w) = (
            random_tensor(&[1, 2 * groups, size[0], size[1]], seed),
            random_tensor(&[3 * groups, 2, kernel[0], kernel[1]], seed ^ 1),
        );
        let y = apply(Op::Conv(Conv { window, groups }), &[&x, &w]);
        let back = random_tensor(y.shape(), seed ^ 2);
        // What the strides leave over at the end comes back as output padding.
        let padded = |i: usize| size[i] + window.pads[i] + window.pads[i + 2] - kernel[i];
        let output_padding = [0, 1].map(|i| padded(i) % strides[i]);
        let op = Op::ConvTranspose(ConvTranspose { window, groups, output_padding });
        let spread = apply(op, &[&back, &w]);
        prop_assert_eq!(spread.shape(), x.shape());
        let (left, right) = (inner_product(&y, &back), inner_product(&x, &spread));
        prop_assert!((left - right).abs() <= 1e-4 * (1.0 + left.abs()), "{} {}", left, right);
    }

    #[test]
    fn products_of_integers_are_those_of_floats(m in 1usize..5, k in 1usize..9, n in 1usize..5, seed: u64) {
        let (a, b) = (cast(DType::I8, &integers(&[2, m, k], seed)), cast(DType::I8, &integers(&[k, n], seed ^ 1)));
        let product = apply(Op::MatMulInteger, &[&a, &b]);
        let float = apply(Op::MatMul, &[&cast(DType::F32, &a), &cast(DType::F32, &b)]);
        prop_assert_eq!(cast(DType::F32, &product), float);
        let x = cast(DType::I8, &integers(&[1, 2, m + 2, k + 2], seed));
        let w = cast(DType::I8, &integers(&[n, 2, 3, 3], seed ^ 1));
        let conv = Conv { window: Window::same(3, 1), groups: 1 };
        let sums = apply(Op::ConvInteger(conv), &[&x, &w]);
        let float = apply(Op::Conv(conv), &[&cast(DType::F32, &x), &cast(DType::F32, &w)]);
        prop_assert_eq!(cast(DType::F32, &sums), float);
    }

    #[test]
    fn quantised_values_survive_the_way_through_floats(shape in shape(), seed: u64, zero: i8) {
        let q = cast(DType::I8, &integers(&shape, seed));
        let (scale, zero) = (Tensor::scalar(0.037), Tensor::new([], vec![zero]).unwrap());
        let real = apply(Op::Dequantize { axis: 0 }, &[&q, &scale, &zero]);
        prop_assert_eq!(apply(Op::Quantize { axis: 0 }, &[&real, &scale, &zero]), q);
    }

    #[test]
    fn softmax_is_a_distribution_and_log_softmax_its_logarithm(shape in shape(), axis in 0usize..4, seed: u64) {
        let axis = axis % shape.len();
        let x = random_tensor(&shape, seed);
        let soft = apply(Op::Softmax { axis }, &[&x]);
        let sum = Op::Reduce { kind: Reduction::Sum, axes: vec![axis], keep_dims: false };
        let ones = apply(sum, &[&soft]);
        prop_assert!(ones.f32s().unwrap().iter().all(|v| (v - 1.0).abs() < 1e-6));
        let logarithm = apply(Op::LogSoftmax { axis }, &[&x]);
        assert_close(&apply(Op::Unary(Unary::Exp), &[&logarithm]), &soft, 1e-6, "exp");
    }

    #[test]
    fn norms_agree_where_their_groups_do(map in map(), seed: u64) {
        let x = random_tensor(&map, seed);
        let v = |k| random_tensor(&[map[1]], seed ^ k);
        let (scale, bias, epsilon) = (v(1), v(2), 1e-3);
        let instance = apply(Op::InstanceNorm { epsilon }, &[&x, &scale, &bias]);
        let groups = map[1];
        let group = apply(Op::GroupNorm { groups, epsilon }, &[&x, &scale, &bias]);
        prop_assert_eq!(instance, group);
        let ones = apply(Op::Expand { shape: map[1..].to_vec() }, &[&Tensor::scalar(1.0)]);
        let layer = apply(Op::LayerNorm { axis: 1, epsilon }, &[&x, &ones]);
        let ones = Tensor::vector(vec![1f32; map[1]]);
        let zeros = Tensor::vector(vec![0f32; map[1]]);
        prop_assert_eq!(layer, apply(Op::GroupNorm { groups: 1, epsilon }, &[&x, &ones, &zeros]));
    }

    #[test]
    fn repeating_and_broadcasting_agree(shape in shape(), times in 1usize..4, seed: u64) {
        let x = random_tensor(&[&[1], &shape[..]].concat(), seed);
        let repeats = [&[times], &vec![1; shape.len()][..]].concat();
        let wide = [&[times], &shape[..]].concat();
        prop_assert_eq!(apply(Op::Tile { repeats }, &[&x]), apply(Op::Expand { shape: wide }, &[&x]));
    }
}

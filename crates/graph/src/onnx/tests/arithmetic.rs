//! Elementwise functions, products, normalisation, reductions.

use super::super::write::{float, int, ints};
use super::*;
use crate::op::{Binary, Gemm, ReshapeDim, Unary};

fn clip(min: f32, max: f32) -> Vec<Op> {
    vec![Op::Unary(Unary::Clip { min, max })]
}

#[test]
fn clip_bounds_are_attributes_then_inputs() {
    assert_eq!(single(10, "Clip", &[float("min", 0.0), float("max", 6.0)]).ops(), [Op::RELU6]);
    assert_eq!(single(6 + 1, "Clip", &[float("min", 0.0)]).ops(), clip(0.0, f32::INFINITY));
    let bounds = || model(11).stored("lo", Tensor::scalar(0.0)).stored("hi", Tensor::scalar(6.0));
    assert_eq!(bounds().node("Clip", "x lo hi", "y", &[]).ops(), [Op::RELU6]);
    assert_eq!(bounds().node("Clip", "x _ hi", "y", &[]).ops(), clip(f32::NEG_INFINITY, 6.0));
    assert_eq!(single(13, "Clip", &[]).ops(), clip(f32::NEG_INFINITY, f32::INFINITY));
    // Where bounds are inputs, the attribute of old is an error rather than ignored.
    single(13, "Clip", &[float("min", 0.0)]).unsupported("attribute 'min'");
    // A bound that the model computes.
    let bounds = model(13).node("ReduceMax", "x", "top", &[]).node("Clip", "x _ top", "y", &[]);
    assert_eq!(bounds.ops()[1], Op::Binary(Binary::Min));
}

#[test]
fn activations_take_their_defaults() {
    assert_eq!(single(7, "Relu", &[]).ops(), [Op::RELU]);
    assert_eq!(single(16, "LeakyRelu", &[]).ops(), [Op::Unary(Unary::LeakyRelu { alpha: 0.01 })]);
    let hard = Unary::HardSigmoid { alpha: 0.2, beta: 0.5 };
    assert_eq!(single(7, "HardSigmoid", &[]).ops(), [Op::Unary(hard)]);
    assert_eq!(single(14, "HardSwish", &[]).ops(), [Op::Unary(Unary::HardSwish)]);
    assert_eq!(single(13, "Sigmoid", &[]).ops(), [Op::Unary(Unary::Sigmoid)]);
}

#[test]
fn a_sum_of_many_is_a_chain() {
    let add = Op::Binary(Binary::Add);
    assert_eq!(model(13).node("Sum", "x x x", "y", &[]).ops(), [add.clone(), add]);
    let one = model(13).node("Sum", "x", "s", &[]).node("Relu", "s", "y", &[]);
    assert_eq!(one.ops(), [Op::RELU]);
    model(13).node("Sum", "", "y", &[]).malformed("input 0 is missing");
}

#[test]
fn gemm_has_an_optional_addend() {
    let base = || model(13).fixed(&[5, 3]).stored("b", Tensor::zeros([4, 3]).unwrap());
    let graph = base().node("Gemm", "x b", "y", &[int("transB", 1), float("alpha", 2.0)]).graph();
    let gemm = Gemm { alpha: 2.0, beta: 1.0, trans_a: false, trans_b: true };
    assert_eq!(graph.nodes[0].op, Op::Gemm(gemm));
    assert_eq!(shape_of(&graph), "[5, 4]");
    let model = base().stored("c", Tensor::zeros([4]).unwrap());
    assert_eq!(
        model.node("Gemm", "x b c", "y", &[int("transB", 1)]).graph().nodes[0].inputs.len(),
        3
    );
    let error = base().node("Gemm", "x b", "y", &[]).error().to_string();
    assert!(error.contains("inner dimensions differ: 3 and 4"), "{error}");
}

#[test]
fn batch_normalisation_is_for_inference() {
    let vector = |v: f32| Tensor::vector(vec![v; 2]);
    let base = |opset| {
        let model = model(opset).stored("s", vector(1.0)).stored("b", vector(0.5));
        model.stored("m", vector(2.0)).stored("v", vector(4.0))
    };
    let node = |opset, attributes: &[AttributeProto]| {
        base(opset).node("BatchNormalization", "x s b m v", "y", attributes)
    };
    let expected = Op::BatchNorm { epsilon: 1e-5, momentum: 0.9 };
    assert_eq!(node(7, &[int("spatial", 1)]).ops(), std::slice::from_ref(&expected));
    assert_eq!(node(15, &[int("training_mode", 0)]).ops(), [expected]);
    node(8, &[int("spatial", 0)]).unsupported("spatial");
    node(15, &[int("training_mode", 1)]).unsupported("evaluation mode");
}

#[test]
fn softmax_of_old_flattens() {
    assert_eq!(single(13, "Softmax", &[]).ops(), [Op::Softmax { axis: 3 }]);
    assert_eq!(single(13, "Softmax", &[int("axis", -3)]).ops(), [Op::Softmax { axis: 1 }]);
    let graph = single(12, "Softmax", &[]).graph();
    let ops: Vec<&Op> = graph.nodes.iter().map(|n| &n.op).collect();
    let fixed = |n| ReshapeDim::Fixed(n);
    assert_eq!(
        ops,
        [
            &Op::Reshape { dims: vec![ReshapeDim::Copy, ReshapeDim::Infer] },
            &Op::Softmax { axis: 1 },
            &Op::Reshape { dims: vec![ReshapeDim::Copy, fixed(2), fixed(4), fixed(4)] },
        ]
    );
    assert_eq!(shape_of(&graph), "[batch, 2, 4, 4]");
    let total: f32 = run(&graph, &[1, 2, 4, 4], &[0.5; 32]).f32s().unwrap().iter().sum();
    assert!((total - 1.0).abs() < 1e-6, "{total}");
    // One dimension that is not 1: the same as along it.
    assert_eq!(
        model(11).fixed(&[2, 5, 1, 1]).node("Softmax", "x", "y", &[]).ops(),
        [Op::Softmax { axis: 1 }]
    );
    assert_eq!(single(12, "Softmax", &[int("axis", -1)]).ops(), [Op::Softmax { axis: 3 }]);
}

#[test]
fn means_take_axes_from_attribute_or_input() {
    let expected =
        [Op::Reduce { kind: crate::Reduction::Mean, axes: vec![2, 3], keep_dims: false }];
    let off = int("keepdims", 0);
    let old = single(13, "ReduceMean", &[signed("axes", &[-1, 2]), off.clone()]);
    assert_eq!(old.ops(), expected);
    let new = model(18).ints("axes", &[-1, 2]).node("ReduceMean", "x axes", "y", &[off]);
    assert_eq!(new.ops(), expected);
    let all =
        [Op::Reduce { kind: crate::Reduction::Mean, axes: vec![0, 1, 2, 3], keep_dims: true }];
    assert_eq!(single(13, "ReduceMean", &[]).ops(), all);
    let none = [int("noop_with_empty_axes", 1)];
    assert_eq!(
        single(18, "ReduceMean", &none).ops(),
        [Op::Reshape { dims: vec![ReshapeDim::Copy; 4] }]
    );
    single(13, "ReduceMean", &[ints("axes", &[4])]).malformed("axis 4");
    single(13, "ReduceMean", &[signed("axes", &[1, -3])]).malformed("twice");
}

#[test]
fn before_opset_7_broadcasting_is_declared() {
    let bias = || model(6).stored("b", Tensor::vector(vec![1.0f32, 2.0]));
    let flags = [int("broadcast", 1), int("axis", 1)];
    let graph = bias().fixed(&[1, 2, 1, 1]).node("Add", "x b", "y", &flags).graph();
    assert_eq!(run(&graph, &[1, 2, 1, 1], &[0.0, 0.0]).f32s().unwrap(), [1.0, 2.0]);
    let far = [int("broadcast", 1), int("axis", 4)];
    bias().node("Add", "x b", "y", &far).malformed("no room");
    bias().node("Add", "x b", "y", &[int("broadcast", 1), int("axis", 9)]).malformed("axis 9");
}

#[test]
fn einsum_is_products_and_sums() {
    let of = |equation: &str, dims: &[usize], values: &[f32]| {
        let model = model(13).fixed(dims).stored("b", constant(&[1.0, 2.0, 3.0, 4.0], &[2, 2]));
        let inputs = if equation.contains(',') { "x b" } else { "x" };
        let graph = model.node("Einsum", inputs, "y", &[text("equation", equation)]).graph();
        run(&graph, dims, values)
    };
    let x = [1.0, 0.0, 5.0, 1.0];
    assert_eq!(of("ij,jk->ik", &[2, 2], &x).f32s().unwrap(), [1.0, 2.0, 8.0, 14.0]);
    assert_eq!(of("ij,ij->", &[2, 2], &x).f32s().unwrap(), [20.0]);
    assert_eq!(of("ij,kl->ijkl", &[2, 2], &x).shape(), [2, 2, 2, 2]);
    assert_eq!(of("ii", &[2, 2], &x).f32s().unwrap(), [2.0]);
    assert_eq!(of("b...->...b", &[2, 2], &x).f32s().unwrap(), [1.0, 5.0, 0.0, 1.0]);
    for wrong in ["i", "ijk->i", "i1->i", "ij->ii", "ij->k"] {
        let model = model(13).fixed(&[2, 2]);
        model.node("Einsum", "x", "y", &[text("equation", wrong)]).malformed("equation");
    }
}

#[test]
fn ranges_end_before_their_limit() {
    let of = |[a, b, c]: [Tensor; 3]| {
        let model = model(13).stored("a", a).stored("b", b).stored("c", c);
        model.node("Range", "a b c", "y", &[])
    };
    let floats = |numbers: [f32; 3]| of(numbers.map(Tensor::scalar));
    let narrow = |numbers: [i32; 3]| of(numbers.map(|n| Tensor::new([], vec![n]).unwrap()));
    let computed = |model: Model| {
        let graph = model.graph();
        graph.constant(graph.outputs[0]).unwrap().clone()
    };
    assert_eq!(computed(floats([1.0, 2.0, 0.25])).f32s().unwrap(), [1.0, 1.25, 1.5, 1.75]);
    assert_eq!(computed(narrow([10, 4, -3])).i32s().unwrap(), [10, 7]);
    assert_eq!(computed(narrow([4, 10, -3])).len(), 0);
    let high = i32::MAX;
    assert_eq!(computed(narrow([high - 3, high, 2])).i32s().unwrap(), [high - 3, high - 1]);
    let wide = [i64::MIN, i64::MAX, 1 << 62].map(|n| Tensor::new([], vec![n]).unwrap());
    let last = i64::MIN.wrapping_add((3i128 << 62) as i64);
    assert_eq!(computed(of(wide)).i64s().unwrap()[3], last);
    floats([0.0, f32::INFINITY, 1.0]).malformed("no end");
    floats([0.0, 1.0, 0.0]).malformed("no end");
    narrow([0, 1, 0]).malformed("no end");
    let error = narrow([0, high, 1]).error();
    assert!(matches!(error.root(), GraphError::Limit { .. }), "{error}");
}

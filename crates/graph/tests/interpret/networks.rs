//! The reference interpreter against ONNX Runtime, on generated networks and on the corners of
//! single operators.

use edgecut_graph::interpret::run;
use edgecut_graph::{
    Binary, Builder, Cut, Gemm, Graph, Op, PadMode, Pool, Reduction, Tensor, Unary, ValueId,
    Window, onnx,
};
use edgecut_testkit::{Python, assert_close, random_graph, random_inputs, random_tensor};

/// Runs every model `mI.npy` (the bytes of an ONNX file) on `xI.npy`.
const SCRIPT: &str = "
import sys, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 3
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
for i in range(int(sys.argv[1])):
    session = ort.InferenceSession(np.load(f'm{i}.npy').tobytes(), options,
                                   providers=['CPUExecutionProvider'])
    inputs = {session.get_inputs()[0].name: np.load(f'x{i}.npy')}
    np.save(f'y{i}.npy', session.run(None, inputs)[0])
";

/// Compares the first output of each graph on its input.
fn compare(cases: &[(Graph, Tensor)], tolerance: f32) {
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    let mut tensors = vec![];
    for (index, (graph, x)) in cases.iter().enumerate() {
        let bytes = onnx::to_bytes(graph).unwrap();
        tensors.push((format!("m{index}"), Tensor::vector(bytes)));
        tensors.push((format!("x{index}"), x.clone()));
    }
    let inputs: Vec<(&str, &Tensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let results = python.run(SCRIPT, &[&cases.len().to_string()], &inputs).unwrap();
    for (index, (graph, x)) in cases.iter().enumerate() {
        let own = run(graph, std::slice::from_ref(x)).unwrap();
        assert_close(&own[0], &results[&format!("y{index}")], tolerance, &graph.name);
    }
}

#[test]
fn generated_networks_agree_with_onnx_runtime() {
    let case = |seed| {
        let graph = random_graph(seed);
        let x = random_inputs(&graph, 2, seed).remove(0);
        (graph, x)
    };
    compare(&(0..100).map(case).collect::<Vec<_>>(), 1e-5);
}

/// A graph of one layer on an input of this shape.
fn single(
    name: &str,
    shape: &[usize],
    layer: impl Fn(&mut Builder, ValueId) -> ValueId,
) -> (Graph, Tensor) {
    let mut b = Builder::new(name, 1);
    let x = b.input("x", shape.iter().map(|&d| d.into()).collect::<Vec<_>>());
    let y = layer(&mut b, x);
    (b.finish(&[y]).unwrap(), random_tensor(shape, 3))
}

fn op(name: &str, shape: &[usize], op: Op) -> (Graph, Tensor) {
    single(name, shape, |b, x| b.apply("y", op.clone(), &[x]).unwrap())
}

#[test]
fn activations_and_reductions_agree_with_onnx_runtime() {
    let shape = [2, 3, 4, 5];
    let unary = |name: &str, function| op(name, &shape, Op::Unary(function));
    let cases = [
        unary("relu", Unary::Relu),
        unary("clip", Unary::Clip { min: -0.5, max: 0.25 }),
        unary("half clip", Unary::Clip { min: f32::NEG_INFINITY, max: 0.25 }),
        unary("leaky", Unary::LeakyRelu { alpha: 0.1 }),
        unary("sigmoid", Unary::Sigmoid),
        unary("hard sigmoid", Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        unary("hard swish", Unary::HardSwish),
        op("softmax 1", &shape, Op::Softmax { axis: 1 }),
        op("softmax 3", &shape, Op::Softmax { axis: 3 }),
        op(
            "mean",
            &shape,
            Op::Reduce { kind: Reduction::Mean, axes: vec![0, 2], keep_dims: false },
        ),
        op(
            "kept mean",
            &shape,
            Op::Reduce { kind: Reduction::Mean, axes: vec![1, 3], keep_dims: true },
        ),
    ];
    compare(&cases, 1e-6);
}

#[test]
fn rearrangements_agree_with_onnx_runtime() {
    let shape = [2, 3, 4, 5];
    let cut = |axis, start, len, step| Cut { axis, start, len, step };
    let cases = [
        op("transpose", &shape, Op::Transpose { perm: vec![2, 0, 3, 1] }),
        op(
            "pad",
            &shape,
            Op::Pad {
                before: vec![0, 1, 0, 2],
                after: vec![1, 0, 0, 3],
                mode: PadMode::Constant(0.5),
            },
        ),
        op("slice", &shape, Op::Slice { cuts: vec![cut(0, 1, 1, 1), cut(3, 1, 2, 3)] }),
        op("flatten", &shape, Op::Flatten { axis: 2 }),
        single("concat", &shape, |b, x| b.concat(&[x, x], 2).unwrap()),
        op("unsqueeze", &shape, Op::Unsqueeze { axes: vec![1, 4] }),
    ];
    compare(&cases, 0.0);
}

#[test]
fn pools_agree_with_onnx_runtime() {
    let mut cases = vec![];
    for ceil_mode in [false, true] {
        for count_include_pad in [false, true] {
            for (kernel, strides, pads) in [
                ([3, 3], [2, 2], [1, 0, 1, 1]),
                ([2, 3], [2, 1], [0, 2, 1, 0]),
                ([1, 2], [3, 3], [0; 4]),
            ] {
                let window = Window { pads, ..Window::new(kernel, strides) };
                let pool = Pool { window, ceil_mode, count_include_pad };
                cases.push(op(&format!("average {pool:?}"), &[1, 2, 6, 7], Op::AveragePool(pool)));
                let pool = Pool { window: Window { dilations: [1, 2], ..window }, ..pool };
                let pool = Pool { count_include_pad: false, ..pool };
                cases.push(op(&format!("max {pool:?}"), &[1, 2, 6, 7], Op::MaxPool(pool)));
            }
        }
    }
    compare(&cases, 1e-6);
}

#[test]
fn products_agree_with_onnx_runtime() {
    let mut cases = vec![];
    for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let gemm = Op::Gemm(Gemm { alpha: 0.5, beta: 2.0, trans_a, trans_b });
        let shape = if trans_a { [7, 3] } else { [3, 7] };
        cases.push(single(&format!("{gemm:?}"), &shape, |b, x| {
            let w = b.constant("w", random_tensor(if trans_b { &[5, 7] } else { &[7, 5] }, 4));
            let c = b.constant("c", random_tensor(&[3, 1], 5));
            b.apply("y", gemm.clone(), &[x, w, c]).unwrap()
        }));
    }
    cases.push(single("stacked", &[2, 1, 3, 4], |b, x| {
        let w = b.constant("w", random_tensor(&[5, 4, 2], 4));
        b.apply("y", Op::MatMul, &[x, w]).unwrap()
    }));
    for function in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
        cases.push(single(&format!("{function:?}"), &[2, 3, 4, 1], |b, x| {
            let other = b.constant("other", random_tensor(&[3, 1, 5], 6));
            b.apply("y", Op::Binary(function), &[x, other]).unwrap()
        }));
    }
    compare(&cases, 1e-6);
}

#[test]
fn quantisation_is_the_same_integers_as_onnx_runtime() {
    let mut cases = vec![];
    // A scale of a power of two makes ties; others test that the division is in float32.
    for scale in [0.25, 0.1, 0.007_843_138] {
        for zero in [Tensor::vector(vec![128u8]), Tensor::vector(vec![-3i8])] {
            let mut case = single(&format!("scale {scale}"), &[1, 4, 8, 8], |b, x| {
                let scale = b.constant("scale", Tensor::scalar(scale));
                let zero = b.constant("zero", zero.reshaped([]).unwrap());
                let q = b.apply("q", Op::Quantize { axis: 1 }, &[x, scale, zero]).unwrap();
                b.apply("y", Op::Dequantize { axis: 1 }, &[q, scale, zero]).unwrap()
            });
            let ties: Vec<f32> = (0..256).map(|i| (i - 128) as f32 * scale * 1.5).collect();
            case.1 = Tensor::new([1, 4, 8, 8], ties).unwrap();
            cases.push(case);
        }
    }
    cases.push(single("per channel", &[2, 3, 4], |b, x| {
        let scale = b.constant("scale", Tensor::vector(vec![0.01f32, 0.02, 0.03]));
        let zero = b.constant("zero", Tensor::vector(vec![0i8; 3]));
        let q = b.apply("q", Op::Quantize { axis: 1 }, &[x, scale, zero]).unwrap();
        b.apply("y", Op::Dequantize { axis: 1 }, &[q, scale, zero]).unwrap()
    }));
    compare(&cases, 0.0);
}

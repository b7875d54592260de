//! Quantised networks are written with Quantize and Dequantize, in the form that ONNX Runtime
//! turns into integer kernels.

use edgecut_graph::{
    Binary, Builder, Conv, DType, Gemm, Graph, Op, Pool, Shape, Tensor, Unary, ValueId, Window,
    interpret, onnx,
};
use edgecut_testkit::{Python, assert_close, random_tensor};

use crate::peer::{Question, compare};
use crate::round_trip::round_trip;

const QUANTISE: &str = include_str!("../peers/onnx_quantise.py");

/// Optimises `model.npy`, fails where it is uint8 and a convolution or product stays in float, and
/// runs it. ONNX Runtime has the same for int8 on Arm only.
const RUN: &str = "
import sys, numpy as np, onnx, onnxruntime as ort
content = np.load('model.npy').tobytes()
onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
options = ort.SessionOptions()
options.log_severity_level = 3
options.optimized_model_filepath = 'optimised.onnx'
session = ort.InferenceSession(content, options, providers=['CPUExecutionProvider'])
kinds = [n.op_type for n in onnx.load('optimised.onnx').graph.node]
left = [k for k in kinds if k in ('Conv', 'FusedConv', 'Gemm', 'MatMul', 'Add')]
assert not left or not sys.argv[1].endswith('u8'), kinds
np.save('y.npy', session.run(None, {'x': np.load('x.npy')})[0])
";

#[test]
fn networks_of_the_quantiser_run_as_integers() {
    let Some(python) = Python::with(&["onnx", "onnxruntime.quantization"]) else { return };
    let made = python.run(QUANTISE, &[], &[]).unwrap();
    let x = &made["x"];
    for way in ["operators_u8", "operators_s8", "qdq_u8", "qdq_s8"] {
        let graph = onnx::from_bytes(way, made[way].u8s().unwrap()).unwrap();
        let quantised = graph.nodes.iter().filter(|n| matches!(n.op, Op::Quantize { .. })).count();
        assert!(quantised >= 6, "{way}: {quantised}");
        round_trip(&graph, std::slice::from_ref(x)).unwrap_or_else(|e| panic!("{way}: {e}"));
        let model = Tensor::vector(onnx::to_bytes(&graph).unwrap());
        let results = python.run(RUN, &[way], &[("model", &model), ("x", x)]);
        let results = results.unwrap_or_else(|e| panic!("{way}: {e}"));
        let expected = &made[&format!("{way}_y")];
        let exact = way.ends_with("u8");
        assert_close(&results["y"], expected, if exact { 1e-6 } else { 0.05 }, way);
        let own = interpret::run(&graph, std::slice::from_ref(x)).unwrap();
        assert_close(&own[0], expected, 0.05, way);
    }
}

/// Runs `model.npy`, which must hold no convolution, product or sum on floats, and saves which
/// operators it has.
const OPERATORS: &str = "
import numpy as np, onnx, onnxruntime as ort
content = np.load('model.npy').tobytes()
model = onnx.load_from_string(content)
onnx.checker.check_model(model)
kinds = {n.op_type for n in model.graph.node}
assert not kinds & {'Conv', 'Gemm', 'MatMul', 'Add', 'Mul', 'Concat', 'Sigmoid'}, kinds
session = ort.InferenceSession(content, providers=['CPUExecutionProvider'])
x = {i.name: np.load(i.name + '.npy') for i in session.get_inputs()}
np.save('y.npy', session.run(None, x)[0])
np.save('kinds.npy', np.frombuffer(' '.join(sorted(kinds)).encode(), np.uint8))
";

/// The graph in operators of one node each, which are read back as the same function.
fn in_operators(graph: &Graph, x: &Tensor) -> Tensor {
    let bytes = onnx::to_bytes_with(graph, onnx::QuantisedForm::QOperator).unwrap();
    let back = onnx::from_bytes("again", &bytes).unwrap();
    let run = |graph: &Graph| interpret::run(graph, std::slice::from_ref(x)).unwrap();
    assert_eq!(run(graph), run(&back), "{}", graph.name);
    Tensor::vector(bytes)
}

#[test]
fn networks_of_the_quantiser_become_operators() {
    let Some(python) = Python::with(&["onnx", "onnxruntime.quantization"]) else { return };
    let made = python.run(QUANTISE, &[], &[]).unwrap();
    for way in ["operators_u8", "qdq_u8", "qdq_s8"] {
        let graph = onnx::from_bytes(way, made[way].u8s().unwrap()).unwrap();
        let model = in_operators(&graph, &made["x"]);
        let results = python.run(OPERATORS, &[], &[("model", &model), ("x", &made["x"])]);
        let results = results.unwrap_or_else(|e| panic!("{way}: {e}"));
        assert_close(&results["y"], &made[&format!("{way}_y")], 0.05, way);
    }
}

/// One operator of each kind; ONNX Runtime's results are at most one step away.
#[test]
fn every_quantised_operator_is_written() {
    let (graph, names) = operators();
    let x = random_tensor(&[1, 4, 8, 8], 5);
    let model = in_operators(&graph, &x);
    let Some(python) = Python::with(&["onnx", "onnxruntime"]) else { return };
    let results = python.run(OPERATORS, &[], &[("model", &model), ("x", &x)]).unwrap();
    let kinds = String::from_utf8(results["kinds"].u8s().unwrap().to_vec()).unwrap();
    for name in names {
        assert!(kinds.split(' ').any(|kind| kind == name), "{name} is not among {kinds}");
    }
    let own = interpret::run(&graph, &[x]).unwrap();
    // Each of a dozen roundings may be a step of 0.02 to 0.05 away, the products weigh them.
    assert_close(&results["y"], &own[0], 0.1, "operators");
}

/// A network of all operators that have a quantised form, and the names of those forms.
fn operators() -> (Graph, Vec<&'static str>) {
    let mut b = Quantised { b: Builder::new("operators", 3), count: 0 };
    let x = b.b.input("x", [1.into(), 4.into(), 8.into(), 8.into()]);
    let x = b.rounded(x, 0.03, 128);
    let y = b.conv(x, 4);
    let clamped = b.b.relu(y).unwrap();
    let y = b.rounded(clamped, 0.02, 0);
    let z = b.b.apply("sigmoid", Op::Unary(Unary::Sigmoid), &[y]).unwrap();
    let z = b.rounded(z, 1.0 / 256.0, 0);
    let gated = b.b.apply("gate", Op::Binary(Binary::Mul), &[y, z]).unwrap();
    let gated = b.rounded(gated, 0.02, 0);
    let sum = b.b.add(gated, x).unwrap();
    let sum = b.rounded(sum, 0.05, 100);
    let leaky = Op::Unary(Unary::LeakyRelu { alpha: 0.1 });
    let leaky = b.b.apply("leaky", leaky, &[sum]).unwrap();
    let leaky = b.rounded(leaky, 0.04, 30);
    let both = b.b.concat(&[sum, leaky], 1).unwrap();
    let both = b.rounded(both, 0.05, 90);
    let pooled = b.b.max_pool(both, Window::new([2, 2], [2, 2])).unwrap();
    let pooled = b.rounded(pooled, 0.05, 90);
    let window = Window::new([2, 2], [2, 2]);
    let pool = Pool { window, ceil_mode: false, count_include_pad: false };
    let pooled = b.b.apply("average", Op::AveragePool(pool), &[pooled]).unwrap();
    let pooled = b.rounded(pooled, 0.05, 90);
    let mean = b.b.global_average_pool(pooled).unwrap();
    let mean = b.rounded(mean, 0.03, 90);
    let flat = b.b.flatten(mean).unwrap();
    let flat = b.rounded(flat, 0.03, 90);
    let hidden = b.product(flat, 8, 6, false);
    let hidden = b.rounded(hidden, 0.05, 128);
    let y = b.product(hidden, 6, 5, true);
    let names = vec![
        "QLinearConv",
        "QLinearSigmoid",
        "QLinearMul",
        "QLinearAdd",
        "QLinearLeakyRelu",
        "QLinearConcat",
        "MaxPool",
        "QLinearAveragePool",
        "QLinearGlobalAveragePool",
        "QLinearMatMul",
        "QGemm",
    ];
    (b.b.finish(&[y]).unwrap(), names)
}

/// Builds networks in QDQ form.
struct Quantised {
    b: Builder,
    count: usize,
}

impl Quantised {
    fn name(&mut self, stem: &str) -> String {
        self.count += 1;
        format!("{stem}{}", self.count)
    }

    /// Quantised and dequantised with one scale.
    fn rounded(&mut self, x: ValueId, scale: f32, zero: u8) -> ValueId {
        let name = self.name("round");
        let scale = self.b.constant(&format!("{name}.scale"), Tensor::scalar(scale));
        let zero = Tensor::new([], vec![zero]).unwrap();
        let zero = self.b.constant(&format!("{name}.zero"), zero);
        let inputs = [x, scale, zero];
        let q = self.b.apply(&format!("{name}.q"), Op::Quantize { axis: 0 }, &inputs).unwrap();
        let inputs = [q, scale, zero];
        self.b.apply(&format!("{name}.d"), Op::Dequantize { axis: 0 }, &inputs).unwrap()
    }

    /// Weights with a scale for each extent of `axis`, and a bias for the input's scale.
    fn weights(&mut self, shape: &[usize], axis: usize, x_scale: f32) -> [ValueId; 2] {
        let name = self.name("w");
        let len: usize = shape.iter().product();
        let codes: Vec<i8> = (0..len).map(|i| (i * 37 % 255) as i8).collect();
        let codes = self.b.constant(&name, Tensor::new(shape, codes).unwrap());
        let scales: Vec<f32> = (0..shape[axis]).map(|i| 0.002 + 0.0005 * i as f32).collect();
        let bias_scales: Vec<f32> = scales.iter().map(|s| x_scale * s).collect();
        let scales = self.b.constant(&format!("{name}.scale"), Tensor::vector(scales));
        let op = Op::Dequantize { axis };
        let real = self.b.apply(&format!("{name}.d"), op, &[codes, scales]).unwrap();
        let bias: Vec<i32> = (0..shape[axis]).map(|i| i as i32 * 90 - 200).collect();
        let bias = self.b.constant(&format!("{name}.b"), Tensor::vector(bias));
        let scales = self.b.constant(&format!("{name}.b.scale"), Tensor::vector(bias_scales));
        let op = Op::Dequantize { axis: 0 };
        let bias = self.b.apply(&format!("{name}.b.d"), op, &[bias, scales]).unwrap();
        [real, bias]
    }

    fn conv(&mut self, x: ValueId, channels: usize) -> ValueId {
        let [w, bias] = self.weights(&[channels, channels, 3, 3], 0, 0.03);
        let conv = Conv { window: Window::same(3, 1), groups: 1 };
        let name = self.name("conv");
        self.b.apply(&name, Op::Conv(conv), &[x, w, bias]).unwrap()
    }

    /// A Gemm with a bias, or a MatMul without.
    fn product(&mut self, x: ValueId, from: usize, to: usize, gemm: bool) -> ValueId {
        let [w, bias] = self.weights(&[from, to], 1, 0.05);
        let name = self.name("product");
        match gemm {
            true => {
                let op = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
                self.b.apply(&name, Op::Gemm(op), &[x, w, bias]).unwrap()
            }
            false => self.b.apply(&name, Op::MatMul, &[x, w]).unwrap(),
        }
    }
}

/// A convolution whose weights are stored in 4 bits.
#[test]
fn weights_of_4_bits_are_valid() {
    let mut graph = Graph::new("four bits");
    let x = graph.add_input("x", DType::F32, Shape::fixed(&[1, 3, 6, 6]));
    let codes: Vec<i8> = (0..7 * 27).map(|i| (i * 5 % 16) as i8 - 8).collect();
    let weight = graph.add_constant("weight", Tensor::new([7, 3, 3, 3], codes).unwrap());
    let scales: Vec<f32> = (1..8).map(|c| c as f32 / 16.0).collect();
    let scale = graph.add_constant("scale", Tensor::vector(scales));
    let zero = graph.add_constant("zero", Tensor::vector(vec![0i8; 7]));
    let inputs = [Some(weight), Some(scale), Some(zero)];
    let real = graph.add_node("real", Op::Dequantize { axis: 0 }, &inputs).unwrap();
    let conv = Op::Conv(Conv { window: Window::same(3, 1), groups: 1 });
    let y = graph.add_node("conv", conv, &[Some(x), Some(real)]).unwrap();
    graph.outputs.push(y);
    let inputs = vec![random_tensor(&[1, 3, 6, 6], 1)];
    let question = Question { name: "int4".into(), graph, inputs };
    if let Some(missing) = compare(&[question], 1e-6) {
        assert!(missing.is_empty(), "{missing:?}");
    }
}

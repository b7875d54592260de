//! Quantised networks are written with Quantize and Dequantize, in the form that ONNX Runtime
//! turns into integer kernels.

use edgecut_graph::{Conv, DType, Graph, Op, Shape, Tensor, Window, interpret, onnx};
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

//! Every operator, exported and imported again.

use super::super::to_bytes;
use super::*;
use crate::op::{Binary, Conv, Cut, Gemm, Pool, ReshapeDim, Unary, Window};
use crate::rng::Rng;

/// An operator with the shapes and types of its inputs: the first is the graph's, others are
/// constants.
fn cases() -> Vec<(Op, Vec<Tensor>)> {
    let mut rng = Rng::new(5);
    let mut random = |shape: &[usize]| {
        let values = (0..shape.iter().product()).map(|_| rng.range(0.1, 1.0)).collect::<Vec<f32>>();
        constant(&values, shape)
    };
    let window = Window { kernel: [3, 2], strides: [2, 1], dilations: [1, 1], pads: [1, 0, 0, 1] };
    let dilated = Window { dilations: [2, 1], ..window };
    let pool = Pool { window, ceil_mode: true, count_include_pad: false };
    let image = random(&[2, 4, 6, 5]);
    let with = |op: Op, more: Vec<Tensor>| (op, [vec![image.clone()], more].concat());
    let vector = |rng: &mut dyn FnMut(&[usize]) -> Tensor| (0..4).map(|_| rng(&[4])).collect();
    let statistics: Vec<Tensor> = vector(&mut random);
    let gemm = Gemm { alpha: 0.5, beta: 2.0, trans_a: true, trans_b: false };
    let unary = |f: Unary| with(Op::Unary(f), vec![]);
    let cut = |axis, start, len, step| Cut { axis, start, len, step };
    let scales = Tensor::vector(vec![0.1f32, 0.2, 0.3, 0.4]);
    let zeros = Tensor::vector(vec![0i8, 1, 2, 3]);
    let (scale, zero) = (Tensor::scalar(0.01), Tensor::new([], vec![3u8]).unwrap());
    vec![
        with(Op::Conv(Conv { window, groups: 2 }), vec![random(&[6, 2, 3, 2]), random(&[6])]),
        with(Op::Conv(Conv { window: dilated, groups: 1 }), vec![random(&[3, 4, 3, 2])]),
        (Op::Gemm(gemm), vec![random(&[3, 2]), random(&[3, 5]), random(&[5])]),
        (Op::Gemm(gemm), vec![random(&[3, 2]), random(&[3, 5])]),
        (Op::MatMul, vec![random(&[2, 3, 4]), random(&[4, 5])]),
        with(Op::BatchNorm { epsilon: 1e-3, momentum: 0.99 }, statistics),
        unary(Unary::Relu),
        unary(Unary::Clip { min: 0.2, max: 0.7 }),
        unary(Unary::Clip { min: f32::NEG_INFINITY, max: 0.7 }),
        unary(Unary::Clip { min: 0.2, max: f32::INFINITY }),
        unary(Unary::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY }),
        unary(Unary::LeakyRelu { alpha: 0.3 }),
        unary(Unary::Sigmoid),
        unary(Unary::HardSigmoid { alpha: 0.1, beta: 0.4 }),
        unary(Unary::HardSwish),
        with(Op::Binary(Binary::Add), vec![random(&[4, 1, 1])]),
        with(Op::Binary(Binary::Sub), vec![random(&[1])]),
        with(Op::Binary(Binary::Mul), vec![random(&[6, 5])]),
        with(Op::Binary(Binary::Div), vec![random(&[])]),
        with(Op::MaxPool(Pool { window: dilated, ..pool }), vec![]),
        with(Op::AveragePool(pool), vec![]),
        with(Op::AveragePool(Pool { count_include_pad: true, ceil_mode: false, ..pool }), vec![]),
        with(Op::GlobalAveragePool, vec![]),
        with(Op::Concat { axis: 2 }, vec![random(&[2, 4, 1, 5]), random(&[2, 4, 2, 5])]),
        with(
            Op::Reshape { dims: vec![ReshapeDim::Copy, ReshapeDim::Infer, ReshapeDim::Fixed(10)] },
            vec![],
        ),
        with(Op::Flatten { axis: 2 }, vec![]),
        with(Op::Transpose { perm: vec![0, 2, 3, 1] }, vec![]),
        with(
            Op::Pad {
                before: vec![0, 1, 0, 2],
                after: vec![0, 0, 3, 0],
                mode: crate::PadMode::Constant(-1.0),
            },
            vec![],
        ),
        with(Op::Slice { cuts: vec![cut(1, 1, 2, 2), cut(3, 0, 3, 1)] }, vec![]),
        with(Op::Slice { cuts: vec![cut(2, 0, 0, 1)] }, vec![]),
        with(
            Op::Reduce { kind: crate::Reduction::Mean, axes: vec![2, 3], keep_dims: false },
            vec![],
        ),
        (Op::Squeeze { axes: vec![1, 3] }, vec![random(&[2, 1, 3, 1])]),
        with(Op::Unsqueeze { axes: vec![0, 3] }, vec![]),
        with(Op::Softmax { axis: 1 }, vec![]),
        with(Op::Quantize { axis: 0 }, vec![scale.clone(), zero.clone()]),
        with(Op::Quantize { axis: 1 }, vec![scales.clone(), zeros.clone()]),
    ]
}

fn graph_of(op: &Op, tensors: &[Tensor]) -> Graph {
    let mut graph = Graph::new("case");
    let mut inputs = vec![Some(graph.add_input("x", DType::F32, Shape::fixed(tensors[0].shape())))];
    for (index, tensor) in tensors.iter().enumerate().skip(1) {
        inputs.push(Some(graph.add_constant(format!("c{index}"), tensor.clone())));
    }
    let y = graph.add_node("node", op.clone(), &inputs).unwrap();
    graph.outputs.push(y);
    graph
}

#[test]
fn every_operator_survives() {
    let mut names = std::collections::BTreeSet::new();
    for (op, tensors) in cases() {
        let graph = graph_of(&op, &tensors);
        let bytes = to_bytes(&graph).unwrap();
        let again = from_bytes("case", &bytes).unwrap();
        assert_eq!(again.nodes.len(), 1, "{op:?}");
        assert_eq!(again.nodes[0].op, op);
        assert_eq!(again.nodes[0].inputs.len(), tensors.len(), "{op:?}");
        let input = &tensors[..1];
        let (a, b) =
            (interpret::run(&graph, input).unwrap(), interpret::run(&again, input).unwrap());
        assert_eq!(a, b, "{op:?}");
        assert_eq!(to_bytes(&again).unwrap(), bytes, "{op:?}");
        names.insert(op.name());
    }
    // Dequantize has its own test: its constants are integers.
    assert_eq!(names.len(), 28, "{names:?}");
}

#[test]
fn quantised_weights_stay_integers() {
    let mut graph = Graph::new("quantised");
    let x = graph.add_input("x", DType::F32, Shape::fixed(&[1, 2, 3, 3]));
    let weight = Tensor::new([2, 2, 1, 1], vec![1i8, -2, 3, -4]).unwrap();
    let weight = graph.add_constant("weight", weight);
    let scale = graph.add_constant("scale", Tensor::vector(vec![0.5f32, 0.25]));
    let inputs = [Some(weight), Some(scale), None];
    let real = graph.add_node("real", Op::Dequantize { axis: 0 }, &inputs).unwrap();
    let conv = Op::Conv(Conv { window: Window::new([1, 1], [1, 1]), groups: 1 });
    let y = graph.add_node("conv", conv, &[Some(x), Some(real)]).unwrap();
    graph.outputs.push(y);
    let bytes = to_bytes(&graph).unwrap();
    let proto = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
    assert_eq!(proto.initializer[0].data_type(), data_type::INT8);
    assert_eq!(proto.node[0].attribute[0], write::int("axis", 0));
    let again = from_bytes("quantised", &bytes).unwrap();
    assert_eq!(again.nodes[0].op, graph.nodes[0].op);
    let input = [constant(&[1.0; 18], &[1, 2, 3, 3])];
    assert_eq!(interpret::run(&again, &input).unwrap(), interpret::run(&graph, &input).unwrap());
}

#[test]
fn the_interface_keeps_its_names() {
    // One value under two names, an input as output, a constant as output.
    let model = model(13).stored("k", Tensor::scalar(2.0)).node("Relu", "x", "r", &[]);
    let model = model.node("Identity", "r", "y", &[]).node("Identity", "r", "z", &[]);
    let graph = model.node("Identity", "x", "w", &[]).output("z").output("w").output("k").graph();
    let names: Vec<&str> = graph.outputs.iter().map(|&o| graph.value(o).name.as_str()).collect();
    assert_eq!(names, ["y", "z", "w", "k"]);
    let again = from_bytes("again", &to_bytes(&graph).unwrap()).unwrap();
    let names: Vec<&str> = again.outputs.iter().map(|&o| again.value(o).name.as_str()).collect();
    assert_eq!(names, ["y", "z", "w", "k"]);
    let x = constant(&[-1.0; 32], &[1, 2, 4, 4]);
    let outputs = interpret::run(&again, std::slice::from_ref(&x)).unwrap();
    assert_eq!(outputs[2], x);
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[3], Tensor::scalar(2.0));
}

#[test]
fn small_constants_are_shared_and_named_apart() {
    let mut graph = Graph::new("clips");
    let x = graph.add_input("bound_0", DType::F32, Shape::fixed(&[3]));
    let a = graph.add_node("a", Op::RELU6, &[Some(x)]).unwrap();
    let b = graph.add_node("b", Op::RELU6, &[Some(a)]).unwrap();
    graph.outputs.push(b);
    let proto = ModelProto::decode(to_bytes(&graph).unwrap().as_slice()).unwrap();
    let names: Vec<String> =
        proto.graph.unwrap().initializer.iter().map(|t| t.name().to_string()).collect();
    assert_eq!(names, ["bound_1", "bound_2"]);
}

#[test]
fn symbols_are_written_as_names() {
    let graph = single(13, "Relu", &[]).graph();
    let proto = ModelProto::decode(to_bytes(&graph).unwrap().as_slice()).unwrap().graph.unwrap();
    assert_eq!(
        proto.input[0],
        write::value_info("x", DType::F32, &graph.value(graph.inputs[0]).shape)
    );
    assert_eq!(shape_of(&from_bytes("r", &to_bytes(&graph).unwrap()).unwrap()), "[batch, 2, 4, 4]");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let bytes = Tensor::new([2, 3], vec![1u8; 6]).unwrap();
    let mut graph = Graph::new("sum");
    let x = graph.add_input("x", DType::U8, Shape::fixed(bytes.shape()));
    let op = Op::CumSum { axis: 1, exclusive: false, reverse: false };
    let y = graph.add_node("sum", op, &[Some(x)]).unwrap();
    graph.outputs.push(y);
    let text = to_bytes(&graph).unwrap_err().to_string();
    assert!(text.contains("node 'sum' (CumSum)") && text.contains("not for uint8"), "{text}");
    let mut graph = single(13, "Relu", &[]).graph();
    let y = graph.outputs[0];
    graph.value_mut(y).name = "x".into();
    assert!(to_bytes(&graph).unwrap_err().to_string().contains("no name of its own"));
}

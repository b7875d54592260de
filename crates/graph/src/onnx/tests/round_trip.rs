//! Export in detail; that every operator comes back is a test of its own (`tests/onnx_export`).

use super::super::to_bytes;
use super::*;
use crate::op::{Conv, Pool, ScatterMode, Unary, Window};

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
fn weights_of_4_bits_take_half_the_bytes() {
    let build = |largest: i8| {
        let mut graph = Graph::new("four bits");
        let x = graph.add_input("x", DType::F32, Shape::fixed(&[1, 8, 3, 3]));
        let codes: Vec<i8> = (0..72).map(|i| if i == 0 { largest } else { i % 16 - 8 }).collect();
        let weight = graph.add_constant("weight", Tensor::new([9, 8, 1, 1], codes).unwrap());
        let scale = graph.add_constant("scale", Tensor::vector(vec![0.5f32; 9]));
        let zero = graph.add_constant("zero", Tensor::vector(vec![0i8; 9]));
        let inputs = [Some(weight), Some(scale), Some(zero)];
        let real = graph.add_node("real", Op::Dequantize { axis: 0 }, &inputs).unwrap();
        let conv = Op::Conv(Conv { window: Window::new([1, 1], [1, 1]), groups: 1 });
        let y = graph.add_node("conv", conv, &[Some(x), Some(real)]).unwrap();
        graph.outputs.push(y);
        graph
    };
    let stored = |graph: &Graph| {
        let proto = ModelProto::decode(to_bytes(graph).unwrap().as_slice()).unwrap();
        let tensors = &proto.graph.as_ref().unwrap().initializer;
        let weight = tensors.iter().find(|t| t.name() == "weight").unwrap();
        let bytes = weight.raw_data.as_ref().unwrap().len();
        (weight.data_type(), bytes, proto.opset_import[0].version())
    };
    assert_eq!(stored(&build(8)), (data_type::INT8, 72, 17));
    let graph = build(7);
    assert_eq!(stored(&graph), (data_type::INT4, 36, 21));
    let bytes = to_bytes(&graph).unwrap();
    let again = from_bytes("again", &bytes).unwrap();
    let input = [constant(&[0.7; 72], &[1, 8, 3, 3])];
    assert_eq!(interpret::run(&again, &input).unwrap(), interpret::run(&graph, &input).unwrap());
    assert_eq!(to_bytes(&again).unwrap(), bytes);
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

/// A graph of one operator on an image and constants.
fn image_through(op: Op, more: &[Tensor]) -> Graph {
    let mut graph = Graph::new("case");
    let dims = vec![Dim::from("batch"), 4.into(), 6.into(), 5.into()];
    let mut inputs = vec![Some(graph.add_input("x", DType::F32, Shape::new(dims)))];
    for (index, tensor) in more.iter().enumerate() {
        inputs.push(Some(graph.add_constant(format!("c{index}"), tensor.clone())));
    }
    let y = graph.add_node("node", op, &inputs).unwrap();
    graph.outputs.push(y);
    graph
}

#[test]
fn the_operator_set_is_the_first_that_has_everything() {
    let window = Window { dilations: [2, 1], ..Window::new([2, 2], [1, 1]) };
    let pool = Pool { window, ceil_mode: false, count_include_pad: false };
    let vector = constant(&[1.0; 4], &[4]);
    let cases = [
        (Op::RELU, vec![], (17, 8)),
        (Op::Unary(Unary::Silu), vec![], (17, 8)),
        (Op::MaxPool(pool), vec![], (17, 8)),
        (Op::Unary(Unary::Mish), vec![], (18, 8)),
        (Op::LpPool { pool, p: 2 }, vec![], (18, 8)),
        (Op::AveragePool(pool), vec![], (19, 9)),
        (Op::Unary(Unary::Gelu { tanh: true }), vec![], (20, 9)),
        (Op::GroupNorm { groups: 2, epsilon: 1e-5 }, vec![vector.clone(), vector], (21, 10)),
    ];
    for (op, more, (opset, ir)) in cases {
        let bytes = to_bytes(&image_through(op.clone(), &more)).unwrap();
        let proto = ModelProto::decode(bytes.as_slice()).unwrap();
        let found = (proto.opset_import[0].version(), proto.ir_version());
        assert_eq!(found, (opset, ir), "{op:?}");
    }
    let op = |mode| Op::ScatterNd { mode };
    let more = [Tensor::new([0, 1], Vec::<i64>::new()).unwrap()];
    let updates = constant(&[], &[0, 4, 6, 5]);
    for (mode, opset) in [(ScatterMode::Add, 17), (ScatterMode::Min, 18)] {
        let graph = image_through(op(mode), &[more[0].clone(), updates.clone()]);
        let proto = ModelProto::decode(to_bytes(&graph).unwrap().as_slice()).unwrap();
        assert_eq!(proto.opset_import[0].version(), opset);
    }
}

#[test]
fn what_onnx_lacks_is_spelled_out() {
    let kinds = |op: Op| -> Vec<String> {
        let graph = image_through(op, &[]);
        let bytes = to_bytes(&graph).unwrap();
        let proto = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
        // The last node has the name and the output of the operator.
        let last = proto.node.last().unwrap();
        assert_eq!((last.name(), last.output[0].as_str()), ("node", "node"));
        proto.node.iter().map(|n| n.op_type().to_string()).collect()
    };
    assert_eq!(kinds(Op::Unary(Unary::Silu)), ["Sigmoid", "Mul"]);
    assert_eq!(kinds(Op::ChannelShuffle { groups: 2 }), ["Reshape", "Transpose", "Reshape"]);
    let mut graph = image_through(Op::ChannelShuffle { groups: 2 }, &[]);
    let (x, y) = (graph.inputs[0], graph.outputs[0]);
    let any = Shape::new(vec!["n".into(), 4.into(), "h".into(), "w".into()]);
    for id in [x, y] {
        graph.value_mut(id).shape = any.clone();
    }
    let again = from_bytes("any size", &to_bytes(&graph).unwrap()).unwrap();
    assert_eq!(again.nodes[0].op, Op::Gather { axis: 1 });
    let x = constant(&[0.0, 1.0, 2.0, 3.0], &[1, 4, 1, 1]);
    let y = interpret::run(&again, std::slice::from_ref(&x)).unwrap();
    assert_eq!(y[0].f32s().unwrap(), [0.0, 2.0, 1.0, 3.0]);
    assert_eq!(y, interpret::run(&graph, &[x]).unwrap());
}

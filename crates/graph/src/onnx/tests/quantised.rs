//! QuantizeLinear, DequantizeLinear, Cast.

use super::super::to_bytes;
use super::super::write::int;
use super::*;

fn scales() -> Tensor {
    Tensor::vector(vec![0.5, 0.25])
}

#[test]
fn a_missing_zero_point_is_zero_of_uint8() {
    let base = |opset| model(opset).stored("s", Tensor::scalar(0.5));
    let graph = base(10).node("QuantizeLinear", "x s", "y", &[]).graph();
    assert_eq!(graph.nodes[0].op, Op::Quantize { axis: 0 });
    let zero = graph.constant(graph.nodes[0].inputs[2].unwrap()).unwrap();
    assert_eq!(zero, &Tensor::new([], vec![0u8]).unwrap());
    let signed = base(21).node("QuantizeLinear", "x s", "y", &[int("output_dtype", 3)]).graph();
    assert_eq!(signed.value(signed.outputs[0]).dtype, DType::I8);
    base(21).node("QuantizeLinear", "x s", "y", &[int("output_dtype", 4)]).unsupported("8 bits");
    base(21).node("QuantizeLinear", "x s", "y", &[int("block_size", 2)]).unsupported("block");
}

#[test]
fn conversions_are_written_in_few_bytes_and_come_back_as_they_were() {
    let zero = Tensor::new([], vec![3u8]).unwrap();
    let model = model(13).stored("s", Tensor::scalar(0.5)).stored("z", zero);
    let model = model.node("QuantizeLinear", "x s z", "q", &[]);
    let graph = model.node("DequantizeLinear", "q s z", "y", &[]).graph();
    let bytes = to_bytes(&graph).unwrap();
    let written = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
    assert!(written.node.iter().all(|node| node.name.is_none() && node.attribute.is_empty()));
    assert!(written.value_info.is_empty());
    let names = |graph: &Graph| graph.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&graph), ["q", "y"]);
    assert_eq!(names(&from_bytes("r", &bytes).unwrap()), names(&graph));
}

#[test]
fn per_channel_scales_have_an_axis() {
    let zeros = Tensor::vector(vec![0i8, 0]);
    let weight = Tensor::new([2, 2, 1, 1], vec![1i8, 2, 3, 4]).unwrap();
    let base = |axis: i64| {
        let model = model(13).stored("w", weight.clone()).stored("s", scales());
        let model = model.stored("z", zeros.clone());
        let model = model.node("DequantizeLinear", "w s z", "f", &[int("axis", axis)]);
        model.node("Conv", "x f", "y", &[])
    };
    for axis in [0, -4] {
        let graph = base(axis).graph();
        assert_eq!(graph.nodes[0].op, Op::Dequantize { axis: 0 }, "kept, not folded");
        assert_eq!(graph.nodes.len(), 2);
    }
    base(7).malformed("axis 7");
}

#[test]
fn a_bias_of_int32_is_dequantised() {
    let model = model(13).stored("w", Tensor::zeros([2, 2, 1, 1]).unwrap());
    let model = model.stored("b", Tensor::vector(vec![4i32, 8])).stored("s", scales());
    let model = model.node("DequantizeLinear", "b s", "f", &[int("axis", 0)]);
    let graph = model.node("Conv", "x w f", "y", &[]).graph();
    let y = run(&graph, &[1, 2, 4, 4], &[0.0; 32]);
    assert_eq!((y.f32s().unwrap()[0], y.f32s().unwrap()[16]), (2.0, 2.0));
}

#[test]
fn stored_floats_that_are_quantised_become_integers() {
    let model = model(13).stored("w", constant(&[1.0, -1.25, 0.24, 0.25], &[2, 2, 1, 1]));
    let model =
        model.stored("s", Tensor::scalar(0.5)).stored("z", Tensor::new([], vec![0i8]).unwrap());
    let model = model.node("QuantizeLinear", "w s z", "q", &[]);
    let model = model.node("DequantizeLinear", "q s z", "f", &[]);
    let graph = model.node("Conv", "x f", "y", &[]).graph();
    assert_eq!(graph.nodes.len(), 2);
    let stored = graph.constant(graph.nodes[0].inputs[0].unwrap()).unwrap();
    // -2.5 and 0.5 are halfway: to even.
    assert_eq!(stored.i8s().unwrap(), [2, -2, 0, 0]);
}

#[test]
fn casts_of_constants_are_computed() {
    let model = |to: i64| {
        let model = model(13).stored("c", Tensor::vector(vec![1i64, -2, 3, 0]));
        model.node("Cast", "c", "f", &[int("to", to)]).node("Add", "x f", "y", &[])
    };
    let graph = model(1).graph();
    let cast = graph.constant(graph.nodes[0].inputs[1].unwrap()).unwrap();
    assert_eq!(cast.f32s().unwrap(), [1.0, -2.0, 3.0, 0.0]);
    assert_eq!(single(13, "Cast", &[int("to", 3)]).ops(), [Op::Cast { to: DType::I8 }]);
    single(13, "Cast", &[int("to", 8)]).unsupported("string");
}

#[test]
fn integer_operators_are_floats_between_dequantize_and_quantize() {
    let scalar = |value: f32| Tensor::scalar(value);
    let zero = |value: u8| Tensor::new([], vec![value]).unwrap();
    let weight = Tensor::new([2, 1, 1, 1], vec![2i8, -3]).unwrap();
    let model = model(13)
        .input("x", DType::U8, Shape::fixed(&[1, 1, 1, 3]))
        .stored("xs", scalar(0.5))
        .stored("xz", zero(10))
        .stored("w", weight)
        .stored("ws", Tensor::vector(vec![1.0f32, 0.5]))
        .stored("wz", Tensor::new([], vec![0i8]).unwrap())
        .stored("ys", scalar(0.25))
        .stored("yz", zero(100))
        .stored("b", Tensor::vector(vec![4i32, -8]));
    let graph = model.node("QLinearConv", "x xs xz w ws wz ys yz b", "y", &[]).graph();
    let names: Vec<&str> = graph.nodes.iter().map(|n| n.op.name()).collect();
    let expected =
        ["DequantizeLinear", "DequantizeLinear", "DequantizeLinear", "Conv", "QuantizeLinear"];
    assert_eq!(names, expected);
    let x = Tensor::new([1, 1, 1, 3], vec![10u8, 14, 200]).unwrap();
    let y = interpret::run(&graph, &[x]).unwrap().swap_remove(0);
    // x = 0, 2, 95; w = 2, -1.5; bias 4 * 0.5 = 2, -8 * 0.25 = -2; y = real / 0.25 + 100.
    assert_eq!(y.u8s().unwrap(), [108, 124, 255, 92, 80, 0]);
}

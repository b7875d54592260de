//! What exporters write around Reshape when the batch is unknown.

use super::super::write::{float, int};
use super::*;
use crate::op::ReshapeDim::{Copy, Fixed, Infer};

fn reshape(graph: &Graph) -> Vec<crate::ReshapeDim> {
    match graph.nodes.last().map(|n| &n.op) {
        Some(Op::Reshape { dims }) => dims.clone(),
        other => panic!("{other:?}"),
    }
}

/// `x.view(x.size(0), -1)` as PyTorch traces it, up to opset 12.
#[test]
fn a_view_by_batch_copies_and_infers() {
    let index = Tensor::new([], vec![0i64]).unwrap();
    let model = model(11).node("Shape", "x", "s", &[]);
    let model = model.node("Constant", "", "i", &[tensor_attribute("value", &index)]);
    let model = model.node("Gather", "s i", "n", &[int("axis", 0)]);
    let model = model.node("Unsqueeze", "n", "n1", &[signed("axes", &[0])]).ints("rest", &[-1]);
    let model = model.node("Concat", "n1 rest", "t", &[int("axis", 0)]);
    let graph = model.node("Reshape", "x t", "y", &[]).graph();
    assert_eq!(reshape(&graph), [Copy, Infer]);
    assert_eq!(shape_of(&graph), "[batch, 32]");
    assert_eq!((graph.nodes.len(), graph.values().len()), (1, 2));
}

/// A channel shuffle with sizes that are computed.
#[test]
fn products_and_quotients_of_extents_are_numbers() {
    let model = model(13).node("Shape", "x", "s", &[]).ints("one", &[1]).ints("two", &[2]);
    let model = model.ints("three", &[3]).ints("zero", &[0]).ints("far", &[i64::MAX]);
    let model = model.node("Slice", "s zero one", "n", &[]);
    let model = model.node("Slice", "s one two", "c", &[]);
    let model = model.node("Slice", "s two far", "hw", &[]);
    let model = model.node("Div", "c two", "half", &[]);
    let model = model.node("Concat", "n two half hw", "t", &[int("axis", 0)]);
    let graph = model.node("Reshape", "x t", "y", &[]).graph();
    assert_eq!(reshape(&graph), [Copy, Fixed(2), Fixed(1), Fixed(4), Fixed(4)]);
}

#[test]
fn a_symbol_that_moves_is_inferred() {
    let model = model(13).node("Shape", "x", "s", &[int("end", 1)]).ints("c", &[32]);
    let model = model.node("Concat", "c s", "t", &[int("axis", 0)]);
    let model = model.node("Reshape", "x t", "y", &[]);
    assert_eq!(reshape(&model.graph()), [Fixed(32), Infer]);
}

#[test]
fn scaled_sizes_go_through_floats() {
    let model =
        model(13).node("Shape", "x", "s", &[int("start", 2)]).stored("k", Tensor::scalar(0.3));
    let model = model.node("Cast", "s", "f", &[int("to", 1)]).node("Mul", "f k", "m", &[]);
    let model = model.node("Floor", "m", "r", &[]).node("Cast", "r", "i", &[int("to", 7)]);
    let model = model.ints("rest", &[0, -1]).node("Concat", "rest i", "t", &[int("axis", 0)]);
    assert_eq!(
        reshape(&model.node("Reshape", "x t", "y", &[]).graph()),
        [Copy, Infer, Fixed(1), Fixed(1)]
    );
}

/// The pads of PyTorch's `F.pad`, which come in the opposite order.
#[test]
fn reversed_pads_are_evaluated() {
    let zero = tensor_attribute("value", &Tensor::vector(vec![0i64]));
    let model = model(11).ints("given", &[1, 2, 3, 4]).ints("four", &[4]).ints("pairs", &[-1, 2]);
    let model = model.node("ConstantOfShape", "four", "zeros", &[zero]);
    let model = model.node("Concat", "given zeros", "all", &[int("axis", 0)]);
    let model = model.node("Reshape", "all pairs", "matrix", &[]);
    let model =
        model.ints("start", &[-1]).ints("end", &[-i64::MAX]).ints("axis", &[0]).ints("step", &[-1]);
    let model = model.node("Slice", "matrix start end axis step", "reversed", &[]);
    let model = model.node("Transpose", "reversed", "sides", &[signed("perm", &[1, 0])]);
    let model = model.ints("flat", &[-1]).node("Reshape", "sides flat", "pads", &[]);
    let graph = model.node("Pad", "x pads", "y", &[]).graph();
    let (before, after) = (vec![0, 0, 3, 1], vec![0, 0, 4, 2]);
    assert_eq!(graph.nodes[0].op, Op::Pad { before, after, mode: crate::PadMode::Constant(0.0) });
}

#[test]
fn sizes_ranges_and_products() {
    let model = model(13).fixed(&[2, 3]).node("Size", "x", "n", &[]);
    let model = model.ints("zero", &[0]).node("Unsqueeze", "n zero", "t", &[]);
    assert_eq!(reshape(&model.node("Reshape", "x t", "y", &[]).graph()), [Fixed(6)]);
    let number = |n: i64| Tensor::new([], vec![n]).unwrap();
    let model = super::model(13).fixed(&[2, 3]).stored("a", number(1)).stored("b", number(4));
    let model = model.stored("c", number(2)).node("Range", "a b c", "r", &[]);
    let model = model.node("ReduceProd", "r", "p", &[]).node("Neg", "p", "q", &[]);
    let model = model.ints("four", &[4]).node("Add", "q four", "one", &[]).ints("rest", &[6]);
    let model = model.node("Concat", "one rest", "t", &[int("axis", 0)]);
    assert_eq!(reshape(&model.node("Reshape", "x t", "y", &[]).graph()), [Fixed(1), Fixed(6)]);
}

#[test]
fn large_results_are_constants() {
    let model = model(13).ints("s", &[2, 4, 4]);
    let value = tensor_attribute("value", &Tensor::vector(vec![1.5f32]));
    let model = model.node("ConstantOfShape", "s", "c", &[value]);
    let graph = model.node("Add", "x c", "y", &[]).graph();
    assert_eq!(graph.constant(graph.nodes[0].inputs[1].unwrap()).unwrap().len(), 32);
}

#[test]
fn what_needs_the_batch_as_a_number_is_refused() {
    let model = || model(13).node("Shape", "x", "s", &[]).ints("i", &[0]);
    let used = model().node("Gather", "s i", "n", &[]).node("Add", "x n", "y", &[]);
    used.unsupported("shape");
    let rounded = model().node("Gather", "s i", "n", &[]).node("Cast", "n", "f", &[int("to", 1)]);
    let rounded = rounded.node("Constant", "", "k", &[float("value_float", 0.5)]);
    rounded.node("Mul", "f k", "y", &[]).unsupported("not understood");
    model().node("Gather", "s i", "y", &[]).malformed("symbolic shape");
}

#[test]
fn a_broadcast_that_keeps_the_batch_is_an_expand() {
    // What PyTorch writes for `x.expand(-1, 3, 4, 4)`: -1 is replaced by the own extent.
    let model = model(13).fixed(&[1, 1, 4, 4]).input(
        "x",
        DType::F32,
        Shape::new(vec![Dim::from("batch"), 1.into(), 4.into(), 4.into()]),
    );
    let graph = model
        .ints("wanted", &[-1, 3, 4, 4])
        .ints("minus", &[-1])
        .node("Shape", "x", "own", &[])
        .node("Equal", "wanted minus", "open", &[])
        .node("Where", "open own wanted", "target", &[])
        .node("Expand", "x target", "y", &[])
        .graph();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(graph.nodes[0].op, Op::Expand { shape: vec![1, 3, 4, 4] });
    assert_eq!(shape_of(&graph), "[batch, 3, 4, 4]");
}

#[test]
fn sizes_of_a_resize_may_copy_the_batch() {
    let graph = model(13)
        .ints("front", &[0])
        .ints("two", &[2])
        .ints("space", &[8, 6])
        .node("Shape", "x", "own", &[])
        .node("Slice", "own front two", "kept", &[])
        .node("Concat", "kept space", "sizes", &[int("axis", 0)])
        .node("Resize", "x _ _ sizes", "y", &[text("mode", "linear")])
        .graph();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(shape_of(&graph), "[batch, 2, 8, 6]");
}

#[test]
fn shapes_as_int32_stay_int32() {
    let cast = int("to", data_type::INT32.into());
    let graph = model(13)
        .fixed(&[1, 2, 4, 4])
        .stored("one", Tensor::vector(vec![1i32]))
        .node("Shape", "x", "own", &[])
        .node("Cast", "own", "narrow", &[cast])
        .node("Add", "narrow one", "y", &[])
        .graph();
    let sum = graph.constant(graph.outputs[0]).unwrap();
    assert_eq!(sum.i32s().unwrap(), [2, 3, 5, 5]);
}

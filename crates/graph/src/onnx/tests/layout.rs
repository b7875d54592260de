//! Operators that move elements.

use super::super::write::{int, ints};
use super::*;
use crate::op::{Cut, ReshapeDim};

#[test]
fn pads_are_an_attribute_then_an_input() {
    let expected = [Op::Pad {
        before: vec![0, 0, 1, 2],
        after: vec![0, 0, 3, 0],
        mode: crate::PadMode::Constant(0.5),
    }];
    let pads = [0, 0, 1, 2, 0, 0, 3, 0];
    let value = super::super::write::float("value", 0.5);
    assert_eq!(single(10, "Pad", &[signed("pads", &pads), value]).ops(), expected);
    let base = |opset| model(opset).stored("v", Tensor::scalar(0.5));
    let new = base(13).ints("p", &pads).node("Pad", "x p v", "y", &[text("mode", "constant")]);
    assert_eq!(new.ops(), expected);
    let some = base(18).ints("p", &[1, 2, 3, 0]).ints("a", &[-2, 3]);
    assert_eq!(some.node("Pad", "x p v a", "y", &[]).ops(), expected);
    let reflect = base(13).ints("p", &pads).node("Pad", "x p", "y", &[text("mode", "reflect")]);
    let [Op::Pad { mode: crate::PadMode::Reflect, .. }] = reflect.ops()[..] else {
        panic!("reflect");
    };
    let cut = base(13).ints("p", &[0, 0, -1, -1, 0, 0, 2, -1]).node("Pad", "x p", "y", &[]);
    let graph = cut.graph();
    assert_eq!(shape_of(&graph), "[batch, 2, 5, 2]");
    assert_eq!(graph.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Slice", "Pad"]);
    let most = base(13).ints("p", &[0, 0, -3, 0, 0, 0, -2, 0]).node("Pad", "x p", "y", &[]);
    most.malformed("leave nothing");
    let mirrored = base(13).ints("p", &[0, 0, -1, 0, 0, 0, 1, 0]);
    mirrored.node("Pad", "x p", "y", &[text("mode", "edge")]).unsupported("negative");
    base(13).ints("p", &[1; 6]).node("Pad", "x p", "y", &[]).malformed("6 pads for 4");
}

#[test]
fn slices_are_clamped_and_ordered() {
    let cut = |axis, start, len, step| Cut { axis, start, len, step };
    let model_of = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
        let model = model(13).ints("s", starts).ints("e", ends).ints("a", axes).ints("t", steps);
        model.node("Slice", "x s e a t", "y", &[])
    };
    let far = i64::MAX;
    let graph = model_of(&[1, 0], &[far, -1], &[3, -2], &[2, 1]).graph();
    let cuts = vec![cut(2, 0, 3, 1), cut(3, 1, 2, 2)];
    assert_eq!(graph.nodes[0].op, Op::Slice { cuts });
    assert_eq!(shape_of(&graph), "[batch, 2, 3, 2]");
    // All of the batch is no cut, though its size is unknown.
    let all = model_of(&[0, -2], &[far, 9], &[0, 2], &[1, 1]).ops();
    assert_eq!(all, [Op::Slice { cuts: vec![cut(2, 2, 2, 1)] }]);
    let old = single(9, "Slice", &[ints("starts", &[1]), ints("ends", &[2]), ints("axes", &[1])]);
    assert_eq!(old.ops(), [Op::Slice { cuts: vec![cut(1, 1, 1, 1)] }]);
    // Backwards: 3, 2, 1, as a Gather.
    let back = model_of(&[3, -1], &[0, i64::MIN], &[3, 2], &[-1, -3]).graph();
    assert_eq!(shape_of(&back), "[batch, 2, 2, 3]");
    assert_eq!(back.nodes[0].op, Op::Gather { axis: 3 });
    model_of(&[3], &[0], &[3], &[0]).malformed("step is 0");
    model_of(&[0, 0], &[1], &[1, 2], &[1, 1]).malformed("different lengths");
}

#[test]
fn splits_are_slices() {
    let cut = |start, len| Op::Slice { cuts: vec![Cut { axis: 3, start, len, step: 1 }] };
    let axis = int("axis", -1);
    let ends = |model: Model| model.node("Concat", "a b", "y", &[int("axis", 3)]).ops();
    let old = model(11).node("Split", "x", "a b", &[axis.clone(), ints("split", &[1, 3])]);
    let join = Op::Concat { axis: 3 };
    assert_eq!(ends(old), [cut(0, 1), cut(1, 3), join.clone()]);
    let new = model(13).ints("s", &[1, 3]).node("Split", "x s", "a b", std::slice::from_ref(&axis));
    assert_eq!(ends(new), [cut(0, 1), cut(1, 3), join.clone()]);
    let equal = model(18).node("Split", "x", "a b", &[axis.clone(), int("num_outputs", 2)]);
    assert_eq!(ends(equal), [cut(0, 2), cut(2, 2), join]);
    let wrong = model(13).ints("s", &[1, 4]).node("Split", "x s", "a y", &[axis]);
    wrong.malformed("add up to 4");
}

#[test]
fn axes_are_attributes_then_inputs() {
    let base = || model(13).fixed(&[1, 2, 1, 4]).ints("a", &[-2]);
    let squeeze = [Op::Squeeze { axes: vec![2] }];
    assert_eq!(base().node("Squeeze", "x a", "y", &[]).ops(), squeeze);
    let old = model(11).fixed(&[1, 2, 1, 4]).node("Squeeze", "x", "y", &[signed("axes", &[2])]);
    assert_eq!(old.ops(), squeeze);
    let all = base().node("Squeeze", "x", "y", &[]);
    assert_eq!(all.ops(), [Op::Squeeze { axes: vec![0, 2] }]);
    let unsqueeze = [Op::Unsqueeze { axes: vec![0, 4] }];
    let old = model(11).fixed(&[2, 3, 4]).node("Unsqueeze", "x", "y", &[signed("axes", &[4, 0])]);
    assert_eq!(old.ops(), unsqueeze);
    let new = model(13).fixed(&[2, 3, 4]).ints("n", &[-1, 0]);
    assert_eq!(new.node("Unsqueeze", "x n", "y", &[]).ops(), unsqueeze);
}

#[test]
fn transpose_reverses_by_default() {
    let perm = vec![3, 2, 1, 0];
    assert_eq!(single(13, "Transpose", &[]).ops(), [Op::Transpose { perm }]);
    let perm = vec![0, 2, 3, 1];
    let given = single(13, "Transpose", &[ints("perm", &perm)]);
    assert_eq!(given.ops(), [Op::Transpose { perm }]);
}

#[test]
fn flatten_counts_from_both_ends() {
    assert_eq!(single(13, "Flatten", &[]).ops(), [Op::Flatten { axis: 1 }]);
    assert_eq!(single(13, "Flatten", &[int("axis", -3)]).ops(), [Op::Flatten { axis: 1 }]);
    let end = model(13).fixed(&[2, 3]).node("Flatten", "x", "y", &[int("axis", 2)]);
    assert_eq!(shape_of(&end.graph()), "[6, 1]");
    single(13, "Flatten", &[int("axis", 5)]).malformed("axis 5");
}

#[test]
fn reshape_copies_infers_and_may_mean_zero() {
    use ReshapeDim::{Copy, Fixed, Infer};
    let to = |dims: &[i64], attributes: &[AttributeProto]| {
        model(14).ints("s", dims).node("Reshape", "x s", "y", attributes)
    };
    assert_eq!(to(&[0, -1], &[]).ops(), [Op::Reshape { dims: vec![Copy, Infer] }]);
    let dims = vec![Infer, Fixed(8), Fixed(4)];
    assert_eq!(to(&[-1, 8, 4], &[]).ops(), [Op::Reshape { dims }]);
    to(&[-1, -1], &[]).unsupported("two extents are unknown");
    to(&[-2, 4], &[]).malformed("cannot reshape to [-2, 4]");
    let none = model(14).fixed(&[0, 3]).ints("s", &[3, 0]);
    let empty = none.node("Reshape", "x s", "y", &[int("allowzero", 1)]);
    // An extent of 0 in an input declaration means "unknown", so this does not fit.
    assert!(empty.import().is_err());
    model(13).node("Reshape", "x x", "y", &[]).unsupported("without running");
}

#[test]
fn what_changes_nothing_disappears() {
    let model = model(11).stored("r", Tensor::scalar(0.1)).node("Identity", "x", "a", &[]);
    let model = model.node("Dropout", "a", "b mask", &[]).node("Cast", "b", "c", &[int("to", 10)]);
    let graph = model.node("Relu", "c", "y", &[]).graph();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(graph.values().len(), 2);
}

#[test]
fn constants_are_stored_in_any_form() {
    let add = |attribute: AttributeProto| {
        let model = model(13).node("Constant", "", "c", &[attribute]);
        let graph = model.node("Add", "x c", "y", &[]).graph();
        graph.constant(graph.nodes[0].inputs[1].unwrap()).unwrap().f32s().unwrap().to_vec()
    };
    assert_eq!(add(tensor_attribute("value", &Tensor::scalar(2.0))), [2.0]);
    assert_eq!(add(super::super::write::float("value_float", 3.0)), [3.0]);
    let floats = AttributeProto {
        name: Some("value_floats".into()),
        floats: vec![1.0, 2.0, 3.0, 4.0],
        r#type: Some(attribute_type::FLOATS),
        ..AttributeProto::default()
    };
    assert_eq!(add(floats), [1.0, 2.0, 3.0, 4.0]);
    let none = model(13).node("Constant", "", "c", &[text("value_string", "a")]);
    none.node("Add", "x c", "y", &[]).unsupported("dense tensor");
}

#[test]
fn what_depends_on_constants_alone_is_computed() {
    let model = model(13).stored("w", constant(&[1.0, 2.0, 3.0, 4.0], &[2, 2]));
    let model = model.node("Transpose", "w", "t", &[]).node("Mul", "t w", "m", &[]);
    let graph = model.fixed(&[2, 2]).node("MatMul", "x m", "y", &[]).graph();
    assert_eq!(graph.nodes.len(), 1);
    let folded = graph.constant(graph.nodes[0].inputs[1].unwrap()).unwrap();
    assert_eq!(folded.f32s().unwrap(), [1.0, 6.0, 6.0, 16.0]);
}

//! Files that are refused, and what the message says.

use super::super::write::int;
use super::*;

#[test]
fn an_unknown_operator_is_named_with_its_set() {
    let mut model = single(13, "Unique", &[]);
    model.graph.node[0].name = Some("mix".into());
    let text = model.error().to_string();
    for part in ["model: node 'mix'", "operator Unique", "opset 13", "Conv", "GlobalAveragePool"] {
        assert!(text.contains(part), "{text}");
    }
    let mut proto = single(13, "QLinearWhere", &[]).proto();
    proto.graph.as_mut().unwrap().node[0].domain = Some("com.microsoft".into());
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.into()),
        version: Some(version),
    };
    proto.opset_import.push(set("com.microsoft", 1));
    let text = from_bytes("f", &proto.encode_to_vec()).unwrap_err().to_string();
    assert!(text.contains("of domain 'com.microsoft' (opset 1)"), "{text}");
    proto.opset_import.push(set("ai.onnx", 13));
    let text = from_bytes("f", &proto.encode_to_vec()).unwrap_err().to_string();
    assert!(text.contains("twice"), "{text}");
}

#[test]
fn functions_of_the_model_are_refused_where_they_are_called() {
    let mut proto = single(13, "Relu", &[]).proto();
    let function = FunctionProto { name: Some("Relu".into()), domain: Some("own".into()) };
    proto.functions.push(function);
    from_bytes("f", &proto.encode_to_vec()).unwrap();
    proto.graph.as_mut().unwrap().node[0].domain = Some("own".into());
    let text = from_bytes("f", &proto.encode_to_vec()).unwrap_err().to_string();
    assert!(text.contains("function of the model"), "{text}");
}

#[test]
fn operator_sets_have_bounds() {
    for opset in [6, 25] {
        single(opset, "Relu", &[]).graph();
    }
    for opset in [-1, 0, 5, 26] {
        let text = single(opset, "Relu", &[]).error().to_string();
        assert!(text.contains(&format!("opset {opset}; 6 to 25")), "{text}");
    }
}

#[test]
fn unknown_and_repeated_attributes_are_refused() {
    single(13, "Relu", &[int("slope", 1)]).unsupported("attribute 'slope'");
    let twice = [int("axis", 1), int("axis", 2)];
    single(13, "Softmax", &twice).malformed("'axis' is given twice");
    single(13, "Softmax", &[text("axis", "1")]).malformed("attribute 'axis' has type 3");
}

#[test]
fn names_are_defined_once_and_before_use() {
    let relu = |inputs: &str, output: &str| model(13).node("Relu", inputs, output, &[]);
    relu("nothing", "y").malformed("reads 'nothing', which nothing computes");
    relu("x", "x").malformed("output 'x' is already defined");
    relu("x", "y").node("Relu", "x", "y", &[]).malformed("'y' is already defined");
    relu("b", "a").node("Relu", "a", "b", &[]).node("Add", "x a", "y", &[]).malformed("cycle");
    relu("y", "y").malformed("cycle");
    relu("x", "z").malformed("output 'y': no node computes it");
    let one = Tensor::scalar(1.0);
    let twice = model(13).stored("c", one.clone()).stored("c", one);
    twice.node("Add", "x c", "y", &[]).malformed("initializer 'c': is defined twice");
    single(13, "Relu", &[]).output("y").malformed("listed twice");
    let many = model(13).node("Relu", "x x", "y", &[]);
    many.malformed("has 2 inputs, takes at most 1");
    model(13).node("Relu", "x", "_", &[]).malformed("no first output");
}

#[test]
fn nodes_may_come_in_any_order() {
    let model = model(13).node("Sigmoid", "a", "y", &[]).node("Relu", "x", "a", &[]);
    let names: Vec<&str> = model.ops().iter().map(Op::name).collect::<Vec<_>>();
    assert_eq!(names, ["Relu", "Sigmoid"]);
}

#[test]
fn missing_and_repeated_node_names_become_unique() {
    let mut model = model(13).node("Relu", "x", "a", &[]).node("Relu", "a", "b", &[]);
    model = model.node("Relu", "b", "y", &[]);
    model.graph.node[0].name = Some("same".into());
    model.graph.node[1].name = Some("same".into());
    let names: Vec<String> = model.graph().nodes.into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["same", "same_1", "y"]);
}

#[test]
fn inputs_and_outputs_must_be_dense_tensors() {
    let mut model = single(13, "Relu", &[]);
    model.graph.input[0].r#type = Some(TypeProto::default());
    model.malformed("input 'x': is not a dense tensor");
    let mut model = single(13, "Relu", &[]);
    let tensor = TensorTypeProto { elem_type: Some(8), shape: None };
    model.graph.input[0].r#type = Some(TypeProto { tensor_type: Some(tensor) });
    model.malformed("element type string");
    let mut model = single(13, "Relu", &[]);
    let tensor = TensorTypeProto { elem_type: Some(1), shape: None };
    model.graph.input[0].r#type = Some(TypeProto { tensor_type: Some(tensor) });
    model.malformed("no shape");
    let mut model = single(13, "Relu", &[]);
    model.graph.output[0] = write::value_info("y", DType::I64, &Shape::fixed(&[1]));
    model.malformed("is declared int64, but computed as float32");
    let huge = single(13, "Relu", &[]).fixed(&[1 << 20, 1 << 20]);
    assert!(matches!(huge.error().root(), GraphError::Limit { .. }));
    single(13, "Sigmoid", &[]).input("x", DType::I64, Shape::fixed(&[2])).error();
    let clip = |opset| single(opset, "Clip", &[]).input("x", DType::I64, Shape::fixed(&[2]));
    clip(10).malformed("from opset 12 on");
    clip(13).graph();
}

#[test]
fn unknown_extents_are_symbols() {
    let mut model = single(13, "Relu", &[]);
    let dim = |dim_value: Option<i64>| DimensionProto { dim_value, dim_param: None };
    let shape =
        TensorShapeProto { dim: vec![dim(Some(-1)), dim(None), dim(Some(0)), dim(Some(3))] };
    let tensor = TensorTypeProto { elem_type: Some(1), shape: Some(shape) };
    model.graph.input[0].r#type = Some(TypeProto { tensor_type: Some(tensor) });
    assert_eq!(shape_of(&model.graph()), "[batch, x_dim1, x_dim2, 3]");
}

#[test]
fn what_is_no_model_says_so() {
    for bytes in [&b""[..], b"\x08\x08", b"hello", b"\x89PNG\r\n\x1a\n", &[0xff; 64]] {
        let error = from_bytes("f", bytes).unwrap_err();
        assert!(matches!(error.root(), GraphError::Malformed { .. }), "{error}");
    }
    let mut proto = single(13, "Relu", &[]).proto();
    proto.graph.as_mut().unwrap().sparse_initializer.push(SparseTensorProto {});
    let text = from_bytes("f", &proto.encode_to_vec()).unwrap_err().to_string();
    assert!(text.contains("sparse"), "{text}");
}

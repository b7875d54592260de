//! What is written is read back the same, whatever carries it.

use bytes::Bytes;
use edgecut_graph::Tensor;
use edgecut_oip::grpc::{Message, ModelInferRequest, ModelInferResponse};
use edgecut_oip::{
    Datatype, InferRequest, InferResponse, Parameter, Parameters, RequestedOutput, Traceparent,
    WireTensor, names, rest,
};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z_./\\PC]{1,12}"
}

fn parameter() -> impl Strategy<Value = Parameter> {
    prop_oneof![
        any::<bool>().prop_map(Parameter::Bool),
        any::<i64>().prop_map(Parameter::Int),
        (i64::MAX as u64 + 1..).prop_map(Parameter::Uint),
        // A whole number would come back from JSON as one.
        (-1e6..1e6f64).prop_map(|v| Parameter::Double(v.trunc() + 0.5)),
        "\\PC{0,12}".prop_map(Parameter::Text),
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    prop::collection::btree_map(name(), parameter(), 0..4).prop_map(Parameters::from_iter)
}

/// Tensors of every type. Floats that JSON can say are what `finite` asks for.
fn tensor(datatype: Datatype, finite: bool) -> impl Strategy<Value = WireTensor> {
    let shape = prop::collection::vec(0usize..4, 0..4);
    (name(), shape, any::<u64>(), parameters()).prop_map(move |(name, shape, seed, parameters)| {
        let count: usize = shape.iter().product();
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u32
        };
        let mut tensor = match datatype.bytes() {
            None => {
                let items: Vec<String> =
                    (0..count).map(|_| "é".repeat(next() as usize % 4)).collect();
                WireTensor::from_elements(name, shape, &items).unwrap()
            }
            Some(size) => {
                let mut raw: Vec<u8> = (0..count * size).map(|_| next() as u8).collect();
                for element in raw.chunks_exact_mut(size) {
                    match datatype {
                        Datatype::Bool => element[0] &= 1,
                        // An exponent below the largest: neither infinite nor no number.
                        Datatype::Fp32 | Datatype::Fp64 if finite => element[size - 1] &= 0xbf,
                        _ => {}
                    }
                }
                WireTensor::new(name, datatype, shape, raw).unwrap()
            }
        };
        tensor.parameters = parameters;
        tensor
    })
}

fn any_tensor(of: &'static [Datatype], finite: bool) -> impl Strategy<Value = WireTensor> {
    prop::sample::select(of).prop_flat_map(move |datatype| tensor(datatype, finite))
}

/// At most one tensor of each name.
fn tensors(of: &'static [Datatype], finite: bool) -> impl Strategy<Value = Vec<WireTensor>> {
    prop::collection::vec(any_tensor(of, finite), 0..4).prop_map(|mut tensors| {
        tensors.sort_by(|a, b| a.name().cmp(b.name()));
        tensors.dedup_by(|a, b| a.name() == b.name());
        tensors
    })
}

fn request(of: &'static [Datatype], finite: bool) -> impl Strategy<Value = InferRequest> {
    let outputs = prop::collection::btree_map(name(), parameters(), 0..3);
    let asked = (name(), "[0-9]{0,3}", "\\PC{0,12}", parameters());
    (asked, tensors(of, finite), outputs).prop_map(|(asked, inputs, outputs)| {
        let (model, version, id, parameters) = asked;
        let outputs = outputs.into_iter();
        let outputs =
            outputs.map(|(name, parameters)| RequestedOutput { name, parameters }).collect();
        InferRequest { model, version, id, parameters, inputs, outputs }
    })
}

/// Those that JSON has a form for.
const IN_JSON: &[Datatype] = &[
    Datatype::Bool,
    Datatype::Uint8,
    Datatype::Uint16,
    Datatype::Uint32,
    Datatype::Uint64,
    Datatype::Int8,
    Datatype::Int16,
    Datatype::Int32,
    Datatype::Int64,
    Datatype::Fp32,
    Datatype::Fp64,
    Datatype::Bytes,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_request_survives_grpc(request in request(&Datatype::ALL, false)) {
        let message = ModelInferRequest::from(request.clone());
        let read = ModelInferRequest::decode(&message.encode_to_vec()[..]).unwrap();
        prop_assert_eq!(InferRequest::try_from(read).unwrap(), request);
    }

    #[test]
    fn a_request_survives_rest(request in request(IN_JSON, true), binary in any::<bool>()) {
        let sent = rest::encode_request(&request, binary).unwrap();
        let read = rest::decode_request(&request.model, &request.version, sent.header_length, &sent.body);
        let mut read = read.unwrap();
        if binary {
            prop_assert_eq!(read.parameters.remove(names::BINARY_DATA_OUTPUT), Some(true.into()));
        }
        prop_assert_eq!(read, request);
    }

    #[test]
    fn types_without_a_form_in_json_survive_as_binary(request in request(&Datatype::ALL, false)) {
        let sent = rest::encode_request(&request, true).unwrap();
        let read = rest::decode_request(&request.model, &request.version, sent.header_length, &sent.body);
        prop_assert_eq!(read.unwrap().inputs, request.inputs);
    }

    #[test]
    fn an_answer_survives(
        outputs in tensors(IN_JSON, true),
        mut asked in request(IN_JSON, true),
        binary in any::<bool>(),
        parameters in parameters(),
    ) {
        asked.parameters = Parameters::default();
        asked.outputs.clear();
        asked.parameters.set(names::BINARY_DATA_OUTPUT, binary);
        let (model, version, id) = (asked.model.clone(), asked.version.clone(), asked.id.clone());
        let response = InferResponse { model, version, id, parameters, outputs };

        let sent = rest::encode_response(&asked, &response).unwrap();
        let read = rest::decode_response(sent.header_length, &sent.body).unwrap();
        prop_assert_eq!(&read, &response);

        let message = ModelInferResponse::from(response.clone());
        let read = ModelInferResponse::decode(&message.encode_to_vec()[..]).unwrap();
        prop_assert_eq!(InferResponse::try_from(read).unwrap(), response);
    }

    #[test]
    fn a_traceparent_survives(trace in 1u128.., span in 1u64.., sampled in any::<bool>()) {
        let parent = Traceparent { trace, span, sampled };
        prop_assert_eq!(parent.to_string().parse(), Ok(parent));
    }
}

#[test]
fn a_graphs_tensor_survives() {
    let tensors = [
        Tensor::new([2, 2], vec![1.5f32, -0.0, f32::INFINITY, 3e-40]).unwrap(),
        Tensor::new([3], vec![1u8, 2, 255]).unwrap(),
        Tensor::new([3], vec![1i8, -2, -128]).unwrap(),
        Tensor::new([1, 2], vec![i32::MIN, 7]).unwrap(),
        Tensor::new([2], vec![i64::MAX, -7]).unwrap(),
        Tensor::new([2], vec![true, false]).unwrap(),
        Tensor::new([], vec![4f32]).unwrap(),
        Tensor::new([2, 0], Vec::<f32>::new()).unwrap(),
    ];
    for tensor in tensors {
        let wire = WireTensor::from_tensor("x", &tensor);
        assert_eq!(wire.to_tensor_of(tensor.dtype()).unwrap(), tensor);
    }
}

#[test]
fn halves_become_float32_and_nothing_else_is_converted() {
    let half = WireTensor::new("x", Datatype::Fp16, [1], vec![0x00, 0xc0]).unwrap();
    let wanted = Tensor::new([1], vec![-2f32]).unwrap();
    assert_eq!(half.to_tensor_of(edgecut_graph::DType::F32).unwrap(), wanted);
    let brain = WireTensor::new("x", Datatype::Bf16, [1], vec![0x00, 0xc0]).unwrap();
    assert_eq!(brain.to_tensor_of(edgecut_graph::DType::F32).unwrap(), wanted);
    let bytes = WireTensor::new("x", Datatype::Uint8, [1], vec![1]).unwrap();
    let error = bytes.to_tensor_of(edgecut_graph::DType::F32).unwrap_err().to_string();
    assert_eq!(error, "tensor 'x': datatype UINT8, wanted is FP32");
}

#[test]
fn the_specifications_example_is_read() {
    let body = br#"{"id": "42", "inputs": [
        {"name": "input0", "shape": [2, 2], "datatype": "UINT32", "data": [[1, 2], [3, 4]]},
        {"name": "input1", "shape": [3], "datatype": "BOOL", "data": [true]}],
        "outputs": [{"name": "output0"}], "unknown": {"a": [1]}}"#;
    let refused = rest::decode_request("m", "", None, &Bytes::from_static(body)).unwrap_err();
    let wanted = "tensor 'input1': shape [3] of BOOL needs 3 elements of 1 bytes, got 1 bytes";
    assert_eq!(refused.to_string(), wanted);
    let body = String::from_utf8_lossy(body).replace("[true]", "[true, false, 1]");
    let refused = rest::decode_request("m", "", None, &body.clone().into()).unwrap_err();
    assert!(refused.to_string().contains("mixes kinds"), "{refused}");
    let body = body.replace("[true, false, 1]", "[1, 0, 1]");
    let read = rest::decode_request("m", "", None, &body.into()).unwrap();
    assert_eq!((read.id.as_str(), read.outputs[0].name.as_str()), ("42", "output0"));
    assert_eq!(&read.inputs[0].raw()[..], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(&read.inputs[1].raw()[..], [1, 0, 1]);
}

#[test]
fn what_real_servers_leave_out_or_null_is_nothing() {
    let body = br#"{"model_name": "m", "model_version": null, "id": null, "parameters": null,
        "outputs": [{"name": "y", "shape": [2], "datatype": "FP32", "parameters": null,
        "data": [1, null]}]}"#;
    let read = rest::decode_response(None, &Bytes::from_static(body)).unwrap();
    assert_eq!((read.version.as_str(), read.id.as_str()), ("", ""));
    let output = read.output("y").unwrap().to_tensor().unwrap();
    assert_eq!(output.f32s().unwrap()[0], 1.0);
    assert!(output.f32s().unwrap()[1].is_nan());
}

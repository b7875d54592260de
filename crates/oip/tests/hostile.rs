//! Whatever bytes come in: an error that says why, or a message within the limits. Never a panic.

use bytes::Bytes;
use edgecut_oip::grpc::{
    InferTensor, InferTensorContents, Message, ModelInferRequest, ModelInferResponse,
};
use edgecut_oip::limits::{MAX_PARAMETERS, MAX_TENSORS};
use edgecut_oip::{Datatype, InferRequest, InferResponse, OipError, Traceparent, WireTensor, rest};
use proptest::prelude::*;

fn decode(body: impl Into<Bytes>) -> Result<InferRequest, OipError> {
    rest::decode_request("m", "", None, &body.into())
}

fn refused(body: impl Into<Bytes>) -> String {
    decode(body).unwrap_err().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..300) {
        let body = Bytes::from(bytes);
        let _ = decode(body.clone());
        let _ = rest::decode_request("m", "", Some(length), &body);
        let _ = rest::decode_response(Some(length), &body);
        if let Ok(message) = ModelInferRequest::decode(&body[..]) {
            let _ = InferRequest::try_from(message);
        }
        if let Ok(message) = ModelInferResponse::decode(&body[..]) {
            let _ = InferResponse::try_from(message);
        }
        for datatype in Datatype::ALL {
            let _ = WireTensor::new("x", datatype, [length], body.clone());
        }
    }

    #[test]
    fn damaged_requests(at in 0usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let valid = br#"{"id":"7","parameters":{"timeout":5},"inputs":[{"name":"x","shape":[1,2],
            "datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"t","shape":[2],
            "datatype":"BYTES","data":["a","b"]}],"outputs":[{"name":"y"}]}"#;
        let mut body = valid.to_vec();
        let length = body.len();
        body.extend([0; 8]);
        let at = at % body.len();
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        let _ = rest::decode_request("m", "", Some(length), &body.into());
    }

    #[test]
    fn arbitrary_text_is_no_panic(text in "\\PC{0,60}|[0-9a-f-]{50,60}") {
        let _ = text.parse::<Traceparent>();
        let _ = text.parse::<Datatype>();
    }
}

#[test]
fn a_complete_valid_request_is_read() {
    let body = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}"#;
    assert_eq!(decode(body).unwrap().inputs.len(), 1);
}

#[test]
fn limits_are_held() {
    let input = r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#;
    let many = vec![input; MAX_TENSORS + 1].join(",");
    assert!(refused(format!(r#"{{"inputs":[{many}]}}"#)).contains("at most 256"));
    let parameters: Vec<String> = (0..=MAX_PARAMETERS).map(|i| format!(r#""p{i}":1"#)).collect();
    let parameters = parameters.join(",");
    assert!(refused(format!(r#"{{"parameters":{{{parameters}}}}}"#)).contains("at most 64"));
    assert!(refused(format!(r#"{{"inputs":[{input},{input}]}}"#)).contains("'x' is there twice"));
    let nested = format!("{}1{}", "[".repeat(9), "]".repeat(9));
    let deep = input.replace("[1]}", &format!("{nested}}}"));
    assert!(refused(format!(r#"{{"inputs":[{deep}]}}"#)).contains("nested more than 8 deep"));
    let bottomless = "[".repeat(1 << 20);
    assert!(decode(bottomless).is_err());
}

#[test]
fn numbers_that_do_not_fit_their_type_are_refused() {
    let input = |datatype: &str, data: &str| {
        let input = format!(
            r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"{datatype}","data":[{data}]}}]}}"#
        );
        decode(input).is_ok()
    };
    assert!(input("UINT8", "255") && !input("UINT8", "256") && !input("UINT8", "-1"));
    assert!(input("INT8", "-128") && !input("INT8", "1.5") && !input("INT8", "\"1\""));
    assert!(input("UINT64", "18446744073709551615") && !input("INT64", "18446744073709551615"));
    assert!(input("BOOL", "true") && input("BOOL", "1") && !input("BOOL", "2"));
    assert!(!input("FP16", "1") && !input("FP99", "1") && !input("BYTES", "1"));
}

#[test]
fn shapes_whose_product_overflows_are_refused() {
    let huge = [usize::MAX, usize::MAX, 0];
    assert!(WireTensor::new("x", Datatype::Fp32, huge, Bytes::new()).is_err());
    assert!(WireTensor::new("x", Datatype::Bytes, [usize::MAX], Bytes::new()).is_err());
    assert!(WireTensor::new("x", Datatype::Fp64, [usize::MAX / 4], Bytes::new()).is_err());
}

#[test]
fn elements_of_bytes_must_fill_their_tensor() {
    let cases: [(&[u8], usize, &str); 4] = [
        (&[1, 0, 0], 1, "in the middle of its length"),
        (&[255, 255, 255, 255, 1], 1, "4294967295 bytes, only 1"),
        (&[1, 0, 0, 0, 7], 2, "needs 2 elements, got 1"),
        (&[0, 0, 0, 0, 0, 0, 0, 0], 1, "needs 1 elements, got 2"),
    ];
    for (raw, count, wanted) in cases {
        let error = WireTensor::new("x", Datatype::Bytes, [count], raw.to_vec()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn raw_and_typed_contents_exclude_each_other() {
    let contents = InferTensorContents { fp32_contents: vec![1.0], ..Default::default() };
    let tensor = InferTensor {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![1],
        contents: Some(contents),
        ..Default::default()
    };
    let mut message = ModelInferRequest { inputs: vec![tensor], ..Default::default() };
    assert!(InferRequest::try_from(message.clone()).is_ok());
    message.raw_input_contents = vec![Bytes::from_static(&[0; 4])];
    let error = InferRequest::try_from(message.clone()).unwrap_err();
    assert_eq!(error.to_string(), "tensor 'x': raw and typed contents");
    message.inputs[0].contents = None;
    assert!(InferRequest::try_from(message.clone()).is_ok());
    message.raw_input_contents.push(Bytes::new());
    let error = InferRequest::try_from(message.clone()).unwrap_err();
    assert_eq!(error.to_string(), "raw_input_contents: 2 entries for 1 tensors");
    message.raw_input_contents.pop();
    message.inputs[0].shape = vec![-1];
    let error = InferRequest::try_from(message).unwrap_err();
    assert!(error.to_string().contains("a negative extent"), "{error}");
}

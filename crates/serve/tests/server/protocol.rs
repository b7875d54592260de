//! Both forms of the protocol, by plain clients.

use edgecut_graph::Tensor;
use edgecut_oip::grpc::{
    ModelInferRequest, ModelMetadataRequest, ModelReadyRequest, ServerReadyRequest,
};
use edgecut_oip::{Datatype, InferRequest, InferResponse, WireTensor, names, rest};
use futures_util::StreamExt;
use tonic::Code;

use super::common::*;

fn request(input: &Tensor) -> InferRequest {
    InferRequest {
        model: "net".into(),
        id: "7".into(),
        inputs: vec![WireTensor::from_tensor("image", input)],
        ..InferRequest::default()
    }
}

fn check(response: &InferResponse, wanted: &Tensor) {
    assert_eq!((response.model.as_str(), response.version.as_str()), ("net", "1"));
    assert_eq!(response.id, "7");
    assert_eq!(response.outputs[0].to_tensor().unwrap(), *wanted);
    assert_eq!(response.parameters.text(names::DIGEST).unwrap().map(str::len), Some(64));
    for name in [names::QUEUE_US, names::QUEUE_DEPTH, names::SERVICE_US, names::BATCH] {
        assert!(response.parameters.count(name).unwrap().is_some(), "{name}");
    }
}

#[test]
fn rest_answers_as_the_model_does() {
    let graph = net(1);
    let (server, _folder) = serve(&graph);
    let at = server.http().unwrap();
    for rows in [1, 3, 21] {
        let input = pictures(rows);
        let wanted = expected(&graph, &input);
        for binary in [false, true] {
            let sent = rest::encode_request(&request(&input), binary).unwrap();
            let header = sent.header_length.map(|n| format!("{}: {n}\r\n", names::HEADER_LENGTH));
            let answer = post(at, "/v2/models/net/infer", &header.unwrap_or_default(), &sent.body);
            assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
            let length = answer.header(names::HEADER_LENGTH).map(|n| n.parse().unwrap());
            assert_eq!(length.is_some(), binary);
            check(&rest::decode_response(length, &answer.body.into()).unwrap(), &wanted);
        }
    }
}

#[test]
fn health_and_metadata_over_rest() {
    let (server, _folder) = serve(&net(1));
    let at = server.http().unwrap();
    assert_eq!(get(at, "/v2/health/live").json()["live"], true);
    assert_eq!(get(at, "/v2/health/ready").json()["ready"], true);
    assert_eq!(get(at, "/v2").json()["name"], "edgecut");
    let about = get(at, "/v2/models/net").json();
    assert_eq!(about["versions"], serde_json::json!(["1"]));
    assert_eq!(about["inputs"][0]["shape"], serde_json::json!([-1, 3, 16, 16]));
    assert_eq!(about["outputs"][0]["datatype"], "FP32");
    assert_eq!(get(at, "/v2/models/net/versions/1/ready").json()["ready"], true);
    for missing in ["/v2/models/none", "/v2/models/net/versions/2", "/v2/models/none/ready", "/x"] {
        let answer = get(at, missing);
        assert_eq!(answer.status, 404, "{missing}");
        assert!(answer.json()["error"].is_string());
    }
    let metrics = String::from_utf8(get(at, "/metrics").body).unwrap();
    assert!(
        metrics.contains("edgecut_requests_total{model=\"net\",version=\"1\",outcome=\"ok\"} 0"),
        "{metrics}"
    );
    assert!(
        metrics.contains("edgecut_responses_total{protocol=\"rest\",code=\"4xx\"} 4"),
        "{metrics}"
    );
    assert_eq!(get(at, "/status.json").json()["models"][0]["name"], "net");
    assert!(get(at, "/").body.starts_with(b"<!doctype html>"));
}

#[test]
fn wrong_requests_over_rest_say_what_is_wrong() {
    let (server, _folder) = serve(&net(1));
    let at = server.http().unwrap();
    let path = "/v2/models/net/infer";
    let good = String::from_utf8(body_of(&pictures(1), "")).unwrap();
    let digest = format!(",\"parameters\":{{\"{}\":\"00\"}}", names::DIGEST);
    let cases: [(String, u16, &str); 8] = [
        ("{".into(), 400, "not the JSON"),
        (good.replace("\"image\"", "\"picture\""), 400, "no input 'picture'"),
        (r#"{"inputs":[]}"#.into(), 400, "input 'image' is missing"),
        (good.replace("FP32", "INT32"), 400, "data that is not INT32"),
        (good.replace("[1,3,16,16]", "[1,3,16,17]"), 400, "needs 816 elements"),
        (good.replace("[1,3,16,16]", "[1,16,3,16]"), 400, "the model takes FP32 [-1, 3, 16, 16]"),
        (good.replace("]}]}", "]}],\"outputs\":[{\"name\":\"z\"}]}"), 400, "no output 'z'"),
        (String::from_utf8(body_of(&pictures(1), &digest)).unwrap(), 409, "another model"),
    ];
    for (body, status, wanted) in cases {
        let answer = post(at, path, "", body.as_bytes());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(post(at, path, "", good.as_bytes()).status, 200);
}

#[test]
fn grpc_answers_as_the_model_does() {
    let graph = net(2);
    let (server, _folder) = serve(&graph);
    wait(async {
        let mut client = client(&server).await;
        assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
        let about = ModelMetadataRequest { name: "net".into(), version: String::new() };
        let about = client.model_metadata(about).await.unwrap().into_inner();
        assert_eq!(about.inputs[0].shape, [-1, 3, 16, 16]);
        assert_eq!(about.properties[names::DIGEST].len(), 64);
        let ready = ModelReadyRequest { name: "none".into(), version: String::new() };
        assert_eq!(client.model_ready(ready).await.unwrap_err().code(), Code::NotFound);
        for rows in [1, 5] {
            let input = pictures(rows);
            let ask = ModelInferRequest::from(request(&input));
            let answer = client.model_infer(ask).await.unwrap().into_inner();
            check(&answer.try_into().unwrap(), &expected(&graph, &input));
        }
        let mut wrong = ModelInferRequest::from(request(&pictures(1)));
        wrong.raw_input_contents[0].truncate(5);
        assert_eq!(client.model_infer(wrong).await.unwrap_err().code(), Code::InvalidArgument);
        let mut skewed = request(&pictures(1));
        skewed.parameters.set(names::DIGEST, "00");
        let refused = client.model_infer(ModelInferRequest::from(skewed)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
    });
}

#[test]
fn a_stream_answers_in_order_and_survives_a_wrong_request() {
    let graph = net(3);
    let (server, _folder) = serve(&graph);
    wait(async {
        let mut client = client(&server).await;
        let ask = |number: usize| {
            let mut ask = request(&pictures(1 + number % 3));
            ask.id = number.to_string();
            if number == 4 {
                ask.model = "none".into();
            }
            ModelInferRequest::from(ask)
        };
        let asks: Vec<ModelInferRequest> = (0..20).map(ask).collect();
        let stream = futures_util::stream::iter(asks);
        let answers = client.model_stream_infer(stream).await.unwrap().into_inner();
        let answers: Vec<_> = answers.map(|answer| answer.unwrap()).collect().await;
        assert_eq!(answers.len(), 20);
        for (number, answer) in answers.into_iter().enumerate() {
            let response = answer.infer_response.unwrap();
            assert_eq!(response.id, number.to_string());
            if number == 4 {
                assert!(
                    answer.error_message.contains("no model 'none'"),
                    "{}",
                    answer.error_message
                );
                continue;
            }
            let wanted = expected(&graph, &pictures(1 + number % 3));
            let response = InferResponse::try_from(response).unwrap();
            assert_eq!(response.outputs[0].to_tensor().unwrap(), wanted);
        }
    });
}

#[test]
fn halves_are_taken_and_bytes_are_not() {
    let graph = net(1);
    let (server, _folder) = serve(&graph);
    wait(async {
        let mut client = client(&server).await;
        let half =
            WireTensor::new("image", Datatype::Bf16, [1, 3, 16, 16], vec![0x80u8; 1536]).unwrap();
        let wanted = expected(&graph, &half.to_tensor().unwrap());
        let mut ask = request(&pictures(1));
        ask.inputs = vec![half];
        let answer = client.model_infer(ModelInferRequest::from(ask.clone())).await.unwrap();
        check(&answer.into_inner().try_into().unwrap(), &wanted);
        ask.inputs = vec![WireTensor::from_elements("image", [1], &["picture"]).unwrap()];
        let refused = client.model_infer(ModelInferRequest::from(ask)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(!refused.message().contains("or BYTES"), "{}", refused.message());
    });
}

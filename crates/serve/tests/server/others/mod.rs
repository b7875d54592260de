//! Our client against other servers, each with its wrapper of `deploy/tail`: what the protocol leaves
//! open, they fill differently.

mod models;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use edgecut_graph::Tensor;
use edgecut_oip::grpc::*;
use edgecut_oip::{
    Datatype, InferRequest, InferResponse, ModelMetadata, ServerMetadata, WireTensor, names, rest,
};
use edgecut_testkit::{OtherServer, Served, assert_close};
use tonic::{Code, Request, Status};

use super::common::*;
use models::Models;

/// On a machine that others use, too.
const START: Duration = Duration::from_secs(180);

/// Rounding of ONNX Runtime beside ours.
const CLOSE: f32 = 1e-4;

/// What a server does otherwise than others.
struct Habits {
    /// Binary data over REST; nothing where there is no REST.
    binary: Option<bool>,
    /// Whether parameters of the answer arrive.
    parameters: bool,
}

#[test]
fn triton_answers() {
    // Its Python backend has parameters of answers in newer versions only.
    check("triton", &Habits { binary: Some(true), parameters: false });
}

#[test]
fn mlserver_answers() {
    check("mlserver", &Habits { binary: Some(false), parameters: true });
}

#[test]
fn kserve_answers() {
    check("kserve", &Habits { binary: Some(true), parameters: true });
}

#[test]
fn ray_serve_answers() {
    check("ray", &Habits { binary: None, parameters: true });
}

fn check(name: &'static str, habits: &Habits) {
    let models = Models::write();
    // Beside the other server: it decodes what comes coded.
    let decoder = start(options(models.source()));
    let served = Served { models: models.folder(), packed: decoder.http(), threads: 1 };
    let Some(mut server) = OtherServer::start(name, &served).unwrap() else { return };
    wait(async {
        let mut client = ready(&mut server).await;
        health(&mut client).await;
        raw_and_typed(&mut client, &models).await;
        integers_cross_plain(&mut client, &models).await;
        coded_tensors_cross_packed(&mut client, &models, habits).await;
        refusals(&mut client, &models).await;
        deadlines(&mut client, &models).await;
    });
    if let Some((http, binary)) = server.http.zip(habits.binary) {
        over_rest(http, binary, &models);
    }
}

/// A client, as soon as all models can be asked.
async fn ready(server: &mut OtherServer) -> InferenceClient {
    let end = Instant::now() + START;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.grpc));
    let mut client = InferenceClient::new(endpoint.unwrap().connect_lazy());
    for name in models::NAMES {
        let ask = || ModelReadyRequest { name: name.into(), version: String::new() };
        while !client.model_ready(ask()).await.is_ok_and(|answer| answer.into_inner().ready) {
            if let Some(log) = server.ended() {
                panic!("{log}");
            }
            assert!(Instant::now() < end, "{name} is not ready: {}", server.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    client
}

async fn health(client: &mut InferenceClient) {
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let missing = ModelReadyRequest { name: "missing".into(), version: String::new() };
    // Not ready, or no such model: under which status, servers do not agree.
    assert!(!client.model_ready(missing).await.is_ok_and(|answer| answer.into_inner().ready));
    let about = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert!(!ServerMetadata::from(about).name.is_empty());
    let ask = |name: &str| ModelMetadataRequest { name: name.into(), version: String::new() };
    let about = client.model_metadata(ask("net")).await.unwrap().into_inner();
    described(&about.into());
    let about = client.model_metadata(ask("missing")).await;
    assert_eq!(about.unwrap_err().code(), Code::NotFound);
}

fn described(about: &ModelMetadata) {
    assert_eq!((about.name.as_str(), about.inputs.len()), ("net", 1));
    let input = &about.inputs[0];
    assert_eq!((input.name.as_str(), input.datatype.as_str()), ("image", "FP32"));
    assert_eq!(input.shape, [-1, 3, 16, 16]);
    assert_eq!(about.outputs.len(), 1);
}

/// A request as the device's half sends it.
fn request(model: &str, input: WireTensor) -> InferRequest {
    let mut request = InferRequest {
        model: model.into(),
        id: "request-1".into(),
        inputs: vec![input],
        ..InferRequest::default()
    };
    request.parameters.set(names::TIMEOUT, 60_000_000i64);
    request
}

async fn infer(
    client: &mut InferenceClient,
    request: impl Into<ModelInferRequest>,
) -> Result<InferResponse, Status> {
    let mut message = Request::new(request.into());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    message.metadata_mut().insert(names::TRACEPARENT, trace.parse().unwrap());
    let answer = client.model_infer(message).await?.into_inner();
    Ok(InferResponse::try_from(answer).unwrap())
}

fn answered(answer: &InferResponse, wanted: &Tensor) {
    assert_eq!(answer.id, "request-1");
    let [output] = answer.outputs.as_slice() else { panic!("{answer:?}") };
    assert_close(&output.to_tensor().unwrap(), wanted, CLOSE, "another server's answer");
}

async fn raw_and_typed(client: &mut InferenceClient, models: &Models) {
    let input = pictures(2);
    let wanted = expected(&models.net, &input);
    let mut ask = request("net", WireTensor::from_tensor("image", &input));
    ask.parameters.set(names::DIGEST, "another server ignores it");
    answered(&infer(client, ask.clone()).await.unwrap(), &wanted);
    let mut typed = ModelInferRequest::from(ask);
    typed.raw_input_contents.clear();
    let fp32_contents = input.f32s().unwrap().to_vec();
    typed.inputs[0].contents = Some(InferTensorContents { fp32_contents, ..Default::default() });
    answered(&infer(client, typed).await.unwrap(), &wanted);
}

/// Profile `plain`: the tail of a quantised network begins with bytes.
async fn integers_cross_plain(client: &mut InferenceClient, models: &Models) {
    let crossing = models.crossing(&pictures(1));
    let input = WireTensor::from_tensor(models.port(), &crossing);
    assert_eq!(input.datatype(), Datatype::Int8);
    let answer = infer(client, request("plain", input)).await.unwrap();
    answered(&answer, &expected(&models.tail, &crossing));
}

/// Profile `packed`: the answer has the bits of our own runtime.
async fn coded_tensors_cross_packed(
    client: &mut InferenceClient,
    models: &Models,
    habits: &Habits,
) {
    let stream = models.codec.encode(&models.crossing(&pictures(1))).unwrap();
    let coded = |stream: Vec<u8>| {
        let shape = [1, stream.len()];
        WireTensor::new(models.port(), Datatype::Uint8, shape, stream).unwrap()
    };
    // Whole, and cut off by a deadline.
    for length in [stream.len(), models.codec.ends(&stream).unwrap()[0]] {
        let part = stream[..length].to_vec();
        let received = models.codec.decode(&part).unwrap().tensor;
        let mut ask = request("packed", coded(part));
        ask.parameters.set(names::DIGEST, models.digest());
        let answer = infer(client, ask).await.unwrap();
        assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&models.tail, &received));
        if habits.parameters {
            let digest = answer.parameters.text(names::DIGEST).unwrap();
            assert_eq!(digest, Some(models.digest().as_str()));
            assert!(answer.parameters.count(names::SERVICE_US).unwrap().is_some());
        }
    }
    let mut damaged = stream.clone();
    damaged[3] ^= 1;
    let mut other = request("packed", coded(stream));
    other.parameters.set(names::DIGEST, "00");
    for wrong in [request("packed", coded(damaged)), other] {
        let status = infer(client, wrong).await.unwrap_err();
        let told = matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition);
        assert!(told, "{status}");
    }
}

async fn refusals(client: &mut InferenceClient, models: &Models) {
    let input = || WireTensor::from_tensor("image", &pictures(1));
    let unknown = infer(client, request("missing", input())).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    let shape = Tensor::zeros([1, 3, 16, 17]).unwrap();
    let shape = infer(client, request("net", WireTensor::from_tensor("image", &shape))).await;
    let name = infer(client, request("net", WireTensor::from_tensor("other", &pictures(1)))).await;
    let floats = models.crossing(&pictures(1)).to_f32();
    let floats = Tensor::new(models.codec.shape(), floats).unwrap();
    let kind = WireTensor::from_tensor(models.port(), &floats);
    let kind = infer(client, request("plain", kind)).await;
    for wrong in [shape, name, kind] {
        let status = wrong.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(!status.message().is_empty());
    }
    // Nobody else is disturbed.
    infer(client, request("net", input())).await.unwrap();
}

/// Whoever gives up is free at once, and the next is answered; on a new connection where the server or
/// HTTP/2 has ended the one on which half a request was sent.
async fn deadlines(client: &mut InferenceClient, models: &Models) {
    let rows = Tensor::zeros([64, 16, 56, 56]).unwrap();
    let slow = request("slow", WireTensor::from_tensor("image", &rows));
    let mut message = Request::new(ModelInferRequest::from(slow));
    message.set_timeout(Duration::from_millis(5));
    let began = Instant::now();
    let status = client.model_infer(message).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let input = pictures(1);
    let ask = request("net", WireTensor::from_tensor("image", &input));
    let mut answer = infer(client, ask.clone()).await;
    if answer.is_err() {
        answer = infer(client, ask).await;
    }
    answered(&answer.unwrap(), &expected(&models.net, &input));
}

fn over_rest(http: SocketAddr, binary: bool, models: &Models) {
    assert_eq!(get(http, "/v2/health/live").status, 200);
    assert_eq!(get(http, "/v2/health/ready").status, 200);
    let about: ServerMetadata = serde_json::from_slice(&get(http, "/v2").body).unwrap();
    assert!(!about.name.is_empty());
    described(&serde_json::from_slice(&get(http, "/v2/models/net").body).unwrap());

    let input = pictures(2);
    let ask = request("net", WireTensor::from_tensor("image", &input));
    for as_binary in [false, true] {
        let answer = ask_rest(http, &ask, as_binary);
        if as_binary && !binary {
            // Refused, not misunderstood: the client goes on with JSON.
            assert!(answer.status >= 400, "{}", answer.head);
            continue;
        }
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let length = answer.header(names::HEADER_LENGTH).map(|value| value.parse().unwrap());
        assert_eq!(length.is_some(), as_binary);
        let answer = rest::decode_response(length, &Bytes::from(answer.body)).unwrap();
        answered(&answer, &expected(&models.net, &input));
    }
    assert_eq!(
        ask_rest(http, &InferRequest { model: "missing".into(), ..ask.clone() }, false).status,
        404
    );
    let wrong = WireTensor::from_tensor("image", &Tensor::zeros([1, 3, 16, 17]).unwrap());
    let wrong = ask_rest(http, &InferRequest { inputs: vec![wrong], ..ask }, false);
    assert_eq!(wrong.status, 400, "{}", String::from_utf8_lossy(&wrong.body));
    let told: rest::ErrorBody = serde_json::from_slice(&wrong.body).unwrap();
    assert!(!told.error.is_empty());
}

fn ask_rest(http: SocketAddr, request: &InferRequest, binary: bool) -> Answer {
    let encoded = rest::encode_request(request, binary).unwrap();
    let mut headers = format!("connection: close\r\ncontent-type: {}\r\n", encoded.content_type());
    if let Some(length) = encoded.header_length {
        headers += &format!("{}: {length}\r\n", names::HEADER_LENGTH);
    }
    let path = format!("/v2/models/{}/infer", request.model);
    let mut answer = post(http, &path, &headers, &encoded.body);
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = joined(&answer.body);
    }
    answer
}

/// The content of chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    while let Some(end) = chunks.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&chunks[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        let (chunk, rest) = chunks[end + 2..].split_at(size);
        body.extend_from_slice(chunk);
        chunks = &rest[2..];
    }
    body
}

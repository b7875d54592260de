//! More work than can be done, time that is over, clients that go away, and the end.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use edgecut_graph::Tensor;
use edgecut_oip::grpc::ModelInferRequest;
use edgecut_oip::{InferRequest, InferResponse, WireTensor, names};
use edgecut_serve::{Server, ServerOptions};
use tonic::{Code, Status};

use super::common::*;

/// A server with a net that takes milliseconds.
fn slow(change: impl FnOnce(&mut ServerOptions)) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    save(&slow_net(), &file);
    let mut options = options(one("net", file));
    options.front.limits.body_bytes = 64 << 20;
    change(&mut options);
    (start(options), folder)
}

/// A request of so many rows.
fn ask(rows: usize) -> InferRequest {
    let tensor = Tensor::zeros([rows, 16, 56, 56]).unwrap();
    let inputs = vec![WireTensor::from_tensor("image", &tensor)];
    InferRequest { model: "net".into(), inputs, ..InferRequest::default() }
}

async fn send(server: &Server, ask: InferRequest) -> Result<InferResponse, Status> {
    let answer = client(server).await.model_infer(ModelInferRequest::from(ask)).await?;
    Ok(answer.into_inner().try_into().unwrap())
}

fn in_flight(server: &Server) -> u64 {
    let status = get(server.http().unwrap(), "/status.json").json();
    status["models"][0]["in_flight"].as_u64().unwrap()
}

fn queued(server: &Server) -> u64 {
    get(server.http().unwrap(), "/status.json").json()["models"][0]["queued"].as_u64().unwrap()
}

fn counted(server: &Server, what: &str) -> u64 {
    let status = get(server.http().unwrap(), "/status.json").json();
    let model = &status["models"][0];
    model[what].as_u64().or(model["refused"][what].as_u64()).unwrap_or(0)
}

/// Keeps the only worker busy until it is dropped or done.
fn busy(
    server: &Arc<Server>,
    rows: usize,
) -> std::thread::JoinHandle<Result<InferResponse, Status>> {
    let here = Arc::clone(server);
    let thread = std::thread::spawn(move || wait(send(&here, ask(rows))));
    until("work to begin", || in_flight(server) > 0 && queued(server) == 0);
    thread
}

#[test]
fn a_request_whose_time_is_over_never_begins() {
    let (server, _folder) = slow(|_| ());
    let server = Arc::new(server);
    let long = busy(&server, 100);
    let mut late = ask(1);
    late.parameters.set(names::TIMEOUT, 2_000i64);
    let refused = wait(send(&server, late)).unwrap_err();
    // Refused at once, or when its time was over: in no case computed.
    assert!(matches!(refused.code(), Code::Unavailable | Code::DeadlineExceeded), "{refused}");
    assert!(long.join().unwrap().is_ok());
    assert_eq!(counted(&server, "answered"), 1);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let (server, _folder) = slow(|options| options.host.load.max_queue = 1);
    let server = Arc::new(server);
    let long = busy(&server, 100);
    let waiting = {
        let server = Arc::clone(&server);
        std::thread::spawn(move || wait(send(&server, ask(1))))
    };
    until("a request to wait", || queued(&server) == 1);
    let refused = wait(send(&server, ask(1))).unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.metadata().get("retry-after-ms").is_some());
    let tensor = Tensor::zeros([1, 16, 56, 56]).unwrap();
    let answer = post(server.http().unwrap(), "/v2/models/net/infer", "", &body_of(&tensor, ""));
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
    assert!(waiting.join().unwrap().is_ok() && long.join().unwrap().is_ok());
}

#[test]
fn an_overloaded_server_refuses_before_it_reads() {
    let (server, _folder) = slow(|options| options.host.max_wait = Duration::from_millis(1));
    let server = Arc::new(server);
    let long = busy(&server, 100);
    // Only the head of a request is sent: the answer comes without the body.
    let head = "POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let answer = ask_head(&server, head);
    assert_eq!(answer.status, 503, "{}", answer.head);
    assert_eq!(wait(send(&server, ask(1))).unwrap_err().code(), Code::Unavailable);
    assert!(long.join().unwrap().is_ok());
}

#[test]
fn bodies_on_their_way_are_work_to_come() {
    let (server, _folder) = slow(|options| options.host.max_wait = Duration::from_micros(1));
    // Now it is known what a request costs.
    assert!(wait(send(&server, ask(1))).is_ok());
    let head = "POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let mut open = vec![];
    until("a refusal", || {
        let mut stream = TcpStream::connect(server.http().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let status = read_answer(&mut stream).status;
        open.push(stream);
        status == 503
    });
    drop(open);
    until("bodies that never come to be forgotten", || wait(send(&server, ask(1))).is_ok());
}

fn ask_head(server: &Server, head: &str) -> Answer {
    super::common::ask(server.http().unwrap(), head, b"")
}

#[test]
fn whoever_goes_away_is_not_computed_for() {
    let (server, _folder) = slow(|_| ());
    let server = Arc::new(server);
    let long = busy(&server, 100);
    wait(async {
        let mut client = client(&server).await;
        let request = std::pin::pin!(client.model_infer(ModelInferRequest::from(ask(1))));
        let here = Arc::clone(&server);
        let waits = tokio::task::spawn_blocking(move || {
            until("the request to wait", || queued(&here) == 1);
        });
        let first = futures_util::future::select(request, waits).await;
        assert!(matches!(first, futures_util::future::Either::Right(_)));
    });
    until("the server to notice", || counted(&server, "cancelled") == 1);
    assert!(long.join().unwrap().is_ok());
    let status = get(server.http().unwrap(), "/status.json").json();
    assert_eq!(status["models"][0]["rows"], 100);
}

#[test]
fn a_callers_deadline_is_kept() {
    let (server, _folder) = slow(|_| ());
    let server = Arc::new(server);
    let long = busy(&server, 100);
    let mut request = tonic::Request::new(ModelInferRequest::from(ask(1)));
    request.set_timeout(Duration::from_millis(30));
    let refused = wait(async { client(&server).await.model_infer(request).await.unwrap_err() });
    let right = [Code::DeadlineExceeded, Code::Cancelled, Code::Unavailable];
    assert!(right.contains(&refused.code()), "{refused}");
    assert!(long.join().unwrap().is_ok());
    assert_eq!(counted(&server, "answered"), 1);
}

#[test]
fn rows_of_several_requests_are_computed_together_to_the_same_bits() {
    let graph = net(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    save(&graph, &file);
    let mut options = options(one("net", file));
    options.host.load.max_delay = Duration::from_millis(100);
    let server = start(options);
    wait(async {
        let client = client(&server).await;
        let asks = (1..9).map(|rows| {
            let mut client = client.clone();
            async move {
                let inputs = vec![WireTensor::from_tensor("image", &pictures(rows % 3 + 1))];
                let ask = InferRequest { model: "net".into(), inputs, ..InferRequest::default() };
                let answer = client.model_infer(ModelInferRequest::from(ask)).await.unwrap();
                (rows, InferResponse::try_from(answer.into_inner()).unwrap())
            }
        });
        for (rows, answer) in futures_util::future::join_all(asks).await {
            let wanted = expected(&graph, &pictures(rows % 3 + 1));
            assert_eq!(answer.outputs[0].to_tensor().unwrap(), wanted);
        }
    });
    let status = get(server.http().unwrap(), "/status.json").json();
    assert_eq!(status["models"][0]["rows"], 17);
}

#[test]
fn a_server_that_stops_finishes_what_has_begun() {
    let (server, _folder) = slow(|_| ());
    let (http, grpc) = (server.http().unwrap(), server.grpc().unwrap());
    let server = Arc::new(server);
    let long = busy(&server, 60);
    server.host().drain();
    assert_eq!(get(http, "/v2/health/ready").status, 503);
    assert_eq!(get(http, "/v2/health/live").status, 200);
    assert_eq!(wait(send(&server, ask(1))).unwrap_err().code(), Code::Unavailable);
    assert!(long.join().unwrap().is_ok());
    Arc::into_inner(server).expect("nobody else holds the server").stop();
    assert!(std::net::TcpStream::connect(http).is_err());
    assert!(std::net::TcpStream::connect(grpc).is_err());
}

#[test]
fn spans_name_their_parent() {
    let folder = tempfile::tempdir().unwrap();
    let (file, trace) = (folder.path().join("net.onnx"), folder.path().join("trace.jsonl"));
    save(&net(1), &file);
    let mut options = options(one("net", file));
    options.host.trace = Some(trace.clone());
    let server = start(options);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let header = format!("traceparent: {parent}\r\n");
    let answer =
        post(server.http().unwrap(), "/v2/models/net/infer", &header, &body_of(&pictures(1), ""));
    assert_eq!(answer.status, 200);
    server.stop();
    let text = std::fs::read_to_string(&trace).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 3);
    assert_eq!(spans[0]["parentSpanId"], "b7ad6b7169203331");
    assert!(spans.iter().all(|span| span["traceId"] == "0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
}

//! Those who must be refused, each with the right status, while a client is served undisturbed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use edgecut_graph::rng::Rng;
use edgecut_oip::grpc::{InferenceClient, ModelInferRequest, ServerReadyRequest};
use edgecut_oip::{InferRequest, WireTensor, names};
use edgecut_serve::front::{Limits, TlsFiles};
use edgecut_serve::{Server, ServerOptions};
use rcgen::{CertificateParams, Issuer, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use super::common::*;

fn with(change: impl FnOnce(&mut ServerOptions, &Path)) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    save(&net(1), &file);
    let mut options = options(one("net", file));
    change(&mut options, folder.path());
    (start(options), folder)
}

fn good() -> ModelInferRequest {
    let inputs = vec![WireTensor::from_tensor("image", &pictures(1))];
    InferRequest { model: "net".into(), inputs, ..InferRequest::default() }.into()
}

/// Runs `attack` while another client asks without a pause; that one must see no error.
fn undisturbed(server: &Server, attack: impl FnOnce()) {
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            wait(async {
                let mut client = client(server).await;
                while !stop.load(Ordering::SeqCst) {
                    client.model_infer(good()).await.expect("an honest client is served");
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        until("the honest client", || served.load(Ordering::SeqCst) > 0 || client.is_finished());
        // An attack that fails must not leave the client asking for ever.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        let before = served.load(Ordering::SeqCst);
        until("the honest client", || {
            served.load(Ordering::SeqCst) > before || client.is_finished()
        });
        stop.store(true, Ordering::SeqCst);
        client.join().expect("the honest client saw no error");
        attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn random_and_truncated_bodies() {
    let (server, _folder) = with(|_, _| ());
    let (http, grpc) = (server.http().unwrap(), server.grpc().unwrap());
    let body = body_of(&pictures(1), "");
    undisturbed(&server, || {
        let mut rng = Rng::new(1);
        let mut random =
            |bytes: usize| -> Vec<u8> { (0..bytes).map(|_| rng.next_u64() as u8).collect() };
        for _ in 0..30 {
            let noise = random(300);
            let answer = post(http, "/v2/models/net/infer", "", &noise);
            assert_eq!(answer.status, 400, "{}", answer.head);
            let header = format!("{}: 17\r\n", names::HEADER_LENGTH);
            assert_eq!(post(http, "/v2/models/net/infer", &header, &noise).status, 400);
            let cut = usize::from(noise[0]) * body.len() / 256;
            assert_eq!(post(http, "/v2/models/net/infer", "", &body[..cut]).status, 400);
            // Neither HTTP nor HTTP/2: the connection is closed, with or without a word.
            for address in [http, grpc] {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                let _ = stream.write_all(&noise);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let status = read_answer(&mut stream).status;
                assert!(status == 0 || status == 400, "{status}");
            }
        }
        // A body that ends before it is all there.
        let head = "POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n";
        let mut stream = TcpStream::connect(http).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..1000]).unwrap();
        drop(stream);
    });
}

#[test]
fn what_is_too_large() {
    let (server, _folder) = with(|options, _| options.front.limits.body_bytes = 100_000);
    let http = server.http().unwrap();
    undisturbed(&server, || {
        let large = vec![b' '; 200_000];
        let answer = post(http, "/v2/models/net/infer", "", &large);
        assert_eq!(answer.status, 413, "{}", answer.head);
        assert!(answer.json()["error"].as_str().unwrap().contains("100000"));
        // Of unknown length, in chunks.
        let mut chunked = String::from(
            "POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        for _ in 0..20 {
            chunked += &format!("{:x}\r\n{}\r\n", 10_000, " ".repeat(10_000));
        }
        chunked += "0\r\n\r\n";
        assert_eq!(ask(http, &chunked, b"").status, 413);
        let long = format!("GET /v2 HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(1_000_000));
        // The connection is closed while the head is still coming, which may take the answer along.
        assert!([0, 400, 431].contains(&ask(http, &long, b"").status));
        wait(async {
            let mut request = good();
            request.raw_input_contents[0] = vec![0; 200_000].into();
            let refused = client(&server).await.model_infer(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        });
    });
}

#[test]
fn those_who_are_slow() {
    let (server, _folder) = with(|options, _| {
        options.front.limits.head_time = Duration::from_millis(300);
        options.front.limits.body_time = Duration::from_millis(300);
    });
    let http = server.http().unwrap();
    undisturbed(&server, || {
        let slowly = |head: &str| {
            let mut stream = TcpStream::connect(http).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let began = Instant::now();
            let answer = read_answer(&mut stream);
            assert!(began.elapsed() >= Duration::from_millis(200));
            answer.status
        };
        // A head that never ends: the connection is closed, told or not.
        let status = slowly("POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\n");
        assert!(status == 0 || status == 408, "{status}");
        let head = "POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 500\r\n\r\n{";
        assert_eq!(slowly(head), 408);
        let silent = TcpStream::connect(http).unwrap();
        silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!((&silent).read(&mut [0; 10]).unwrap(), 0);
    });
}

#[test]
fn a_message_that_never_ends_over_grpc() {
    let (server, _folder) =
        with(|options, _| options.front.limits.body_time = Duration::from_millis(300));
    undisturbed(&server, || {
        let url = format!("http://{}", server.grpc().unwrap());
        wait(async {
            let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
            let refused = half_a_message(channel).await;
            assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
        });
    });
}

/// Sends the beginning of a message as a body that never ends.
async fn half_a_message(mut channel: Channel) -> Status {
    use tower_service::Service;
    struct Endless(bool);
    impl http_body::Body for Endless {
        type Data = bytes::Bytes;
        type Error = Status;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
            if std::mem::replace(&mut self.0, true) {
                return std::task::Poll::Pending;
            }
            let beginning = bytes::Bytes::from_static(&[0, 0, 0, 1, 0, 10, 3]);
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(beginning))))
        }
    }
    let request = http::Request::post("http://server/inference.GRPCInferenceService/ModelInfer")
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::new(Endless(false)))
        .unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = channel.call(request).await.unwrap();
    Status::from_header_map(response.headers()).expect("a status without an answer")
}

#[test]
fn connections_beyond_the_limit() {
    let (server, _folder) = with(|options, _| {
        options.front.limits = Limits { connections: 3, ..options.front.limits };
    });
    let http = server.http().unwrap();
    undisturbed(&server, || {
        let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(http).unwrap()).collect();
        let mut refused = None;
        until("no room", || {
            let mut stream = TcpStream::connect(http).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let answer = read_answer(&mut stream);
            refused = (answer.status == 503).then_some(answer);
            refused.is_some()
        });
        assert!(refused.unwrap().header("retry-after").is_some());
        drop(held);
        until("room again", || {
            let answer = get(http, "/v2/health/live");
            answer.status == 200
        });
    });
}

#[test]
fn those_without_a_token() {
    let token = "a-token-of-this-test-0123456789";
    let (server, _folder) = with(|options, folder| {
        let file = folder.join("tokens");
        std::fs::write(&file, format!("# tokens\n{token}\n")).unwrap();
        options.front.tokens = Some(file);
    });
    let http = server.http().unwrap();
    let (path, body) = ("/v2/models/net/infer", body_of(&pictures(1), ""));
    assert_eq!(get(http, "/v2/health/ready").status, 200);
    for path in ["/v2", "/v2/models/net", "/metrics", "/status.json", "/"] {
        assert_eq!(get(http, path).status, 401, "{path}");
    }
    assert_eq!(post(http, path, "authorization: Bearer wrong\r\n", &body).status, 401);
    let refused = post(http, path, "", &body);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let header = format!("authorization: Bearer {token}\r\n");
    assert_eq!(post(http, path, &header, &body).status, 200);
    wait(async {
        let mut client = client(&server).await;
        assert!(client.server_ready(ServerReadyRequest {}).await.is_ok());
        let refused = client.model_infer(good()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let mut request = tonic::Request::new(good());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        assert!(client.model_infer(request).await.is_ok());
    });
}

/// An authority, and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key; with `expired`, of the past.
    fn sign(&self, expired: bool) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        [certificate.pem(), key.serialize_pem()]
    }

    fn write(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        let files = [folder.join(format!("{name}.pem")), folder.join(format!("{name}.key"))];
        for (file, text) in files.iter().zip(self.sign(false)) {
            std::fs::write(file, text).unwrap();
        }
        files
    }
}

async fn secure(
    server: &Server,
    authority: &str,
    identity: Option<&[String; 2]>,
) -> Result<(), String> {
    let url = format!("https://localhost:{}", server.grpc().unwrap().port());
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority))
        .domain_name("localhost");
    if let Some([certificate, key]) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.connect().await.map_err(|e| format!("{e:?}"))?;
    let answer = InferenceClient::new(channel).model_infer(good()).await;
    answer.map(|_| ()).map_err(|e| format!("{e:?}"))
}

#[test]
fn those_without_a_certificate_or_with_a_wrong_one() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (server, _folder) = with(|options, folder| {
        let [certificate, key] = ours.write(folder, "server");
        let clients = folder.join("clients.pem");
        std::fs::write(&clients, &ours.pem).unwrap();
        options.front.tls = Some(TlsFiles { certificate, key, clients: Some(clients) });
    });
    let right = ours.sign(false);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                wait(secure(&server, &ours.pem, Some(&right))).expect("served");
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
        for (what, identity) in [
            ("none", None),
            ("expired", Some(ours.sign(true))),
            ("of another authority", Some(theirs.sign(false))),
        ] {
            assert!(wait(secure(&server, &ours.pem, identity.as_ref())).is_err(), "{what}");
        }
        // Nor does a client believe a server of another authority.
        assert!(wait(secure(&server, &theirs.pem, Some(&right))).is_err());
        // Plain HTTP on a port of TLS is closed.
        assert_eq!(get(server.http().unwrap(), "/v2/health/live").status, 0);
        until("the honest client", || served.load(Ordering::SeqCst) > 2 || honest.is_finished());
        stop.store(true, Ordering::SeqCst);
        honest.join().unwrap();
    });
}

#[test]
fn certificates_are_exchanged_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let (server, folder) = with(|options, folder| {
        let [certificate, key] = old.write(folder, "server");
        options.front.tls = Some(TlsFiles { certificate, key, clients: None });
    });
    assert_eq!(wait(secure(&server, &old.pem, None)), Ok(()));
    assert!(wait(secure(&server, &new.pem, None)).is_err());
    // What cannot be used leaves the old in place.
    std::fs::write(folder.path().join("server.pem"), "no certificate").unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(wait(secure(&server, &old.pem, None)), Ok(()));
    new.write(folder.path(), "server");
    until("the new certificate", || wait(secure(&server, &new.pem, None)).is_ok());
}

//! Models, servers and plain clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edgecut_graph::{Builder, Graph, Tensor, Window, onnx};
use edgecut_kernels::Pool;
use edgecut_oip::grpc::InferenceClient;
use edgecut_runtime::Model;
use edgecut_serve::front::{FrontOptions, Limits};
use edgecut_serve::models::{LoadOptions, Source};
use edgecut_serve::{HostOptions, Server, ServerOptions};
use tempfile::TempDir;

/// A net for pictures of 16x16 with ten classes; its batch is open.
pub fn net(seed: u64) -> Graph {
    let mut b = Builder::new("net", seed);
    let x = b.input("image", ["n".into(), 3.into(), 16.into(), 16.into()]);
    let x = b.conv(x, "stem", 8, Window::same(3, 2), 1, false).unwrap();
    let x = b.relu6(x).unwrap();
    let x = b.conv(x, "wide", 16, Window::same(3, 2), 1, false).unwrap();
    let x = b.relu6(x).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let y = b.linear(x, "head", 10).unwrap();
    b.finish(&[y]).unwrap()
}

/// A net that takes some milliseconds for a picture.
pub fn slow_net() -> Graph {
    let mut b = Builder::new("slow", 1);
    let mut x = b.input("image", ["n".into(), 16.into(), 56.into(), 56.into()]);
    for layer in 0..6 {
        x = b.conv(x, &format!("layer{layer}"), 48, Window::same(3, 1), 1, false).unwrap();
    }
    b.finish(&[x]).unwrap()
}

pub fn save(graph: &Graph, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    onnx::export(graph, path).unwrap();
}

/// Pictures that differ.
pub fn pictures(rows: usize) -> Tensor {
    let value = |i: usize| ((i * 31 + i / 700) % 255) as f32 / 127.0 - 1.0;
    Tensor::new([rows, 3, 16, 16], (0..rows * 768).map(value).collect::<Vec<f32>>()).unwrap()
}

/// What the model answers without a server.
pub fn expected(graph: &Graph, input: &Tensor) -> Tensor {
    let model = Model::new(graph.clone(), Arc::new(Pool::new(1)));
    model.infer(std::slice::from_ref(input)).unwrap().remove(0)
}

pub fn options(source: Source) -> ServerOptions {
    ServerOptions {
        host: HostOptions {
            source,
            load: LoadOptions::default(),
            max_wait: Duration::from_secs(60),
            trace: None,
        },
        front: FrontOptions {
            http: Some("127.0.0.1:0".into()),
            grpc: Some("127.0.0.1:0".into()),
            limits: Limits { body_bytes: 4 << 20, ..Limits::default() },
            ..FrontOptions::default()
        },
        poll: None,
        drain: Duration::from_secs(20),
    }
}

pub fn start(options: ServerOptions) -> Server {
    Server::start(options, &mut |_| ()).unwrap()
}

/// A server of one net, with the folder that its file is in.
pub fn serve(graph: &Graph) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    save(graph, &file);
    (start(options(one("net", file))), folder)
}

pub fn one(name: &str, file: PathBuf) -> Source {
    Source::Files(vec![(name.into(), file)])
}

/// An answer of HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let head = String::from_utf8_lossy(&bytes[..end.unwrap_or(0)]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = end.map(|end| bytes[end + 4..].to_vec()).unwrap_or_default();
        Answer { status, head, body }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("{e}: {} {}", self.head, String::from_utf8_lossy(&self.body))
        })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let of =
            |line: &&str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        Some(self.head.lines().find(of)?.split_once(':')?.1.trim())
    }
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), b"")
}

pub fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n");
    ask(address, &head, body)
}

/// Sends these bytes and reads the answer.
pub fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses at once may close before all is sent.
    let _ = stream.write_all(body);
    read_answer(&mut stream)
}

/// An answer of a stated length; status 0 where the connection ends without one.
pub fn read_answer(stream: &mut impl Read) -> Answer {
    let (mut bytes, mut part) = (Vec::new(), [0; 1 << 16]);
    loop {
        let answer = Answer::of(&bytes);
        let length = answer.header("content-length").and_then(|n| n.parse().ok());
        if length.is_some_and(|n: usize| answer.body.len() >= n) {
            return answer;
        }
        match stream.read(&mut part) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&part[..n]),
            _ => return answer,
        }
    }
}

/// A request of REST for `net`.
pub fn body_of(input: &Tensor, more: &str) -> Vec<u8> {
    let data = input.f32s().unwrap();
    let input = serde_json::json!({"name": "image", "datatype": "FP32", "shape": input.shape(), "data": data});
    format!("{{\"inputs\":[{input}]{more}}}").into_bytes()
}

/// Runs asynchronous work to its end.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub async fn client(server: &Server) -> InferenceClient {
    let url = format!("http://{}", server.grpc().unwrap());
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    InferenceClient::new(channel)
}

/// Waits for a condition, for as long as a loaded machine may take.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

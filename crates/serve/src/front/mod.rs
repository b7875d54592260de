//! The protocol's front: REST and gRPC over TCP or TLS, tokens, limits. What answers is a
//! [`Backend`].
//!
//! | file | holds |
//! | --- | --- |
//! | `listen` | connections: how many, how long their parts may take, how they end |
//! | `tls` | certificates, and new ones without a restart |
//! | `tokens` | who may ask |
//! | `gate` | what is refused before a body is read |
//! | `coming` | bodies that were let in and are not here yet |
//! | `rest`, `grpc` | the two forms of the protocol |
//! | `refusal` | why a request is not answered, in either |
//! | `page` | the live page |

mod coming;
mod gate;
mod grpc;
mod listen;
mod page;
mod refusal;
mod rest;
mod tls;
mod tokens;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use edgecut_oip::{InferRequest, InferResponse, ModelMetadata, ServerMetadata, Traceparent};
use tokio::sync::watch;

pub use page::Page;
pub use refusal::{Kind, Refusal};
pub use tls::TlsFiles;

use crate::error::{Result, ServeError};
use coming::Coming;
use listen::{Connections, Protocol};
use tls::Tls;
use tokens::Tokens;

/// What comes along with a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// The caller's span.
    pub parent: Option<Traceparent>,
    /// When the caller stops waiting, where it says so.
    pub deadline: Option<Instant>,
}

/// What answers the requests that a front takes.
pub trait Backend: Send + Sync + 'static {
    /// Whether requests are taken now.
    fn ready(&self) -> bool;

    /// About the server.
    fn about(&self) -> ServerMetadata;

    /// About a model; of an empty version the one that answers.
    fn model(&self, name: &str, version: &str) -> std::result::Result<ModelMetadata, Refusal>;

    /// Whether a model takes requests.
    fn model_ready(&self, name: &str, version: &str) -> std::result::Result<bool, Refusal> {
        self.model(name, version).map(|_| self.ready())
    }

    /// A look before the body of a request is read, while the bodies of `coming` others will soon
    /// be here: an overloaded server refuses here, where that costs least.
    fn admit(&self, coming: usize, deadline: Option<Instant>) -> std::result::Result<(), Refusal> {
        let _ = (coming, deadline);
        Ok(())
    }

    /// The answer. The future is dropped where the caller goes away.
    fn infer(
        &self,
        request: InferRequest,
        call: Call,
    ) -> impl Future<Output = std::result::Result<InferResponse, Refusal>> + Send;

    /// Metrics in Prometheus' text form.
    fn metrics(&self) -> String {
        String::new()
    }

    /// What the live page shows, if there is one.
    fn status(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// The live page.
    fn page(&self) -> Option<Page> {
        None
    }
}

/// What connections and requests may cost. None of them is for a client that behaves.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time, both ports together.
    pub connections: usize,
    /// Requests at the same time on one connection of gRPC.
    pub streams: u32,
    /// Largest body or message in bytes.
    pub body_bytes: usize,
    /// Longest time for a TLS handshake, and for the head of a request; so long may a connection
    /// of REST be idle, too.
    pub head_time: Duration,
    /// Longest time for the body of a request.
    pub body_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            streams: 256,
            body_bytes: 64 << 20,
            head_time: Duration::from_secs(20),
            body_time: Duration::from_secs(30),
        }
    }
}

/// Where and how a front listens.
#[derive(Clone, Debug, Default)]
pub struct FrontOptions {
    /// Address of REST, such as `0.0.0.0:8000`; none leaves it out.
    pub http: Option<String>,
    /// Address of gRPC; none leaves it out.
    pub grpc: Option<String>,
    /// Limits of connections and requests.
    pub limits: Limits,
    /// Certificates; without them connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// File with one token a line, of which a request must show one.
    pub tokens: Option<PathBuf>,
}

/// A running front. It stops where it is dropped together with the runtime, or by
/// [`Front::stop`].
pub struct Front {
    http: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    connections: Arc<Connections>,
}

/// What all connections of a front share.
struct Shared<B> {
    backend: Arc<B>,
    limits: Limits,
    tokens: Option<Tokens>,
    counts: Counts,
    coming: Arc<Coming>,
}

/// When the head of a request was here; until its body is, it is one of those that come.
#[derive(Clone, Debug)]
struct Arrived {
    at: Instant,
    _body: Option<Arc<coming::Body>>,
}

impl Front {
    /// Begins to listen; within a tokio runtime.
    ///
    /// # Errors
    /// Where an address is taken or wrong, or a certificate or token file cannot be read.
    pub fn start<B: Backend>(backend: Arc<B>, options: &FrontOptions) -> Result<Front> {
        let tls = options.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let tokens = options.tokens.as_deref().map(Tokens::load).transpose()?;
        let (counts, coming) = (Counts::default(), Arc::default());
        let shared = Shared { backend, limits: options.limits, tokens, counts, coming };
        let shared = Arc::new(shared);
        let (stop, stopped) = watch::channel(false);
        let connections = Arc::new(Connections::new(options.limits.connections));
        if let Some(tls) = &tls {
            tokio::spawn(tls::watch(Arc::clone(tls), stopped.clone()));
        }
        let listen = |address: &Option<String>, protocol: Protocol| {
            let Some(address) = address else { return Ok(None) };
            let listener = bind(address)?;
            let local = listener.local_addr().map_err(|e| ServeError::listen(address, &e))?;
            let service = gate::Gate::new(Arc::clone(&shared), protocol);
            let (tls, connections) = (tls.clone(), Arc::clone(&connections));
            let limits = options.limits;
            let stopped = stopped.clone();
            tokio::spawn(listen::accept(listener, service, tls, limits, connections, stopped));
            Ok(Some(local))
        };
        let http = listen(&options.http, Protocol::Rest)?;
        let grpc = listen(&options.grpc, Protocol::Grpc)?;
        Ok(Front { http, grpc, stop, connections })
    }

    /// Where REST listens.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where gRPC listens.
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.grpc
    }

    /// Takes no more connections, lets requests finish, and returns when the last connection has
    /// ended or `limit` is over.
    pub async fn stop(&self, limit: Duration) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(limit, self.connections.none_left()).await;
    }
}

fn bind(address: &str) -> Result<tokio::net::TcpListener> {
    let failed = |e: std::io::Error| ServeError::listen(address, &e);
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    tokio::net::TcpListener::from_std(listener).map_err(failed)
}

/// Answers of the front by protocol and status, whatever model they were about.
#[derive(Default)]
struct Counts {
    rest: [AtomicU64; 6],
    grpc: [AtomicU64; 17],
}

impl Counts {
    fn rest(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).min(5);
        self.rest[class].fetch_add(1, Ordering::Relaxed);
    }

    fn grpc(&self, code: tonic::Code) {
        self.grpc[(code as usize).min(16)].fetch_add(1, Ordering::Relaxed);
    }

    /// In Prometheus' text form.
    fn write(&self, out: &mut String) {
        let name = "edgecut_responses_total";
        out.push_str(&format!("# HELP {name} Responses by protocol and status.\n"));
        out.push_str(&format!("# TYPE {name} counter\n"));
        let mut line = |protocol: &str, code: String, count: &AtomicU64| {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = format!("protocol=\"{protocol}\",code=\"{code}\"");
                out.push_str(&format!("{name}{{{labels}}} {count}\n"));
            }
        };
        for (class, count) in self.rest.iter().enumerate() {
            line("rest", format!("{class}xx"), count);
        }
        for (code, count) in self.grpc.iter().enumerate() {
            line("grpc", format!("{:?}", tonic::Code::from(code as i32)), count);
        }
    }
}

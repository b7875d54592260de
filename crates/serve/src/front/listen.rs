//! Connections: how many there may be, how long their parts may take, and how they end.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::gate::Gate;
use super::tls::Tls;
use super::{Backend, Limits};

/// Largest head of a request of gRPC, in bytes.
const MAX_HEAD: u32 = 16 << 10;
/// Largest head of a request of REST, in bytes.
const MAX_HTTP_HEAD: usize = 64 << 10;
/// What may be on its way for a request of gRPC before anybody has read it: that much a refusal costs.
/// Coded tensors and JPEG files fit; a picture as floats comes in a few turns.
const WINDOW: u32 = 128 << 10;
/// The same for all requests of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Frames of bodies that were refused may still come in when their streams are forgotten. So many may do
/// so in the life of a connection of gRPC before it ends.
const LATE_FRAMES: usize = 1 << 20;
/// How often a connection of gRPC is asked whether it still lives, and how long the answer may take.
const PING: Duration = Duration::from_secs(20);
/// How long to wait where the system cannot take a connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take to end after the front has stopped.
const FAREWELL: Duration = Duration::from_secs(30);

/// The form of the protocol that a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Rest,
    Grpc,
}

/// Room for connections.
pub(super) struct Connections {
    room: Arc<Semaphore>,
    size: u32,
}

impl Connections {
    pub fn new(size: usize) -> Connections {
        let size = size.clamp(1, 1 << 20) as u32;
        Connections { room: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Returns when no connection is left.
    pub async fn none_left(&self) {
        let _ = self.room.acquire_many(self.size).await;
    }
}

/// Takes connections until the front stops.
pub(super) async fn accept<B: Backend>(
    listener: TcpListener,
    gate: Gate<B>,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    connections: Arc<Connections>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let stream = {
            let stop = pin!(asked(&mut stopped));
            let next = pin!(listener.accept());
            match futures_util::future::select(next, stop).await {
                futures_util::future::Either::Left((taken, _)) => taken,
                futures_util::future::Either::Right(_) => return,
            }
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => continue,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let Ok(place) = Arc::clone(&connections.room).try_acquire_owned() else {
            tokio::spawn(turn_away(stream, gate.protocol(), tls.is_some()));
            continue;
        };
        let (gate, stopped, tls) =
            (gate.clone(), stopped.clone(), tls.as_ref().map(|t| t.config()));
        tokio::spawn(async move {
            match tls {
                None => serve(stream, gate, limits, stopped).await,
                Some(config) => {
                    let handshake = TlsAcceptor::from(config).accept(stream);
                    // Whoever fails has been told by an alert of TLS.
                    if let Ok(Ok(stream)) = tokio::time::timeout(limits.head_time, handshake).await
                    {
                        serve(stream, gate, limits, stopped).await;
                    }
                }
            }
            drop(place);
        });
    }
}

/// Returns when the front is to stop.
async fn asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|&stop| stop).await;
}

/// There is no room. Only plain HTTP can be told so without effort.
async fn turn_away(mut stream: TcpStream, protocol: Protocol, tls: bool) {
    if protocol == Protocol::Rest && !tls {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let told = stream.write_all(text);
        let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
    }
}

/// Serves a connection to its end; where the front stops, to the end of the requests under way.
async fn serve<B: Backend>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    gate: Gate<B>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let stream = TokioIo::new(stream);
    // Both kinds of connection end alike, but share no trait.
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            let stop = pin!(asked(&mut stopped));
            let ended = futures_util::future::select(connection.as_mut(), stop).await;
            if let futures_util::future::Either::Right(_) = ended {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(FAREWELL, connection).await;
            }
        }};
    }
    match gate.protocol() {
        Protocol::Rest => {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits.head_time);
            http.max_buf_size(MAX_HTTP_HEAD);
            drive!(http.serve_connection(stream, gate));
        }
        Protocol::Grpc => {
            let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            http.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
            http.max_concurrent_streams(limits.streams).max_header_list_size(MAX_HEAD);
            http.initial_stream_window_size(WINDOW).max_frame_size(WINDOW);
            http.initial_connection_window_size(CONNECTION_WINDOW);
            http.max_local_error_reset_streams(Some(LATE_FRAMES));
            drive!(http.serve_connection(stream, gate));
        }
    }
}

//! A server of the Open Inference Protocol, over gRPC.

use std::path::PathBuf;
use std::time::Duration;

use edgecut_oip::grpc::{InferenceClient, ModelInferRequest, ServerReadyRequest};
use edgecut_oip::{InferRequest, InferResponse, Traceparent, WireTensor, names};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use crate::clock::Time;
use crate::{EdgeError, Result};

/// Longest time to a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// A connection that is silent for so long is asked whether it lives, and given up after as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Largest certificate, key or token that is read.
const MAX_SECRET: u64 = 1 << 20;

/// How servers are reached, and what they are shown.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Certificates that servers' are signed with, PEM; else those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The device's own certificate and key, PEM, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A file with the token that the server knows the device by.
    pub token: Option<PathBuf>,
}

/// A server.
#[derive(Clone)]
pub struct Remote {
    url: String,
    client: InferenceClient,
    token: Option<MetadataValue<Ascii>>,
}

/// What is asked of a server.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The model's name there.
    pub model: String,
    /// Name of the request.
    pub id: String,
    /// The model's inputs.
    pub inputs: Vec<WireTensor>,
    /// Digest that the model must have.
    pub digest: Option<String>,
    /// Time that is left.
    pub left: Duration,
    /// The span that this is part of.
    pub trace: Option<Traceparent>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The model's outputs.
    pub outputs: Vec<WireTensor>,
    /// Wait in its queue.
    pub queue_ns: Option<Time>,
    /// Time that the model took.
    pub service_ns: Option<Time>,
    /// Digest of the model that answered, where the server says it.
    pub digest: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The server cannot be reached, gives no answer in time, or is overloaded.
    #[error("{0}")]
    Unreachable(String),
    /// It works, but fails at this request, or finds it too large.
    #[error("{0}")]
    Failed(String),
    /// It never takes such a request.
    #[error("{0}")]
    Invalid(String),
    /// It does not have what is asked for: another version, or other names.
    #[error("{0}")]
    Other(String),
}

impl Remote {
    /// A server at `url`, such as `http://10.0.0.5:8001`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the address, a certificate or the token cannot be used.
    pub fn new(url: &str, access: &Access) -> Result<Remote> {
        let fail = |problem: String| EdgeError::Server { url: url.into(), problem };
        let address = if url.contains("://") { url.into() } else { format!("http://{url}") };
        let mut endpoint = Endpoint::from_shared(address.clone())
            .map_err(|e| fail(format!("is no address: {e}")))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(10)))
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        if address.starts_with("https://") {
            let mut tls = ClientTlsConfig::new();
            if let Some(ca) = &access.ca {
                tls = tls.ca_certificate(Certificate::from_pem(secret(ca)?));
            }
            if let Some((certificate, key)) = &access.identity {
                tls = tls.identity(Identity::from_pem(secret(certificate)?, secret(key)?));
            }
            endpoint = endpoint.tls_config(tls).map_err(|e| fail(format!("TLS: {e}")))?;
        }
        let token = access.token.as_deref().map(secret).transpose()?;
        let token = token.map(|token| {
            let text = String::from_utf8_lossy(&token);
            format!("Bearer {}", text.trim()).parse()
        });
        let token = token.transpose().map_err(|e| fail(format!("token: {e}")))?;
        let client = InferenceClient::new(endpoint.connect_lazy());
        Ok(Remote { url: url.into(), client, token })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks. Dropping the future tells the server that nobody waits.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn infer(&self, ask: Ask) -> std::result::Result<Reply, Refusal> {
        let (left, trace) = (ask.left, ask.trace);
        let mut message = InferRequest {
            model: ask.model,
            id: ask.id,
            inputs: ask.inputs,
            ..InferRequest::default()
        };
        if let Some(digest) = ask.digest {
            message.parameters.set(names::DIGEST, digest);
        }
        message.parameters.set(names::TIMEOUT, left.as_micros() as i64);
        let mut request = self.request(ModelInferRequest::from(message), left);
        if let Some(Ok(value)) = trace.map(|trace| trace.to_string().parse()) {
            request.metadata_mut().insert(names::TRACEPARENT, value);
        }
        let response = self.client.clone().model_infer(request).await.map_err(refusal)?;
        let response = InferResponse::try_from(response.into_inner())
            .map_err(|e| Refusal::Other(format!("{}: {e}", self.url)))?;
        let count = |name| response.parameters.count(name).ok().flatten();
        let ns = |name| count(name).map(|us| us.saturating_mul(1000));
        Ok(Reply {
            queue_ns: ns(names::QUEUE_US),
            service_ns: ns(names::SERVICE_US),
            digest: response.parameters.text(names::DIGEST).ok().flatten().map(str::to_string),
            outputs: response.outputs,
        })
    }

    /// Whether the server says within `limit` that it is ready.
    pub async fn is_ready(&self, limit: Duration) -> bool {
        let request = self.request(ServerReadyRequest {}, limit);
        let mut client = self.client.clone();
        let answer = tokio::time::timeout(limit, client.server_ready(request)).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.into_inner().ready))
    }

    fn request<T>(&self, message: T, limit: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(limit);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(names::AUTHORIZATION, token.clone());
        }
        request
    }
}

fn refusal(status: Status) -> Refusal {
    let text = format!("{:?}: {}", status.code(), status.message());
    // What the server did not say itself has a cause on the way there.
    let said = std::error::Error::source(&status).is_none();
    match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::Unimplemented => Refusal::Other(text),
        Code::InvalidArgument | Code::OutOfRange => Refusal::Invalid(text),
        Code::Internal | Code::Unknown | Code::DataLoss | Code::ResourceExhausted if said => {
            Refusal::Failed(text)
        }
        _ => Refusal::Unreachable(text),
    }
}

fn secret(path: &std::path::Path) -> Result<Vec<u8>> {
    let fail = |problem: String| EdgeError::file(path, problem);
    let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
    if size > MAX_SECRET {
        return Err(fail(format!("{size} bytes is no certificate, key or token")));
    }
    std::fs::read(path).map_err(|e| fail(e.to_string()))
}

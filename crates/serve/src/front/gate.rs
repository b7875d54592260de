//! What is refused before a body is read: requests without a token, and any while the server has
//! too much to do. Bodies that pass are limited in size and time.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use edgecut_oip::grpc::InferenceServer;
use http::Request;
use hyper::body::Incoming;
use tonic::Status;
use tower_service::Service;

use super::grpc::{self, Grpc};
use super::listen::Protocol;
use super::refusal::Refusal;
use super::{Arrived, Backend, Shared, rest};

/// The service of a port.
pub(super) struct Gate<B> {
    shared: Arc<Shared<B>>,
    protocol: Protocol,
    rest: axum::Router,
    grpc: InferenceServer<Grpc<B>>,
}

impl<B> Clone for Gate<B> {
    fn clone(&self) -> Self {
        Gate {
            shared: Arc::clone(&self.shared),
            protocol: self.protocol,
            rest: self.rest.clone(),
            grpc: self.grpc.clone(),
        }
    }
}

impl<B: Backend> Gate<B> {
    pub fn new(shared: Arc<Shared<B>>, protocol: Protocol) -> Gate<B> {
        let rest = rest::routes(Arc::clone(&shared));
        let grpc = Arc::new(Grpc(Arc::clone(&shared)));
        let grpc = InferenceServer::with_limit(grpc, shared.limits.body_bytes);
        Gate { shared, protocol, rest, grpc }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Health needs no token: whoever restarts servers has none.
    fn pass(&self, request: &Request<Incoming>) -> Result<Arrived, Refusal> {
        let at = Instant::now();
        let path = request.uri().path();
        let health = match self.protocol {
            Protocol::Rest => path.starts_with("/v2/health/"),
            Protocol::Grpc => path.ends_with("/ServerLive") || path.ends_with("/ServerReady"),
        };
        if let Some(tokens) = self.shared.tokens.as_ref().filter(|_| !health) {
            tokens.check(request.headers())?;
        }
        let infer = match self.protocol {
            Protocol::Rest => path.ends_with("/infer"),
            Protocol::Grpc => path.ends_with("/ModelInfer"),
        };
        if !infer {
            return Ok(Arrived { at, _body: None });
        }
        let (body, others) = self.shared.coming.add(at);
        self.shared.backend.admit(others, grpc::deadline(request.headers(), at))?;
        Ok(Arrived { at, _body: Some(Arc::new(body)) })
    }

    async fn answer(mut self, mut request: Request<Incoming>) -> Response {
        let passed = self.pass(&request).map(|arrived| request.extensions_mut().insert(arrived));
        match self.protocol {
            Protocol::Rest => {
                let response = match passed {
                    Err(refusal) => {
                        let body = Body::new(request.into_body());
                        rest::linger(body, self.shared.limits.body_bytes);
                        refusal.into_rest()
                    }
                    Ok(_) => match self.rest.call(request.map(Body::new)).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                };
                self.shared.counts.rest(response.status());
                response
            }
            Protocol::Grpc => {
                let response = match passed {
                    Err(refusal) => refusal.into_grpc(),
                    Ok(_) => self.grpc(request).await,
                };
                // A stream ends with a status of its own, later.
                let status = Status::from_header_map(response.headers());
                self.shared.counts.grpc(status.map_or(tonic::Code::Ok, |s| s.code()));
                response
            }
        }
    }

    /// The body of a call must be here in time; those of a stream come as they may.
    async fn grpc(&mut self, request: Request<Incoming>) -> Response {
        let streamed = request.uri().path().ends_with("/ModelStreamInfer");
        let limit = (!streamed).then_some(self.shared.limits.body_time);
        let request = request.map(|body| rest::Timed::new(body, limit));
        let response = match self.grpc.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        response.map(Body::new)
    }
}

impl<B: Backend> hyper::service::Service<Request<Incoming>> for Gate<B> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move { Ok(gate.answer(request).await) })
    }
}

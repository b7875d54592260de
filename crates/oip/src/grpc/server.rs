//! The service: which method a request names, and what answers it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use http::HeaderValue;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Code, Request, Response, Status, Streaming};

use super::codec::Protobuf;
use super::messages::*;
use super::scan::Scanned;
use crate::limits::MAX_MESSAGE_BYTES;

type Answer<T> = Result<Response<T>, Status>;

/// What a server answers, one method of the service each.
pub trait Inference: Send + Sync + 'static {
    /// Answers of a stream.
    type Stream: Stream<Item = Result<ModelStreamInferResponse, Status>> + Send + 'static;

    /// Whether the server runs.
    fn server_live(
        &self,
        request: Request<ServerLiveRequest>,
    ) -> impl Future<Output = Answer<ServerLiveResponse>> + Send;

    /// Whether the server takes requests.
    fn server_ready(
        &self,
        request: Request<ServerReadyRequest>,
    ) -> impl Future<Output = Answer<ServerReadyResponse>> + Send;

    /// Whether a model takes requests.
    fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> impl Future<Output = Answer<ModelReadyResponse>> + Send;

    /// About the server.
    fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> impl Future<Output = Answer<ServerMetadataResponse>> + Send;

    /// About a model.
    fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> impl Future<Output = Answer<ModelMetadataResponse>> + Send;

    /// Asks a model. The future is dropped if the client goes away.
    fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> impl Future<Output = Answer<ModelInferResponse>> + Send;

    /// Asks models in a stream. The stream of answers is dropped if the client goes away.
    fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> impl Future<Output = Answer<Self::Stream>> + Send;
}

/// [`Inference`] as a service of HTTP/2 for tonic's, hyper's or axum's server.
#[derive(Debug)]
pub struct InferenceServer<T> {
    inference: Arc<T>,
    limit: usize,
}

impl<T> Clone for InferenceServer<T> {
    fn clone(&self) -> Self {
        InferenceServer { inference: Arc::clone(&self.inference), limit: self.limit }
    }
}

impl<T: Inference> InferenceServer<T> {
    /// A service that takes requests of up to [`MAX_MESSAGE_BYTES`].
    pub fn new(inference: Arc<T>) -> InferenceServer<T> {
        InferenceServer::with_limit(inference, MAX_MESSAGE_BYTES)
    }

    /// A service that takes requests of up to `bytes`.
    pub fn with_limit(inference: Arc<T>, bytes: usize) -> InferenceServer<T> {
        InferenceServer { inference, limit: bytes }
    }

    fn grpc<Out: Message + 'static, In: Scanned>(&self) -> Grpc<Protobuf<Out, In>> {
        let grpc = Grpc::new(Protobuf::new());
        grpc.max_decoding_message_size(self.limit).max_encoding_message_size(usize::MAX)
    }

    async fn unary<B, In, Out, F>(
        &self,
        request: http::Request<B>,
        method: impl Fn(Arc<T>, Request<In>) -> F,
    ) -> http::Response<Body>
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
        In: Scanned,
        Out: Message + 'static,
        F: Future<Output = Answer<Out>>,
    {
        let inference = Arc::clone(&self.inference);
        let call = Call(move |request| method(Arc::clone(&inference), request));
        self.grpc::<Out, In>().unary(call, request).await
    }

    async fn answer<B>(self, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let path = request.uri().path();
        let method = path.strip_prefix("/inference.GRPCInferenceService/").unwrap_or_default();
        match method {
            "ServerLive" => self.unary(request, async |t: Arc<T>, r| t.server_live(r).await).await,
            "ServerReady" => {
                self.unary(request, async |t: Arc<T>, r| t.server_ready(r).await).await
            }
            "ModelReady" => self.unary(request, async |t: Arc<T>, r| t.model_ready(r).await).await,
            "ServerMetadata" => {
                self.unary(request, async |t: Arc<T>, r| t.server_metadata(r).await).await
            }
            "ModelMetadata" => {
                self.unary(request, async |t: Arc<T>, r| t.model_metadata(r).await).await
            }
            "ModelInfer" => self.unary(request, async |t: Arc<T>, r| t.model_infer(r).await).await,
            "ModelStreamInfer" => {
                let inference = Arc::clone(&self.inference);
                let call = Call(move |request| {
                    let inference = Arc::clone(&inference);
                    async move { inference.model_stream_infer(request).await }
                });
                self.grpc().streaming(call, request).await
            }
            _ => Status::unimplemented(format!("no method {path}")).into_http(),
        }
    }
}

impl<T> tonic::server::NamedService for InferenceServer<T> {
    const NAME: &'static str = super::SERVICE;
}

impl<T, B> tower_service::Service<http::Request<B>> for InferenceServer<T>
where
    T: Inference,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(usual_code(service.answer(request).await)) })
    }
}

/// tonic calls a message that is too long OUT_OF_RANGE; gRPC's own libraries, and so clients, call
/// it RESOURCE_EXHAUSTED.
fn usual_code(mut response: http::Response<Body>) -> http::Response<Body> {
    let too_long = (Code::OutOfRange as i32).to_string();
    if let Some(code) = response.headers_mut().get_mut(Status::GRPC_STATUS)
        && code.as_bytes() == too_long.as_bytes()
    {
        *code = HeaderValue::from(Code::ResourceExhausted as i32);
    }
    response
}

/// A method as the service that tonic calls.
struct Call<F>(F);

impl<In, Out, F, A> UnaryService<In> for Call<F>
where
    F: FnMut(Request<In>) -> A,
    A: Future<Output = Answer<Out>>,
{
    type Response = Out;
    type Future = A;

    fn call(&mut self, request: Request<In>) -> A {
        (self.0)(request)
    }
}

impl<In, Out, F, A, S> StreamingService<In> for Call<F>
where
    F: FnMut(Request<Streaming<In>>) -> A,
    A: Future<Output = Answer<S>>,
    S: Stream<Item = Result<Out, Status>>,
{
    type Response = Out;
    type ResponseStream = S;
    type Future = A;

    fn call(&mut self, request: Request<Streaming<In>>) -> A {
        (self.0)(request)
    }
}

//! The client: one method of the service each.

use http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{IntoRequest, IntoStreamingRequest, Response, Status, Streaming};

use super::codec::Protobuf;
use super::messages::*;
use super::scan::Scanned;
use crate::limits::MAX_MESSAGE_BYTES;

/// A client over a channel, which may be shared: clones are cheap and run side by side.
///
/// Metadata such as a token or [`crate::names::TRACEPARENT`] and a deadline go with each
/// [`tonic::Request`].
#[derive(Clone, Debug)]
pub struct InferenceClient {
    inner: tonic::client::Grpc<Channel>,
}

impl InferenceClient {
    /// A client that takes answers of up to [`MAX_MESSAGE_BYTES`].
    pub fn new(channel: Channel) -> InferenceClient {
        InferenceClient::with_limit(channel, MAX_MESSAGE_BYTES)
    }

    /// A client that takes answers of up to `bytes`.
    pub fn with_limit(channel: Channel, bytes: usize) -> InferenceClient {
        let inner = tonic::client::Grpc::new(channel);
        InferenceClient {
            inner: inner.max_decoding_message_size(bytes).max_encoding_message_size(usize::MAX),
        }
    }

    /// Whether the server runs.
    pub async fn server_live(
        &mut self,
        request: impl IntoRequest<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        self.unary("/inference.GRPCInferenceService/ServerLive", request).await
    }

    /// Whether the server takes requests.
    pub async fn server_ready(
        &mut self,
        request: impl IntoRequest<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        self.unary("/inference.GRPCInferenceService/ServerReady", request).await
    }

    /// Whether a model takes requests.
    pub async fn model_ready(
        &mut self,
        request: impl IntoRequest<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        self.unary("/inference.GRPCInferenceService/ModelReady", request).await
    }

    /// About the server.
    pub async fn server_metadata(
        &mut self,
        request: impl IntoRequest<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        self.unary("/inference.GRPCInferenceService/ServerMetadata", request).await
    }

    /// About a model.
    pub async fn model_metadata(
        &mut self,
        request: impl IntoRequest<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        self.unary("/inference.GRPCInferenceService/ModelMetadata", request).await
    }

    /// Asks a model. Dropping the future cancels the request.
    pub async fn model_infer(
        &mut self,
        request: impl IntoRequest<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        self.unary("/inference.GRPCInferenceService/ModelInfer", request).await
    }

    /// Requests and answers as streams. Dropping the answers cancels what is not yet answered.
    pub async fn model_stream_infer(
        &mut self,
        requests: impl IntoStreamingRequest<Message = ModelInferRequest>,
    ) -> Result<Response<Streaming<ModelStreamInferResponse>>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/inference.GRPCInferenceService/ModelStreamInfer");
        self.inner.streaming(requests.into_streaming_request(), path, Protobuf::new()).await
    }

    async fn unary<Ask: Message + 'static, Answer: Scanned>(
        &mut self,
        path: &'static str,
        request: impl IntoRequest<Ask>,
    ) -> Result<Response<Answer>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(path);
        self.inner.unary(request.into_request(), path, Protobuf::<Ask, Answer>::new()).await
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.inner.ready().await.map_err(|e| Status::unavailable(format!("no connection: {e}")))
    }
}

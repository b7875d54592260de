//! The service, called as a server of HTTP/2 would call it: a message in, a status out.

use std::sync::Arc;

use bytes::Bytes;
use edgecut_oip::grpc::*;
use http_body_util::{BodyExt, Full};
use tonic::{Code, Request, Response, Status, Streaming};
use tower_service::Service;

/// Answers a request with its id.
struct Echo;

impl Inference for Echo {
    type Stream = futures_util::stream::Empty<Result<ModelStreamInferResponse, Status>>;

    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: true }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        Err(Status::not_found(request.into_inner().name))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse::default()))
    }

    async fn model_metadata(
        &self,
        _: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        Ok(Response::new(ModelMetadataResponse::default()))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let id = request.into_inner().id;
        Ok(Response::new(ModelInferResponse { id, ..Default::default() }))
    }

    async fn model_stream_infer(
        &self,
        _: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::Stream>, Status> {
        Err(Status::unimplemented("no stream here"))
    }
}

/// Sends a message of these bytes; the status, and the answer's bytes.
async fn send(method: &str, message: Vec<u8>, limit: usize) -> (Code, Bytes) {
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    send_framed(method, framed, limit).await
}

async fn send_framed(method: &str, framed: Vec<u8>, limit: usize) -> (Code, Bytes) {
    let request = http::Request::post(format!("http://server/{SERVICE}/{method}"))
        .header("content-type", "application/grpc")
        .body(Full::new(Bytes::from(framed)))
        .unwrap();
    let mut server = InferenceServer::with_limit(Arc::new(Echo), limit);
    let response = server.call(request).await.unwrap();
    let early = Status::from_header_map(response.headers());
    let body = response.into_body().collect().await.unwrap();
    let late = body.trailers().and_then(Status::from_header_map);
    let status = early.or(late).expect("a status");
    (status.code(), body.to_bytes())
}

#[tokio::test]
async fn methods_are_found_by_their_path() {
    assert_eq!(
        send("ServerLive", vec![], 100).await,
        (Code::Ok, Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]))
    );
    assert_eq!(send("ServerReady", vec![], 100).await.0, Code::Ok);
    assert_eq!(send("ModelReady", vec![], 100).await.0, Code::NotFound);
    assert_eq!(send("ServerMetadata", vec![], 100).await.0, Code::Ok);
    assert_eq!(send("ModelMetadata", vec![], 100).await.0, Code::Ok);
    assert_eq!(send("ModelStreamInfer", vec![], 100).await.0, Code::Unimplemented);
    assert_eq!(send("ModelTrain", vec![], 100).await.0, Code::Unimplemented);
    let ask = ModelInferRequest { id: "7".into(), ..Default::default() };
    let (code, body) = send("ModelInfer", ask.encode_to_vec(), 100).await;
    assert_eq!(code, Code::Ok);
    assert_eq!(ModelInferResponse::decode(&body[5..]).unwrap().id, "7");
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_the_right_status() {
    assert_eq!(send("ModelInfer", vec![0xff; 20], 100).await.0, Code::InvalidArgument);
    // A group, which this protocol never has.
    assert_eq!(send("ModelInfer", vec![0x0b], 100).await.0, Code::InvalidArgument);
    // A field longer than the message.
    assert_eq!(send("ModelInfer", vec![0x2a, 0x7f, 0], 100).await.0, Code::InvalidArgument);
    assert_eq!(send("ModelInfer", vec![0x22; 200], 100).await.0, Code::ResourceExhausted);
    // Only the length of a message is there.
    assert_ne!(send_framed("ModelInfer", vec![0, 0, 0, 0, 50], 100).await.0, Code::Ok);
}

#[tokio::test]
async fn small_messages_that_would_become_large_are_refused() {
    // Empty tensors, two bytes each.
    let tensors = [0x2a, 0].repeat(100_000);
    assert_eq!(send("ModelInfer", tensors, 1 << 20).await.0, Code::ResourceExhausted);
    // One tensor with empty elements of type BYTES, two bytes each.
    let elements = [0x42, 0].repeat(1_100_000);
    let contents = InferTensor {
        contents: Some(InferTensorContents { bool_contents: vec![], ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(contents.encode_to_vec(), [0x2a, 0]);
    let framed = |tag: u8, inside: Vec<u8>| {
        let mut bytes = vec![tag];
        prost::encode_length_delimiter(inside.len(), &mut bytes).unwrap();
        bytes.extend(inside);
        bytes
    };
    let message = framed(0x2a, framed(0x2a, elements));
    assert_eq!(send("ModelInfer", message, 1 << 24).await.0, Code::ResourceExhausted);
}

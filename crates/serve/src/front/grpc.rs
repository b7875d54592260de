//! The protocol as gRPC.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_oip::grpc::*;
use edgecut_oip::{InferRequest, names};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use tonic::{Request, Response, Status, Streaming};

use super::{Arrived, Backend, Call, Shared};

/// Requests of one stream that are under way at the same time; answers keep their order.
const AT_ONCE: usize = 16;

/// A backend as the service answers it.
pub(super) struct Grpc<B>(pub Arc<Shared<B>>);

type Answer<T> = Result<Response<T>, Status>;

impl<B: Backend> Inference for Grpc<B> {
    type Stream = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.0.backend.ready() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = self.0.backend.model_ready(&name, &version)?;
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(self.0.backend.about().into()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        Ok(Response::new(self.0.backend.model(&name, &version)?.into()))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let call = call(&request);
        Ok(Response::new(infer(&self.0, request.into_inner(), call).await?))
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Answer<Self::Stream> {
        let (shared, call) = (Arc::clone(&self.0), call(&request));
        let answers = request.into_inner().map(move |message| {
            let shared = Arc::clone(&shared);
            async move { streamed(&shared, message?, call).await }
        });
        Ok(Response::new(Box::pin(answers.buffered(AT_ONCE))))
    }
}

async fn infer<B: Backend>(
    shared: &Shared<B>,
    message: ModelInferRequest,
    call: Call,
) -> Result<ModelInferResponse, Status> {
    let request = InferRequest::try_from(message)?;
    Ok(shared.backend.infer(request, call).await?.into())
}

/// A refusal ends a request and not the stream. Its answer carries the id, so that whoever has
/// several under way knows which one it was.
async fn streamed<B: Backend>(
    shared: &Shared<B>,
    message: ModelInferRequest,
    call: Call,
) -> Result<ModelStreamInferResponse, Status> {
    let id = message.id.clone();
    Ok(match infer(shared, message, call).await {
        Ok(response) => ModelStreamInferResponse {
            error_message: String::new(),
            infer_response: Some(response),
        },
        Err(status) => ModelStreamInferResponse {
            error_message: format!("{:?}: {}", status.code(), status.message()),
            infer_response: Some(ModelInferResponse { id, ..ModelInferResponse::default() }),
        },
    })
}

/// What metadata says: the caller's span, and its deadline. Time in which the body came is the
/// caller's, too.
fn call<T>(request: &Request<T>) -> Call {
    let headers = request.metadata().as_ref();
    let parent =
        headers.get(names::TRACEPARENT).and_then(|value| value.to_str().ok()?.parse().ok());
    let arrived =
        request.extensions().get().map_or_else(Instant::now, |arrived: &Arrived| arrived.at);
    Call { parent, deadline: deadline(headers, arrived) }
}

/// The deadline of a request that came at `arrived`.
pub(super) fn deadline(headers: &HeaderMap, arrived: Instant) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    timeout(text).map(|time| arrived + time)
}

/// A deadline as gRPC writes it: at most eight digits and a unit. What is none is ignored.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_begins_with_the_head_of_a_request() {
        let mut request = Request::new(());
        request.metadata_mut().insert("grpc-timeout", "100m".parse().unwrap());
        let arrived = Instant::now();
        request.extensions_mut().insert(Arrived { at: arrived, _body: None });
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(call(&request).deadline, Some(arrived + Duration::from_millis(100)));
    }

    #[test]
    fn deadlines_are_read_and_nonsense_is_ignored() {
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "m", "1", "123456789S", "-1S", "1x", "é"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}

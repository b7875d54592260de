//! The protocol as REST.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use edgecut_oip::{InferRequest, names, rest};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::time::{Instant, Sleep};

use super::refusal::{Kind, Refusal};
use super::{Arrived, Backend, Call, Shared};

type Front<B> = State<Arc<Shared<B>>>;

/// JSON of this size is parsed beside the threads that serve connections.
const LARGE: usize = 64 << 10;
/// How long a refused client may go on sending.
const LINGER: Duration = Duration::from_secs(2);

pub(super) fn routes<B: Backend>(shared: Arc<Shared<B>>) -> Router {
    Router::new()
        .route("/v2/health/live", get(async || Json(json!({"live": true}))))
        .route("/v2/health/ready", get(ready))
        .route("/v2", get(about))
        .route("/v2/models/{model}", get(model))
        .route("/v2/models/{model}/versions/{version}", get(model))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .route("/", get(page))
        .fallback(async || Refusal::new(Kind::NotFound, "no such path").into_rest())
        .with_state(shared)
}

async fn ready<B: Backend>(State(front): Front<B>) -> Response {
    let ready = front.backend.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

async fn about<B: Backend>(State(front): Front<B>) -> Response {
    Json(front.backend.about()).into_response()
}

/// Model and version of a path; no version where it names none.
#[derive(serde::Deserialize)]
struct Named {
    model: String,
    #[serde(default)]
    version: String,
}

async fn model<B: Backend>(State(front): Front<B>, Path(of): Path<Named>) -> Response {
    match front.backend.model(&of.model, &of.version) {
        Ok(about) => Json(about).into_response(),
        Err(refusal) => refusal.into_rest(),
    }
}

async fn model_ready<B: Backend>(State(front): Front<B>, Path(of): Path<Named>) -> Response {
    match front.backend.model_ready(&of.model, &of.version) {
        Ok(ready) => {
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(json!({ "name": of.model, "ready": ready }))).into_response()
        }
        Err(refusal) => refusal.into_rest(),
    }
}

async fn metrics<B: Backend>(State(front): Front<B>) -> Response {
    let mut text = front.backend.metrics();
    front.counts.write(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn status<B: Backend>(State(front): Front<B>) -> Response {
    Json(front.backend.status()).into_response()
}

async fn page<B: Backend>(State(front): Front<B>) -> Response {
    match front.backend.page() {
        Some(page) => Html(page.html()).into_response(),
        None => Refusal::new(Kind::NotFound, "no such path").into_rest(),
    }
}

async fn infer<B: Backend>(
    State(front): Front<B>,
    Path(of): Path<Named>,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(&front, of, arrived, &headers, body).await.unwrap_or_else(Refusal::into_rest)
}

async fn answer<B: Backend>(
    front: &Shared<B>,
    of: Named,
    arrived: Arrived,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let header_length = header_length(headers)?;
    let limits = &front.limits;
    let body = whole(body, limits.body_bytes, limits.body_time).await?;
    drop(arrived);
    let text = header_length.unwrap_or(body.len()).min(body.len());
    let decode = move || rest::decode_request(&of.model, &of.version, header_length, &body);
    let request = aside(text > LARGE, decode).await??;
    let parent = headers.get(names::TRACEPARENT).and_then(|v| v.to_str().ok()?.parse().ok());
    let asked = shell(&request);
    let response = front.backend.infer(request, Call { parent, deadline: None }).await?;
    let size: usize = response.outputs.iter().map(|output| output.raw().len()).sum();
    let encoded = aside(size > LARGE, move || rest::encode_response(&asked, &response)).await??;
    let content_type = HeaderValue::from_static(encoded.content_type());
    let length = encoded.header_length;
    let mut response = Response::new(Body::from(encoded.body));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if let Some(length) = length {
        response.headers_mut().insert(names::HEADER_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// What encoding the answer needs of the request: all but the inputs.
fn shell(request: &InferRequest) -> InferRequest {
    InferRequest {
        parameters: request.parameters.clone(),
        outputs: request.outputs.clone(),
        ..InferRequest::default()
    }
}

/// Runs `work`, which may take milliseconds, on another thread if it is `large`.
async fn aside<T: Send + 'static>(
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if !large {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::new(Kind::Internal, "the server failed at this request"))
}

fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(names::HEADER_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || Refusal::new(Kind::Invalid, format!("{}: no number", names::HEADER_LENGTH));
    number.map(Some).ok_or_else(wrong)
}

/// All of a body, if it is small enough and comes in time.
async fn whole(mut body: Body, limit: usize, time: Duration) -> Result<Bytes, Refusal> {
    let declared = http_body::Body::size_hint(&body).lower();
    let mut read = Vec::new();
    let all = async {
        if declared > limit as u64 {
            return Err(too_large(limit));
        }
        while let Some(frame) = body.frame().await {
            let broken = |e| Refusal::new(Kind::Invalid, format!("the body breaks off: {e}"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if data.len() > limit - read.len() {
                return Err(too_large(limit));
            }
            // What is declared is allocated with the first of it.
            read.reserve((declared as usize).saturating_sub(read.len()).max(data.len()));
            read.extend_from_slice(&data);
        }
        Ok(())
    };
    let done = tokio::time::timeout(time, all).await.unwrap_or_else(|_| {
        let message = format!("the body was not here after {} s", time.as_secs_f32());
        Err(Refusal::new(Kind::Slow, message))
    });
    match done {
        Ok(()) => Ok(read.into()),
        Err(refusal) => {
            linger(body, limit);
            Err(refusal)
        }
    }
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Kind::TooLarge, format!("the body has more than {limit} bytes"))
}

/// Lets a client that is refused finish sending, within bounds: a connection that is closed while
/// it sends would take the answer along.
pub(super) fn linger(mut body: Body, limit: usize) {
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut left = limit;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, |data| data.len());
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    }));
}

/// A body that fails where it is not here in time.
pub(super) struct Timed<B> {
    body: B,
    limit: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<B> Timed<B> {
    pub fn new(body: B, limit: Option<Duration>) -> Timed<B> {
        let sleep = |time| (time, Box::pin(tokio::time::sleep_until(Instant::now() + time)));
        Timed { body, limit: limit.map(sleep) }
    }
}

impl<B> http_body::Body for Timed<B>
where
    B: http_body::Body + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = B::Data;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, tonic::Status>>> {
        let broken = |e| tonic::Status::cancelled(format!("the request breaks off: {e}"));
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let Some((time, sleep)) = &mut self.limit else { return Poll::Pending };
        ready!(sleep.as_mut().poll(context));
        let message = format!("the request was not here after {} s", time.as_secs_f32());
        Poll::Ready(Some(Err(Refusal::new(Kind::Slow, message).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

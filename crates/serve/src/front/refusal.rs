//! Why a request is not answered, and how either protocol says so.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use edgecut_oip::OipError;
use edgecut_oip::rest::ErrorBody;
use http::{HeaderValue, StatusCode, header};
use tonic::{Code, Status};

/// Kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong.
    Invalid,
    /// No token, or none that is known.
    Unauthenticated,
    /// No such model, version or path.
    NotFound,
    /// The client means another model than is served under this name.
    Skew,
    /// The client takes too long to send the request.
    Slow,
    /// The request is too large.
    TooLarge,
    /// Too much to do; or the server is about to stop.
    Busy,
    /// The request's time is over.
    Late,
    /// A defect of the server.
    Internal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 9] = [
        Kind::Invalid,
        Kind::Unauthenticated,
        Kind::NotFound,
        Kind::Skew,
        Kind::Slow,
        Kind::TooLarge,
        Kind::Busy,
        Kind::Late,
        Kind::Internal,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Unauthenticated => "unauthenticated",
            Kind::NotFound => "not_found",
            Kind::Skew => "skew",
            Kind::Slow => "slow",
            Kind::TooLarge => "too_large",
            Kind::Busy => "busy",
            Kind::Late => "late",
            Kind::Internal => "internal",
        }
    }

    /// Status of HTTP.
    pub fn status(self) -> StatusCode {
        match self {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Skew => StatusCode::CONFLICT,
            Kind::Slow => StatusCode::REQUEST_TIMEOUT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Late => StatusCode::GATEWAY_TIMEOUT,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Status of gRPC.
    pub fn code(self) -> Code {
        match self {
            Kind::Invalid => Code::InvalidArgument,
            Kind::Unauthenticated => Code::Unauthenticated,
            Kind::NotFound => Code::NotFound,
            Kind::Skew => Code::FailedPrecondition,
            Kind::Slow | Kind::Late => Code::DeadlineExceeded,
            Kind::TooLarge => Code::ResourceExhausted,
            Kind::Busy => Code::Unavailable,
            Kind::Internal => Code::Internal,
        }
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal this is.
    pub kind: Kind,
    /// What is wrong, for a person.
    pub message: String,
    /// When to try again, where that helps.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into(), retry_after: None }
    }

    /// The same, with when to try again.
    pub fn retry_after(self, time: Duration) -> Refusal {
        Refusal { retry_after: Some(time), ..self }
    }

    /// As REST says it. The time to wait is in whole seconds, rounded up.
    pub fn into_rest(self) -> Response {
        let mut response =
            (self.kind.status(), Json(ErrorBody { error: self.message })).into_response();
        if let Some(time) = self.retry_after {
            let seconds = time.as_millis().div_ceil(1000).max(1) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthenticated {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }

    /// As gRPC says it: a response with nothing but a status.
    pub fn into_grpc(self) -> Response {
        let response: http::Response<tonic::body::Body> = Status::from(self).into_http();
        response.map(Body::new)
    }
}

/// When to try again is in the metadata `retry-after-ms`.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let mut status = Status::new(refusal.kind.code(), refusal.message);
        if let Some(time) = refusal.retry_after {
            status.metadata_mut().insert("retry-after-ms", (time.as_millis() as u64).into());
        }
        status
    }
}

impl From<OipError> for Refusal {
    fn from(error: OipError) -> Refusal {
        let kind = if error.is_limit() { Kind::TooLarge } else { Kind::Invalid };
        Refusal::new(kind, error.to_string())
    }
}

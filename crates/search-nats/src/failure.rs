//! Why requests fail, and whether another try is worth it.

use async_nats::jetstream::context::{self, PublishErrorKind};
use async_nats::jetstream::{Error, ErrorCode};

use crate::server::causes;

/// What a request to JetStream comes to.
pub type Answer<T> = std::result::Result<T, Failure>;

/// Why a request has failed.
#[derive(Debug)]
pub enum Failure {
    /// The server is away or busy: it is worth another try.
    Passing(String),
    /// JetStream says no.
    Refused(Error),
    /// Nothing that time heals.
    Final(String),
}

impl From<context::RequestError> for Failure {
    fn from(error: context::RequestError) -> Failure {
        match error.kind() {
            context::RequestErrorKind::NoResponders => {
                Failure::Passing("JetStream does not answer".into())
            }
            context::RequestErrorKind::InvalidSubject => Failure::Final(causes(&error)),
            _ => Failure::Passing(causes(&error)),
        }
    }
}

impl From<context::PublishError> for Failure {
    fn from(error: context::PublishError) -> Failure {
        let answer = std::error::Error::source(&error);
        let answer = answer.and_then(|source| source.downcast_ref::<Error>());
        match (error.kind(), answer) {
            (_, Some(answer)) => Failure::of(answer.clone()),
            (PublishErrorKind::MaxPayloadExceeded, _) => Failure::Final(format!(
                "{}; raise max_payload in the server's settings",
                causes(&error)
            )),
            _ => Failure::Passing(causes(&error)),
        }
    }
}

impl Failure {
    pub fn of(error: Error) -> Failure {
        // 503: a server of a cluster that is starting, or has no leader yet.
        let is_off = error.error_code() == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT;
        match error.code() == 503 && !is_off {
            true => Failure::Passing(error.to_string()),
            false => Failure::Refused(error),
        }
    }

    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Failure::Refused(error) => Some(error.error_code()),
            _ => None,
        }
    }
}

/// What JetStream's refusal means for a user.
pub fn advice(error: &Error) -> String {
    let hint = match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT | ErrorCode::JETSTREAM_NOT_ENABLED => {
            "; turn JetStream on for this user's account"
        }
        ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES => {
            "; give JetStream more storage (max_file_store), or remove searches that are over"
        }
        ErrorCode::STREAM_SUBJECT_OVERLAP => {
            "; another stream takes all subjects that begin with edgecut: narrow its subjects"
        }
        ErrorCode::STREAM_NOT_FOUND => "; somebody has removed the search from the server",
        _ => "",
    };
    format!("{error}{hint}")
}

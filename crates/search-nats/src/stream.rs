//! Streams whose messages are numbered without gaps, read by number.

use std::future::Future;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, DeleteStatus, DiscardPolicy, Info, RawMessage, RetentionPolicy, State,
};
use edgecut_search::Result;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::json;

use crate::connection::Connection;
use crate::failure::{Answer, Failure};

/// Requests that are under way at a time, so that distance to the server matters little.
const AT_ONCE: u64 = 64;

#[derive(Deserialize)]
struct Found {
    message: RawMessage,
}

/// `None` where the server says `code`.
fn unless<T>(code: ErrorCode, answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(failure) if failure.code() == Some(code) => Ok(None),
        answer => answer.map(Some),
    }
}

impl Connection {
    /// Makes a stream that keeps what it has been given; nothing where it exists.
    pub(crate) fn make_stream(
        &self,
        name: String,
        subject: String,
        retention: RetentionPolicy,
    ) -> Result<()> {
        let config = Config {
            name,
            subjects: vec![subject],
            retention,
            discard: DiscardPolicy::New,
            num_replicas: self.server.replicas,
            ..Config::default()
        };
        let subject = format!("STREAM.CREATE.{}", config.name);
        self.patiently(|| async {
            let made = self.api::<Info>(&subject, &config).await;
            // Of other settings, such as more replicas.
            unless(ErrorCode::STREAM_NAME_EXIST, made)
        })
        .map(drop)
    }

    /// The state of a stream; `None` where there is none.
    pub(crate) fn stream_state(&self, stream: &str) -> Result<Option<State>> {
        let subject = format!("STREAM.INFO.{stream}");
        self.patiently(|| async {
            let info = self.api::<Info>(&subject, &json!({})).await;
            Ok(unless(ErrorCode::STREAM_NOT_FOUND, info)?.map(|info| info.state))
        })
    }

    /// Removes a stream, where there is one.
    pub(crate) fn remove_stream(&self, stream: &str) -> Result<()> {
        let subject = format!("STREAM.DELETE.{stream}");
        self.patiently(|| async {
            let status = self.api::<DeleteStatus>(&subject, &json!({})).await;
            unless(ErrorCode::STREAM_NOT_FOUND, status)
        })
        .map(drop)
    }

    /// The message with this number; `None` where there is none.
    pub(crate) fn message(&self, stream: &str, sequence: u64) -> Result<Option<StreamMessage>> {
        match self.holds(stream, sequence)? {
            true => self.patiently(|| self.get(stream, json!({ "seq": sequence }))),
            false => Ok(None),
        }
    }

    /// The first message of a subject from number `first` on; `None` where there is none.
    pub(crate) fn next_message(
        &self,
        stream: &str,
        subject: &str,
        first: u64,
    ) -> Result<Option<StreamMessage>> {
        match self.holds(stream, first)? {
            true => {
                let which = json!({ "seq": first, "next_by_subj": subject });
                self.patiently(|| self.get(stream, which.clone()))
            }
            false => Ok(None),
        }
    }

    /// Whether a stream has come as far as number `sequence`. Servers of version 2.9 crash where a message is
    /// asked for while its stream is being made.
    fn holds(&self, stream: &str, sequence: u64) -> Result<bool> {
        Ok(self.stream_state(stream)?.is_some_and(|state| state.last_sequence >= sequence))
    }

    /// Messages from number `first` up to and including `last`, in order; what is not there is left out.
    pub(crate) fn messages(
        &self,
        stream: &str,
        first: u64,
        last: u64,
    ) -> Result<Vec<StreamMessage>> {
        let mut found = vec![];
        let mut next = first;
        while next <= last {
            let end = last.min(next + AT_ONCE - 1);
            let part = self.patiently(|| {
                try_join_all((next..=end).map(|n| self.get(stream, json!({ "seq": n }))))
            })?;
            found.extend(part.into_iter().flatten());
            next = end + 1;
        }
        Ok(found)
    }

    fn get(
        &self,
        stream: &str,
        which: serde_json::Value,
    ) -> impl Future<Output = Answer<Option<StreamMessage>>> + '_ {
        let subject = format!("STREAM.MSG.GET.{stream}");
        async move {
            let found = self.api::<Found>(&subject, &which).await;
            let found = match unless(ErrorCode::NO_MESSAGE_FOUND, found) {
                Err(failure) if failure.code() == Some(ErrorCode::STREAM_NOT_FOUND) => None,
                found => found?,
            };
            let read = |found: Found| {
                StreamMessage::try_from(found.message)
                    .map_err(|e| Failure::Final(format!("a message that cannot be read: {e}")))
            };
            found.map(read).transpose()
        }
    }
}

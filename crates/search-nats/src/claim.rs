//! Who coordinates a search: one process at a time.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::{RequestErrorKind, Subscriber};
use edgecut_search::{Result, SearchError};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::connection::{Connection, whoami};
use crate::failure::Failure;
use crate::names::Names;

/// How long a coordinator may take to say that it is there.
const SHOUT: Duration = Duration::from_secs(2);

/// What a coordinator writes beside its records when it begins, and when the search is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Host and process.
    pub who: String,
    /// Version of edgecut: another one may judge nets differently.
    pub version: String,
    /// Whether there is nothing left to do.
    pub over: bool,
}

impl Claim {
    pub fn new(over: bool) -> Claim {
        Claim { who: whoami(), version: env!("CARGO_PKG_VERSION").into(), over }
    }
}

impl Connection {
    /// The claim that counts; `None` where nobody ever coordinated.
    pub(crate) fn claim(&self, names: &Names) -> Result<Option<Claim>> {
        // There are as many as coordinators were started.
        let (mut found, mut next) = (None, 1);
        while let Some(message) = self.next_message(&names.journal(), &names.claim(), next)? {
            next = message.sequence + 1;
            found = Some(message);
        }
        let read = |payload: &[u8]| {
            serde_json::from_slice(payload)
                .map_err(|e| self.error(format!("who coordinates {}: {e}", names.search())))
        };
        found.map(|message: StreamMessage| read(&message.payload)).transpose()
    }

    /// # Errors
    /// Where another process coordinates this search and is alive: one that died has lost its
    /// connection, so that it does not answer.
    pub(crate) fn refuse_a_second(&self, names: &Names) -> Result<()> {
        let other = self.patiently(|| async {
            let question = self.client.request(names.coordinator(), "".into());
            match tokio::time::timeout(SHOUT, question).await {
                Ok(Ok(answer)) => Ok(Some(answer)),
                Ok(Err(e)) if e.kind() == RequestErrorKind::NoResponders => Ok(None),
                Ok(Err(e)) if e.kind() != RequestErrorKind::TimedOut => {
                    Err(Failure::Passing(e.to_string()))
                }
                _ => Ok(None),
            }
        })?;
        match other {
            None => Ok(()),
            Some(answer) => Err(in_use(self, names, &String::from_utf8_lossy(&answer.payload))),
        }
    }
}

pub(crate) fn in_use(connection: &Connection, names: &Names, who: &str) -> SearchError {
    connection.error(format!(
        "search {} is run by another coordinator ({who}); wait for it to end, or give this search \
         another name",
        names.search()
    ))
}

/// Answers those who ask whether somebody coordinates, until it is dropped.
pub(crate) struct Presence<'a> {
    connection: &'a Connection,
    task: Option<JoinHandle<()>>,
}

impl<'a> Presence<'a> {
    pub fn new(connection: &'a Connection, names: &Names) -> Result<Presence<'a>> {
        let subscribed = connection.patiently(|| async {
            let subscriber = connection.client.subscribe(names.coordinator()).await;
            let subscriber = subscriber.map_err(|e| Failure::Final(e.to_string()))?;
            connection.client.flush().await.map_err(|e| Failure::Passing(e.to_string()))?;
            Ok(subscriber)
        })?;
        let client = connection.client.clone();
        let task = connection.runtime.spawn(answer(client, subscribed));
        Ok(Presence { connection, task: Some(task) })
    }
}

async fn answer(client: async_nats::Client, mut questions: Subscriber) {
    while let Some(question) = questions.next().await {
        if let Some(reply) = question.reply {
            // Who does not hear it asks for the stream's last word.
            let _ = client.publish(reply, whoami().into()).await;
        }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        task.abort();
        let client = &self.connection.client;
        // So that the next one who asks hears no one.
        let gone = async {
            let _ = task.await;
            let _ = client.flush().await;
        };
        let _ = self.connection.runtime.block_on(async { tokio::time::timeout(SHOUT, gone).await });
    }
}

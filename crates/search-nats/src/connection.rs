//! A connection that waits for its server within bounds, for callers that are not asynchronous.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::response::Response;
use async_nats::{Client, ConnectErrorKind, Event};
use edgecut_search::{Result, SearchError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Answer, Failure, advice};
use crate::server::{Server, causes, pause};

/// How long one request waits for its answer before it is sent again.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// How long a server that has just started may take until JetStream answers.
const STARTING: Duration = Duration::from_secs(3);

/// What every message about a server that is gone ends with.
const SAFE: &str =
    "what the server has acknowledged is kept: run the same command again when it is back";

/// A connection to a server with JetStream; threads may share it.
///
/// While the server is away it is tried again, with growing pauses, for as long as
/// [`Server::patience`] says; then whoever waits gets an error.
pub struct Connection {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) runtime: Runtime,
    /// The last thing that the server has forbidden.
    denied: Arc<Mutex<Option<String>>>,
}

impl Server {
    /// Connects, and sees to it that JetStream is there.
    ///
    /// # Errors
    /// Where the URL is none, no server answers within [`Server::first_wait`], it lets the user not in,
    /// has no JetStream, or its certificate is not trusted; says what to do.
    pub fn connect(&self) -> Result<Connection> {
        let addresses = self.addresses()?;
        // Tasks only wait for the network.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|e| self.error(format!("no thread for the network: {e}")))?;
        let denied = Arc::<Mutex<Option<String>>>::default();
        let client = runtime.block_on(self.first_connection(&addresses, &denied))?;
        // It starts a task of its own.
        let entered = runtime.enter();
        let context = ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER);
        let context = context.build(client.clone());
        drop(entered);
        let connection = Connection { server: self.clone(), client, context, runtime, denied };
        connection.check_jetstream()?;
        Ok(connection)
    }

    async fn first_connection(
        &self,
        addresses: &[async_nats::ServerAddr],
        denied: &Arc<Mutex<Option<String>>>,
    ) -> Result<Client> {
        let end = Instant::now() + self.first_wait;
        for attempt in 1.. {
            let denied = denied.clone();
            let remember = move |event| {
                if let Event::ServerError(error) = event {
                    let text = error.to_string();
                    if text.to_lowercase().contains("permissions violation") {
                        *denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                    }
                }
                std::future::ready(())
            };
            let options = self.options(&addresses[0]).await?.event_callback(remember);
            let error = match options.connect(addresses).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if let Some(refusal) = self.refusal(&error) {
                return Err(refusal);
            }
            if Instant::now() + pause(attempt) >= end {
                let hint = match error.kind() {
                    ConnectErrorKind::Dns => "check the host's name",
                    _ => "check the address, or start a server there: nats-server --jetstream",
                };
                return Err(self.error(format!("no server answers ({}); {hint}", causes(&error))));
            }
            tokio::time::sleep(pause(attempt)).await;
        }
        unreachable!("attempts do not end by themselves")
    }
}

impl Connection {
    /// The server without passwords.
    pub fn place(&self) -> String {
        self.server.place()
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> SearchError {
        self.server.error(problem)
    }

    fn check_jetstream(&self) -> Result<()> {
        let end = Instant::now() + STARTING;
        loop {
            match self.runtime.block_on(self.api::<serde_json::Value>("INFO", &())) {
                Ok(_) => return Ok(()),
                Err(Failure::Passing(_)) if self.denied().is_none() && Instant::now() < end => {
                    std::thread::sleep(pause(2));
                }
                Err(Failure::Passing(why)) => {
                    return Err(self.denied().unwrap_or_else(|| {
                        self.error(format!(
                            "{why}; start the server with it: nats-server --jetstream --store_dir DIR"
                        ))
                    }));
                }
                Err(Failure::Refused(error)) => return Err(self.error(advice(&error))),
                Err(Failure::Final(problem)) => return Err(self.error(problem)),
            }
        }
    }

    /// What the server has forbidden since the last look, as an error.
    fn denied(&self) -> Option<SearchError> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(self.error(format!(
            "{denied}; let this user publish to edgecut.>, $JS.API.>, $JS.ACK.>, $JS.FC.>, $O.> and \
             _INBOX.>, and subscribe to edgecut.> and _INBOX.>"
        )))
    }

    /// Repeats `call` until it succeeds, is refused, or the server has been away for too long.
    pub(crate) fn patiently<T, F>(&self, call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Answer<T>>,
    {
        self.runtime.block_on(self.persist(call))
    }

    async fn persist<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Answer<T>>,
    {
        let begun = Instant::now();
        for attempt in 1.. {
            let why = match call().await {
                Ok(value) => return Ok(value),
                Err(Failure::Refused(error)) => return Err(self.error(advice(&error))),
                Err(Failure::Final(problem)) => return Err(self.error(problem)),
                Err(Failure::Passing(why)) => why,
            };
            if let Some(denied) = self.denied() {
                return Err(denied);
            }
            if begun.elapsed() + pause(attempt) >= self.server.patience {
                let seconds = begun.elapsed().as_secs();
                return Err(self.error(format!("no answer for {seconds} s ({why}); {SAFE}")));
            }
            tokio::time::sleep(pause(attempt)).await;
        }
        unreachable!("attempts do not end by themselves")
    }

    /// One request to JetStream.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        subject: &str,
        payload: &impl Serialize,
    ) -> Answer<T> {
        match self.context.request(subject.to_string(), payload).await? {
            Response::Err { error } => Err(Failure::of(error)),
            Response::Ok(answer) => Ok(answer),
        }
    }

    /// Sends a message to a stream, and waits until it is stored; its number there.
    pub(crate) async fn publish(&self, subject: &str, message: PublishMessage) -> Answer<u64> {
        let stored = self.context.send_publish(subject.to_string(), message).await?.await?;
        Ok(stored.sequence)
    }
}

/// Where this process runs, for other people's messages.
pub(crate) fn whoami() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = kernel.or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.or_else(|| std::env::var("COMPUTERNAME").ok());
    let host = host.unwrap_or_else(|| "unknown host".into());
    format!("{}, process {}", host.trim(), std::process::id())
}

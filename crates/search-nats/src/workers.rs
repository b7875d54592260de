//! The coordinator's side of workers on other machines.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, Info, pull};
use async_nats::jetstream::stream::RetentionPolicy;
use edgecut_search::{Done, Header, Outcome, Result, Task, Workers};
use futures_util::StreamExt;
use serde_json::json;

use crate::connection::Connection;
use crate::failure::{Answer, Failure};
use crate::names::Names;
use crate::tasks;

/// Name of the consumer that all workers share.
const CONSUMER: &str = "workers";

/// A worker that has said nothing for this long has died: its task goes to another one.
const LEASE: Duration = Duration::from_secs(30);

/// How long news of a result is waited for before the stream is looked at all the same.
const LOOK: Duration = Duration::from_secs(1);

/// News may arrive before the message is stored.
const STORING: Duration = Duration::from_millis(20);

/// Tasks that can be under way and workers that can wait at a time, beyond the server's usual limits.
const MANY: i64 = 1 << 16;

/// What a coordinator sees while it waits, about once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Tasks without result.
    pub open: usize,
    /// Of these, those that workers have taken.
    pub taken: usize,
    /// Workers that wait for a task.
    pub idle: usize,
    /// Time since the last result, or since the tasks were given out.
    pub since: Duration,
}

/// Workers elsewhere, reached through streams: tasks are in a queue until somebody has done them, and
/// results are kept, so that a coordinator may die and go on.
pub struct NatsWorkers<'a> {
    connection: &'a Connection,
    names: Names,
    digest: String,
    /// Tells that there are results.
    news: Subscriber,
    /// Number of the next message of the results' stream.
    next: u64,
    /// Results that nobody has asked for yet.
    early: HashMap<usize, Outcome>,
    watch: Box<dyn FnMut(Waiting) -> ControlFlow<()> + 'a>,
}

impl<'a> NatsWorkers<'a> {
    /// Workers of the search called `search`, which `header` describes. `watch` is called about once a
    /// second while nothing comes, and stops the search where it breaks.
    ///
    /// # Errors
    /// Where the server does not answer or has no room.
    pub fn open(
        connection: &'a Connection,
        search: &str,
        header: &Header,
        watch: impl FnMut(Waiting) -> ControlFlow<()> + 'a,
    ) -> Result<NatsWorkers<'a>> {
        NatsWorkers::with_lease(connection, search, header, LEASE, watch)
    }

    /// As [`NatsWorkers::open`], where a worker that has said nothing for `lease` (30 s otherwise) counts as
    /// dead. It says something three times as often, however long an evaluation takes.
    ///
    /// # Errors
    /// As [`NatsWorkers::open`].
    pub fn with_lease(
        connection: &'a Connection,
        search: &str,
        header: &Header,
        lease: Duration,
        watch: impl FnMut(Waiting) -> ControlFlow<()> + 'a,
    ) -> Result<NatsWorkers<'a>> {
        let names = Names::new(search)?;
        connection.make_stream(names.results(), names.result("*", "*"), RetentionPolicy::Limits)?;
        connection.make_stream(names.tasks(), names.task("*", "*"), RetentionPolicy::WorkQueue)?;
        let consumer = pull::Config {
            durable_name: Some(CONSUMER.into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: lease,
            max_ack_pending: MANY,
            max_waiting: MANY,
            num_replicas: connection.server.replicas,
            ..pull::Config::default()
        };
        let subject = format!("CONSUMER.DURABLE.CREATE.{}.{CONSUMER}", names.tasks());
        let request = json!({ "stream_name": names.tasks(), "config": consumer });
        connection.patiently(|| connection.api::<Info>(&subject, &request))?;
        let digest = tasks::digest(header);
        let news = connection.patiently(|| async {
            let subscribed = connection.client.subscribe(names.result(&digest, "*")).await;
            subscribed.map_err(|e| Failure::Final(e.to_string()))
        })?;
        let (early, watch) = (HashMap::new(), Box::new(watch));
        Ok(NatsWorkers { connection, names, digest, news, next: 1, early, watch })
    }

    /// Takes the results that are new on the server.
    fn collect(&mut self) -> Result<()> {
        let stream = self.names.results();
        let state = self.connection.stream_state(&stream)?;
        let last = state.map_or(0, |state| state.last_sequence);
        for message in self.connection.messages(&stream, self.next, last)? {
            if let Some((trial, outcome)) =
                tasks::read_report(self.connection, &message, &self.digest)?
            {
                // The first counts, as in the engine.
                self.early.entry(trial).or_insert(outcome);
            }
        }
        self.next = self.next.max(last + 1);
        Ok(())
    }

    /// Puts a task into the queue, unless it is there: it may be from before a crash.
    fn enqueue(&self, task: &Task) -> Result<()> {
        let subject = self.names.task(&self.digest, task.trial);
        self.connection.patiently(|| async {
            let message = tasks::order(task).expected_last_subject_sequence(0);
            match self.connection.publish(&subject, message).await {
                Err(failure) if failure.code() == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => {
                    Ok(())
                }
                sent => sent.map(drop),
            }
        })
    }

    /// Waits for news, for a second at most; says whether there are any.
    fn listen(&mut self) -> bool {
        let heard = async { tokio::time::timeout(LOOK, self.news.next()).await };
        let heard = self.connection.runtime.block_on(heard);
        match heard {
            Ok(Some(_)) => std::thread::sleep(STORING),
            // The connection is closed; the stream says more.
            Ok(None) => std::thread::sleep(LOOK),
            Err(_) => {}
        }
        matches!(heard, Ok(Some(_)))
    }

    fn waiting(&self, open: usize, since: Duration) -> Result<Waiting> {
        let info = self.connection.patiently(|| self.connection.consumer(&self.names))?;
        Ok(Waiting { open, taken: info.num_ack_pending, idle: info.num_waiting, since })
    }
}

impl Connection {
    /// State of the consumer that all workers share.
    pub(crate) async fn consumer(&self, names: &Names) -> Answer<Info> {
        let subject = format!("CONSUMER.INFO.{}.{CONSUMER}", names.tasks());
        self.api(&subject, &json!({})).await
    }
}

impl Workers for NatsWorkers<'_> {
    fn evaluate(&mut self, tasks: &[Task], done: &mut Done) -> Result<()> {
        let mut open: BTreeMap<usize, &Task> = tasks.iter().map(|t| (t.trial, t)).collect();
        // What came while nobody listened is not asked for again.
        self.collect()?;
        let is_missing = |task: &&Task| !self.early.contains_key(&task.trial);
        tasks.iter().filter(is_missing).try_for_each(|task| self.enqueue(task))?;
        let mut last = Instant::now();
        loop {
            for trial in open.keys().copied().collect::<Vec<_>>() {
                let Some(outcome) = self.early.remove(&trial) else { continue };
                open.remove(&trial);
                last = Instant::now();
                if done(trial, outcome)?.is_break() {
                    return Ok(());
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            if !self.listen() {
                let waiting = self.waiting(open.len(), last.elapsed())?;
                if (self.watch)(waiting).is_break() {
                    return Ok(());
                }
            }
            self.collect()?;
        }
    }
}

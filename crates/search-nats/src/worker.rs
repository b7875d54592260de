//! The worker's side.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{AckKind, ErrorCode, Message};
use edgecut_search::{Outcome, Problem, Result, evaluate};
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::connection::{ANSWER, Connection};
use crate::failure::Failure;
use crate::journal::header;
use crate::names::Names;
use crate::tasks;

/// How long a worker waits for a task before it looks whether there is anything left to do.
const PULL: Duration = Duration::from_secs(5);

/// A pause where the coordinator has not begun.
const PAUSE: Duration = Duration::from_millis(500);

/// A task on which so many workers have died is given up: it is what kills them.
const MOST_DEATHS: i64 = 20;

/// Something that a worker tells while it works; where the listener breaks, the worker stops.
#[derive(Debug)]
pub enum WorkEvent<'a> {
    /// An evaluation begins; so many workers have begun it before.
    Begin(usize, usize),
    /// An evaluation has ended, and its result is stored.
    End(usize, &'a Outcome),
    /// There has been nothing to do for this long.
    Idle(Duration),
}

/// Why a worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// The search is over.
    Over,
    /// There was nothing to do for too long.
    Idle,
    /// It was told to stop.
    Stopped,
}

/// A worker: evaluates tasks of one search, one at a time.
pub struct Worker<'a> {
    /// To the server.
    pub connection: &'a Connection,
    /// The search's name.
    pub search: &'a str,
    /// What evaluates. Space, objectives, fidelities and digest must be those of the coordinator's.
    pub problem: &'a dyn Problem,
    /// After so long without a task the worker ends, also where the coordinator has never begun.
    pub idle: Duration,
}

/// A task that was taken.
struct Taken {
    message: Message,
    /// How many workers had it before.
    before: i64,
    /// How long a worker may be silent.
    lease: Duration,
}

impl Taken {
    fn is_of(&self, digest: &str) -> bool {
        Names::is_of(self.message.subject.as_str(), digest)
    }
}

impl Worker<'_> {
    /// Works until the search is over. The task under way is given back where the worker dies: others
    /// evaluate it as soon as its lease has run out. On the twentieth such death the trial has failed.
    ///
    /// # Errors
    /// Where problem and search differ (says in what), or the server is away for too long.
    pub fn work(&self, watch: &mut dyn FnMut(WorkEvent) -> ControlFlow<()>) -> Result<WorkEnd> {
        let names = Names::new(self.search)?;
        let mut digest = None;
        let mut since = Instant::now();
        loop {
            if digest.is_none() {
                digest = self.agree(&names)?;
            }
            let taken = match &digest {
                Some(_) => self.take(&names)?,
                None => None,
            };
            match (taken, &digest) {
                (Some(taken), Some(known)) if taken.is_of(known) => {
                    if self.evaluate(&names, known, &taken, watch)?.is_break() {
                        return Ok(WorkEnd::Stopped);
                    }
                    since = Instant::now();
                }
                (Some(taken), _) => {
                    // The search was removed and begun anew, and its header tells whether we fit; or the
                    // task is left over from the one before.
                    digest = self.agree(&names)?;
                    let is_old = digest.as_ref().is_some_and(|known| !taken.is_of(known));
                    let kind = if is_old { AckKind::Term } else { AckKind::Nak(None) };
                    self.acknowledge(&taken.message, kind);
                }
                (None, _) => {
                    if self.connection.claim(&names)?.is_some_and(|claim| claim.over) {
                        return Ok(WorkEnd::Over);
                    }
                    if since.elapsed() >= self.idle {
                        return Ok(WorkEnd::Idle);
                    }
                    if watch(WorkEvent::Idle(since.elapsed())).is_break() {
                        return Ok(WorkEnd::Stopped);
                    }
                }
            }
        }
    }

    /// Digest of the search, if it has begun and this worker may evaluate for it.
    fn agree(&self, names: &Names) -> Result<Option<String>> {
        let (header, claim) = (header(self.connection, names)?, self.connection.claim(names)?);
        let (Some(header), Some(claim)) = (header, claim) else {
            std::thread::sleep(PAUSE.min(self.idle));
            return Ok(None);
        };
        let fail = |what: String| {
            Err(self.connection.error(format!(
                "this worker cannot evaluate for search {}, which {what}; give it the settings, data and \
                 edgecut of the coordinator ({})",
                self.search, claim.who
            )))
        };
        if claim.version != env!("CARGO_PKG_VERSION") {
            let own = env!("CARGO_PKG_VERSION");
            return fail(format!("is run by edgecut {}, and not {own}", claim.version));
        }
        match header.difference_from(self.problem) {
            Some(difference) => fail(difference),
            None => Ok(Some(tasks::digest(&header))),
        }
    }

    /// Waits for a task for some seconds.
    fn take(&self, names: &Names) -> Result<Option<Taken>> {
        let message = self.connection.patiently(|| async {
            let info = match self.connection.consumer(names).await {
                Ok(info) => info,
                Err(failure) if is_missing(&failure) => {
                    tokio::time::sleep(PAUSE).await;
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
            };
            let (context, lease) = (self.connection.context.clone(), info.config.ack_wait);
            let consumer = Consumer::new(pull::Config::default(), info, context);
            let fetched =
                consumer.fetch().max_messages(1).expires(PULL.min(self.idle)).messages().await;
            let mut fetched = fetched.map_err(|e| Failure::Passing(e.to_string()))?;
            // The server ends the wait; where it cannot, we do.
            match tokio::time::timeout(PULL + ANSWER, fetched.next()).await {
                Ok(Some(message)) => {
                    message.map(|m| Some((m, lease))).map_err(|e| Failure::Passing(e.to_string()))
                }
                _ => Ok(None),
            }
        })?;
        let Some((message, lease)) = message else { return Ok(None) };
        let delivered = message.info().map(|info| info.delivered);
        let delivered = delivered.map_err(|e| self.connection.error(format!("a task: {e}")))?;
        Ok(Some(Taken { message, before: delivered - 1, lease }))
    }

    /// Evaluates a task, unless that was done, and says so once.
    fn evaluate(
        &self,
        names: &Names,
        digest: &str,
        taken: &Taken,
        watch: &mut dyn FnMut(WorkEvent) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let beat = self.keep_lease(taken);
        let task = tasks::read_order(self.connection, &taken.message.payload)?;
        let (trial, subject) = (task.trial, names.result(digest, task.trial));
        // A worker may have died after it stored the result, and before it acknowledged the task.
        let is_done = taken.before > 0
            && self.connection.next_message(&names.results(), &subject, 1)?.is_some();
        let mut flow = ControlFlow::Continue(());
        if !is_done {
            flow = watch(WorkEvent::Begin(trial, taken.before as usize));
            if flow.is_break() {
                drop(beat);
                self.acknowledge(&taken.message, AckKind::Nak(None));
                return Ok(flow);
            }
            let outcome = match taken.before {
                MOST_DEATHS.. => {
                    Outcome::Failed(format!("{MOST_DEATHS} workers died while they evaluated it"))
                }
                _ => evaluate(self.problem, &task),
            };
            self.store(&subject, trial, &outcome)?;
            flow = watch(WorkEvent::End(trial, &outcome));
        }
        drop(beat);
        self.acknowledge(&taken.message, AckKind::Ack);
        Ok(flow)
    }

    /// Stores a result, unless another worker was first: evaluations are functions of their task.
    fn store(&self, subject: &str, trial: usize, outcome: &Outcome) -> Result<()> {
        self.connection.patiently(|| async {
            let message = tasks::report(trial, outcome).expected_last_subject_sequence(0);
            match self.connection.publish(subject, message).await {
                Err(failure) if failure.code() == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => {
                    Ok(())
                }
                stored => stored.map(drop),
            }
        })
    }

    /// Answers for a task. Where that is lost, the task comes again and its result is found.
    fn acknowledge(&self, message: &Message, kind: AckKind) {
        let answer = async { tokio::time::timeout(ANSWER, message.double_ack_with(kind)).await };
        let _ = self.connection.runtime.block_on(answer);
    }

    /// Tells the server again and again that the task is being worked on.
    fn keep_lease(&self, taken: &Taken) -> Heartbeat {
        let (pause, reply) = (taken.lease / 3, taken.message.reply.clone());
        let acker = Acker::new(self.connection.context.clone(), reply);
        let beat = async move {
            loop {
                tokio::time::sleep(pause).await;
                // What is lost while the server is away is made up for by the next one.
                let _ = acker.ack_with(AckKind::Progress).await;
            }
        };
        Heartbeat(self.connection.runtime.spawn(beat))
    }
}

/// Ends with its task.
struct Heartbeat(JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn is_missing(failure: &Failure) -> bool {
    let code = failure.code();
    code == Some(ErrorCode::STREAM_NOT_FOUND) || code == Some(ErrorCode::CONSUMER_NOT_FOUND)
}

//! A request on its way: checked, queued, computed, answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

use edgecut_oip::{InferRequest, InferResponse, Parameters, names};
use tokio::sync::oneshot;

use super::Host;
use super::metrics::Figures;
use super::spans::Span;
use crate::front::{Call, Kind, Refusal};
use crate::models::{Inputs, Model, Outputs};
use crate::schedule::{Entry, Refused, Task};

/// Where a request stands. Whoever changes `WAITING` first has decided: a worker that begins, or a
/// deadline.
const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const LATE: u8 = 2;

/// A request in the queue.
pub(super) struct Job {
    model: Arc<Model>,
    figures: Arc<Figures>,
    inputs: Inputs,
    state: Arc<AtomicU8>,
    reply: oneshot::Sender<Done>,
}

/// What a worker says of a request.
struct Done {
    outputs: Result<Outputs, Refusal>,
    queue: Duration,
    service: Duration,
    batch: usize,
}

impl Task for Job {
    fn alive(&self) -> bool {
        !self.reply.is_closed() && self.state.load(Ordering::SeqCst) == WAITING
    }

    fn run(batch: Vec<Entry<Job>>, worker: usize) {
        let began = Instant::now();
        let begins = |entry: &Entry<Job>| {
            let job = &entry.payload;
            let order = Ordering::SeqCst;
            job.state.compare_exchange(WAITING, BEGUN, order, order).is_ok()
        };
        let jobs: Vec<Entry<Job>> = batch.into_iter().filter(begins).collect();
        let Some(first) = jobs.first() else { return };
        let (model, figures) =
            (Arc::clone(&first.payload.model), Arc::clone(&first.payload.figures));
        let rows: usize = jobs.iter().map(|entry| entry.rows).sum();
        let (mut inputs, mut waiting) = (Vec::new(), Vec::new());
        for entry in jobs {
            inputs.push(entry.payload.inputs);
            waiting.push((entry.arrived, entry.payload.reply));
        }
        let answers = model.run(inputs, worker);
        let service = began.elapsed();
        model.estimate.add(service, rows);
        figures.batches.fetch_add(1, Ordering::Relaxed);
        figures.rows.fetch_add(rows as u64, Ordering::Relaxed);
        let batch = waiting.len();
        for ((arrived, reply), outputs) in waiting.into_iter().zip(answers) {
            let queue = began.saturating_duration_since(arrived);
            // Whoever has gone away needs no answer.
            let _ = reply.send(Done { outputs, queue, service, batch });
        }
    }
}

/// What is known of a request while it is here; counts it, whatever becomes of it.
struct Counted<'a> {
    figures: Arc<Figures>,
    host: &'a Host,
    span: Span,
    arrived: Instant,
    ended: bool,
}

impl Counted<'_> {
    fn end(&mut self, outcome: &Result<(Duration, Duration), Refusal>) {
        self.ended = true;
        match outcome {
            Ok((queue, compute)) => {
                self.figures.answered.fetch_add(1, Ordering::Relaxed);
                self.figures.queue.add(*queue);
                self.figures.compute.add(*compute);
                self.figures.total.add(self.arrived.elapsed());
                self.span.parts = Some((*queue, *compute));
            }
            Err(refusal) => {
                let kind = Kind::ALL.iter().position(|kind| *kind == refusal.kind).unwrap_or(0);
                self.figures.refused[kind].fetch_add(1, Ordering::Relaxed);
                self.span.refused = refusal.kind.name();
            }
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.figures.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            self.figures.cancelled.fetch_add(1, Ordering::Relaxed);
            self.span.refused = "cancelled";
        }
        if let Some(spans) = &self.host.spans {
            let blank = Span {
                parent: None,
                model: Default::default(),
                id: String::new(),
                began: SystemTime::UNIX_EPOCH,
                total: Duration::ZERO,
                parts: None,
                refused: "",
            };
            let span = std::mem::replace(&mut self.span, blank);
            spans.add(Span { total: self.arrived.elapsed(), ..span });
        }
    }
}

impl Host {
    /// Answers a request, or says why not.
    pub(super) async fn answer(
        &self,
        request: InferRequest,
        call: Call,
    ) -> Result<InferResponse, Refusal> {
        self.draining()?;
        let model = self.shelf.get(&request.model, &request.version)?;
        let figures = self.metrics.of(&model.name, &model.version);
        figures.in_flight.fetch_add(1, Ordering::SeqCst);
        let span = Span {
            parent: call.parent,
            model: (model.name.clone(), model.version.clone()),
            id: request.id.clone(),
            began: SystemTime::now(),
            total: Duration::ZERO,
            parts: None,
            refused: "",
        };
        let arrived = Instant::now();
        let mut counted = Counted { figures, host: self, span, arrived, ended: false };
        let answer = self.through(&model, &counted.figures, request, call, arrived).await;
        let outcome = answer.as_ref().map(|(_, times)| *times).map_err(Refusal::clone);
        counted.end(&outcome);
        answer.map(|(response, _)| response)
    }

    /// Through the queue and a worker; with the times in both.
    async fn through(
        &self,
        model: &Arc<Model>,
        figures: &Arc<Figures>,
        request: InferRequest,
        call: Call,
        arrived: Instant,
    ) -> Result<(InferResponse, (Duration, Duration)), Refusal> {
        check_digest(&request.parameters, model)?;
        let inputs = model.inputs(&request)?;
        let rows = inputs.rows();
        let cost = model.estimate.of(rows);
        self.cost.add(cost, 1);
        let start_by = start_by(&request.parameters, model, call, arrived, cost)?;
        let priority = priority(&request.parameters, model)?;
        self.urgent.fetch_min(priority, Ordering::Relaxed);
        let (reply, mut done) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(WAITING));
        let (model_here, figures) = (Arc::clone(model), Arc::clone(figures));
        let payload = Job { model: model_here, figures, inputs, state: Arc::clone(&state), reply };
        let entry = Entry { priority, arrived, start_by, rows, cost, payload };
        let depth =
            self.scheduler.push(model.number, model.limits, entry).map_err(|(why, _)| full(why))?;
        let done = match start_by {
            None => done.await,
            Some(time) => match tokio::time::timeout_at(time.into(), &mut done).await {
                Ok(done) => done,
                Err(_) => {
                    let order = Ordering::SeqCst;
                    if state.compare_exchange(WAITING, LATE, order, order).is_ok() {
                        let waited = arrived.elapsed().as_millis();
                        let message =
                            format!("the request's time was over after {waited} ms in the queue");
                        return Err(Refusal::new(Kind::Late, message));
                    }
                    done.await
                }
            },
        };
        let done = done.map_err(|_| lost(self.draining().is_err(), start_by))?;
        let wanted: Vec<String> = request.outputs.into_iter().map(|output| output.name).collect();
        let outputs = model.answer(&wanted, rows, done.outputs?)?;
        let parameters = [
            (names::DIGEST, model.digest.as_str().into()),
            (names::QUEUE_US, (done.queue.as_micros() as i64).into()),
            (names::QUEUE_DEPTH, (depth as i64).into()),
            (names::SERVICE_US, (done.service.as_micros() as i64).into()),
            (names::BATCH, (done.batch as i64).into()),
        ];
        let response = InferResponse {
            model: model.name.clone(),
            version: model.version.clone(),
            id: request.id,
            parameters: parameters.into_iter().collect(),
            outputs,
        };
        Ok((response, (done.queue, done.service)))
    }
}

/// A worker has dropped the request without an answer.
fn lost(draining: bool, start_by: Option<Instant>) -> Refusal {
    if start_by.is_some_and(|time| time <= Instant::now()) {
        Refusal::new(Kind::Late, "the request's time was over in the queue")
    } else if draining {
        Refusal::new(Kind::Busy, "the server stopped before the request began: ask another")
    } else {
        Refusal::new(Kind::Internal, "the server failed at this request")
    }
}

fn full(why: Refused) -> Refusal {
    match why {
        Refused::Full(wait) => {
            let refusal = Refusal::new(Kind::Busy, "the model's queue is full");
            refusal.retry_after(wait.max(Duration::from_millis(1)))
        }
        Refused::Hopeless(wait) => {
            let message = format!("it would wait for {} ms, longer than it may", wait.as_millis());
            Refusal::new(Kind::Busy, message).retry_after(wait)
        }
    }
}

/// The model that the client means must be the one that is served.
fn check_digest(parameters: &Parameters, model: &Model) -> Result<(), Refusal> {
    match parameters.text(names::DIGEST)? {
        Some(meant) if meant != model.digest => {
            let message = format!(
                "{} {}: the client means another model of this name ({}: {})",
                model.name,
                model.version,
                names::DIGEST,
                model.digest
            );
            Err(Refusal::new(Kind::Skew, message))
        }
        _ => Ok(()),
    }
}

/// When the request must have begun: by its `timeout` or the model's, and so early that a caller's
/// deadline can be met.
fn start_by(
    parameters: &Parameters,
    model: &Model,
    call: Call,
    arrived: Instant,
    cost: Duration,
) -> Result<Option<Instant>, Refusal> {
    // A year is as good as no limit, and far from what overflows.
    let year = Duration::from_secs(365 * 24 * 3600);
    let asked = parameters.count(names::TIMEOUT)?.filter(|&us| us > 0).map(Duration::from_micros);
    let queue = asked.or(model.timeout).map(|time| arrived + time.min(year));
    let whole = call.deadline.map(|time| time.checked_sub(cost).unwrap_or(arrived));
    Ok(match (queue, whole) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    })
}

fn priority(parameters: &Parameters, model: &Model) -> Result<usize, Refusal> {
    match parameters.count(names::PRIORITY)? {
        None | Some(0) => Ok(model.priority),
        Some(priority) if priority <= names::LOWEST_PRIORITY => Ok(priority as usize),
        Some(priority) => {
            let message =
                format!("priority {priority}: allowed is 0 to {}", names::LOWEST_PRIORITY);
            Err(Refusal::new(Kind::Invalid, message))
        }
    }
}

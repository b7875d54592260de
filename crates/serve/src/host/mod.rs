//! The backend of models: what a request is worth, waits for, and gets.

mod metrics;
mod request;
mod spans;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use edgecut_oip::{InferRequest, InferResponse, ModelMetadata, ServerMetadata, names};
use serde_json::{Value, json};

use crate::error::Result;
use crate::front::{Backend, Call, Kind, Page, Refusal};
use crate::models::{Change, LoadOptions, Shelf, Source};
use crate::schedule::{Estimate, PRIORITIES, Scheduler};
use metrics::Metrics;
use request::Job;
use spans::Spans;

/// What a host does with its models.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where models come from.
    pub source: Source,
    /// How they are loaded, and what holds for their requests.
    pub load: LoadOptions,
    /// Longest wait in the queues beyond which requests are refused before they are read.
    pub max_wait: Duration,
    /// File that spans are appended to.
    pub trace: Option<PathBuf>,
}

/// Models, their queue and their figures.
pub struct Host {
    shelf: Shelf,
    scheduler: Scheduler<Job>,
    metrics: Metrics,
    spans: Option<Spans>,
    /// Of a request, whatever model it asks.
    cost: Estimate,
    /// The most urgent priority that any request had.
    urgent: AtomicUsize,
    max_wait: Duration,
    draining: AtomicBool,
    began: Instant,
}

impl Host {
    /// A host without models: [`Host::look`] loads them.
    ///
    /// # Errors
    /// Where there are no threads, or the file for spans cannot be opened.
    pub fn new(options: HostOptions) -> Result<Host> {
        let scheduler = Scheduler::start(options.load.workers)?;
        let spans = options.trace.as_deref().map(Spans::open).transpose()?;
        Ok(Host {
            shelf: Shelf::new(options.source, options.load),
            scheduler,
            metrics: Metrics::default(),
            spans,
            cost: Estimate::default(),
            urgent: AtomicUsize::new(PRIORITIES - 1),
            max_wait: options.max_wait,
            draining: AtomicBool::new(false),
            began: Instant::now(),
        })
    }

    /// Looks at the models' files; as [`Shelf::look`].
    ///
    /// # Errors
    /// As [`Shelf::look`].
    pub fn look(&self) -> Result<Vec<Change>> {
        let changes = self.shelf.look()?;
        // Figures are there from the first scrape on.
        for model in self.shelf.all() {
            self.metrics.of(&model.name, &model.version);
        }
        Ok(changes)
    }

    /// The models.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// From now on the host is not ready, and takes no more requests.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Requests that are here now.
    pub fn in_flight(&self) -> u64 {
        self.metrics.in_flight()
    }

    fn draining(&self) -> std::result::Result<(), Refusal> {
        if self.draining.load(Ordering::SeqCst) {
            let refusal = Refusal::new(Kind::Busy, "the server is about to stop: ask another");
            return Err(refusal.retry_after(Duration::from_secs(1)));
        }
        Ok(())
    }
}

fn short_enough(wait: Duration, limit: Duration) -> std::result::Result<(), Refusal> {
    if wait <= limit {
        return Ok(());
    }
    let message = format!("the queue is {} ms long", wait.as_millis());
    Err(Refusal::new(Kind::Busy, message).retry_after(wait - limit))
}

impl Backend for Host {
    fn ready(&self) -> bool {
        !self.draining.load(Ordering::SeqCst)
    }

    fn about(&self) -> ServerMetadata {
        ServerMetadata {
            name: "edgecut".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: vec![names::BINARY_EXTENSION.into(), "schedule_policy".into()],
        }
    }

    fn model(&self, name: &str, version: &str) -> std::result::Result<ModelMetadata, Refusal> {
        self.shelf.metadata(name, version)
    }

    /// Who is urgent is not known before a body is read. So all are refused where the queue as a whole
    /// is too long, and those with a deadline where even the most urgent would wait for half of their
    /// time: the other half is for what cannot be known either, how long the body takes and the answer's
    /// way back. A shorter queue costs no throughput as long as it is not empty.
    fn admit(&self, coming: usize, deadline: Option<Instant>) -> std::result::Result<(), Refusal> {
        self.draining()?;
        let coming = self.cost.of(coming);
        short_enough(self.scheduler.wait(PRIORITIES - 1, coming), self.max_wait)?;
        let Some(deadline) = deadline else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        let urgent = self.scheduler.wait(self.urgent.load(Ordering::Relaxed), coming);
        short_enough(urgent, left.saturating_sub(self.cost.of(1)) / 2)
    }

    async fn infer(
        &self,
        request: InferRequest,
        call: Call,
    ) -> std::result::Result<InferResponse, Refusal> {
        self.answer(request, call).await
    }

    fn metrics(&self) -> String {
        let depth = |name: &str, version: &str| {
            Some(self.scheduler.depth(self.shelf.get(name, version).ok()?.number))
        };
        let mut text = self.metrics.write(depth);
        if let Some(spans) = &self.spans {
            text += "# HELP edgecut_spans_dropped_total Spans that were not written.\n";
            text += "# TYPE edgecut_spans_dropped_total counter\n";
            text += &format!("edgecut_spans_dropped_total {}\n", spans.dropped());
        }
        text
    }

    fn status(&self) -> Value {
        let models = self.shelf.all().into_iter().map(|model| {
            let figures = self.metrics.of(&model.name, &model.version);
            let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            let quantiles = |h: &metrics::Histogram| {
                json!([h.quantile_ms(0.5), h.quantile_ms(0.9), h.quantile_ms(0.99)])
            };
            let refused = Kind::ALL.iter().map(|k| k.name()).zip(figures.refused.iter().map(load));
            let refused: serde_json::Map<String, Value> = refused
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name.into(), count.into()))
                .collect();
            json!({
                "name": model.name,
                "version": model.version,
                "digest": model.digest,
                "answered": load(&figures.answered),
                "cancelled": load(&figures.cancelled),
                "refused": refused,
                "in_flight": load(&figures.in_flight),
                "queued": self.scheduler.depth(model.number),
                "row_ms": model.estimate.of(1).as_secs_f64() * 1e3,
                "largest_batch": model.largest_batch(),
                "batches": load(&figures.batches),
                "rows": load(&figures.rows),
                "queue_ms": quantiles(&figures.queue),
                "compute_ms": quantiles(&figures.compute),
                "total_ms": quantiles(&figures.total),
            })
        });
        json!({
            "server": self.about(),
            "ready": self.ready(),
            "seconds": self.began.elapsed().as_secs_f64(),
            "models": models.collect::<Vec<Value>>(),
        })
    }

    fn page(&self) -> Option<Page> {
        Some(Page { title: "edgecut serve", script: include_str!("page.js") })
    }
}

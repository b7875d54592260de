//! Spans of requests as OpenTelemetry's JSON, one `ExportTraceServiceRequest` a line, as its
//! collectors read it from a file (OTLP/JSON, file exporter).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgecut_oip::Traceparent;
use serde_json::{Value, json};

use crate::error::{Result, ServeError};

/// Spans that wait to be written; more are dropped, since a request never waits for a disk.
const WAITING: usize = 4096;

/// One request.
pub struct Span {
    /// The caller's span; none begins a trace.
    pub parent: Option<Traceparent>,
    /// Model and version.
    pub model: (String, String),
    /// Id of the request.
    pub id: String,
    /// When it came.
    pub began: SystemTime,
    /// From the request to the answer.
    pub total: Duration,
    /// Time in the queue, and time of the batch; nothing where it did not begin.
    pub parts: Option<(Duration, Duration)>,
    /// What it was refused for; empty if it was answered.
    pub refused: &'static str,
}

/// Writes spans to a file, on a thread of its own.
pub struct Spans {
    sender: Option<SyncSender<Span>>,
    writer: Option<JoinHandle<()>>,
    dropped: AtomicU64,
}

impl Spans {
    /// Appends to the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: &Path) -> Result<Spans> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(|e| ServeError::file(path, e))?;
        let (sender, receiver) = sync_channel(WAITING);
        let writer = std::thread::Builder::new()
            .name("edgecut-spans".into())
            .spawn(move || write(&receiver, BufWriter::new(file)))
            .map_err(ServeError::Threads)?;
        Ok(Spans { sender: Some(sender), writer: Some(writer), dropped: AtomicU64::new(0) })
    }

    /// Hands a span over.
    pub fn add(&self, span: Span) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_)) = sender.try_send(span) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Spans that were not written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Spans {
    /// Writes what is left.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write(receiver: &Receiver<Span>, mut file: BufWriter<File>) {
    let mut ids = Ids::new();
    while let Ok(span) = receiver.recv() {
        let mut next = Some(span);
        // Whatever is there goes to the disk together.
        while let Some(span) = next {
            if writeln!(file, "{}", line(&span, &mut ids)).is_err() {
                return;
            }
            next = receiver.try_recv().ok();
        }
        if file.flush().is_err() {
            return;
        }
    }
}

/// Numbers of spans: SplitMix64 from the time at which the server began.
struct Ids(u64);

impl Ids {
    fn new() -> Ids {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ids(now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(48))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }
}

fn line(span: &Span, ids: &mut Ids) -> Value {
    let trace = span.parent.map_or_else(
        || u128::from(ids.next()) << 64 | u128::from(ids.next()),
        |parent| parent.trace,
    );
    let began = span.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let root = ids.next();
    // Kinds 1 and 2 are INTERNAL and SERVER.
    let entry =
        |id: u64, parent: Option<u64>, name: &str, kind: u8, from: Duration, to: Duration| {
            json!({
                "traceId": format!("{trace:032x}"),
                "spanId": format!("{id:016x}"),
                "parentSpanId": parent.map_or(String::new(), |id| format!("{id:016x}")),
                "name": name,
                "kind": kind,
                "startTimeUnixNano": (began + from).as_nanos().to_string(),
                "endTimeUnixNano": (began + to).as_nanos().to_string(),
            })
        };
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let mut request =
        entry(root, span.parent.map(|p| p.span), "infer", 2, Duration::ZERO, span.total);
    request["attributes"] = json!([
        text("edgecut.model", &span.model.0),
        text("edgecut.version", &span.model.1),
        text("edgecut.request_id", &span.id),
    ]);
    if !span.refused.is_empty() {
        // Code 2 is ERROR.
        request["status"] = json!({"code": 2, "message": span.refused});
    }
    let mut spans = vec![request];
    if let Some((queue, compute)) = span.parts {
        spans.push(entry(ids.next(), Some(root), "queue", 1, Duration::ZERO, queue));
        spans.push(entry(ids.next(), Some(root), "compute", 1, queue, queue + compute));
    }
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "edgecut-serve")]},
        "scopeSpans": [{"scope": {"name": "edgecut"}, "spans": spans}],
    }]})
}

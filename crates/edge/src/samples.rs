//! Samples that the device was not sure of: stored, and forwarded to a server when there is time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use edgecut_collab::certify::Score;
use edgecut_graph::Tensor;
use edgecut_oip::grpc::{Message, ModelInferRequest};
use edgecut_oip::{InferRequest, WireTensor};

use crate::edge::{Edge, Question, lock};
use crate::picture::Inputs;
use crate::queue::Queue;
use crate::remote::{Ask, Refusal};

/// How often it is looked whether samples wait, and how long a server may take for one.
const FORWARD: Duration = Duration::from_millis(200);
const SAMPLE: Duration = Duration::from_secs(10);

/// How often servers may fail at a sample before it is set aside, and the longest pause between. Two
/// minutes: a server that fails at everything for a moment is no reason to give up on samples.
const FAILURES: u32 = 16;
const PAUSE: Duration = Duration::from_secs(10);

/// The queue. It may take its time, so that only threads which may wait touch it.
pub(crate) struct Kept {
    queue: Arc<Mutex<dyn Queue>>,
    waiting: AtomicUsize,
    aside: AtomicUsize,
    bytes: AtomicU64,
}

impl Kept {
    pub(crate) fn new(queue: Arc<Mutex<dyn Queue>>) -> Kept {
        let kept = Kept {
            waiting: AtomicUsize::default(),
            aside: AtomicUsize::default(),
            bytes: AtomicU64::default(),
            queue,
        };
        kept.with(|_| ());
        kept
    }

    /// How many wait, without waiting for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many nobody takes.
    pub(crate) fn aside(&self) -> usize {
        self.aside.load(Ordering::Relaxed)
    }

    /// What all of them take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn with<T>(&self, work: impl FnOnce(&mut dyn Queue) -> T) -> T {
        let mut queue = lock(&self.queue);
        let done = work(&mut *queue);
        self.waiting.store(queue.waiting(), Ordering::Relaxed);
        self.aside.store(queue.aside(), Ordering::Relaxed);
        self.bytes.store(queue.bytes(), Ordering::Relaxed);
        done
    }
}

/// Does `work` with what is kept, on a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(
    kept: &Arc<Kept>,
    work: impl FnOnce(&mut dyn Queue) -> std::io::Result<T> + Send + 'static,
) -> Option<T> {
    let kept = Arc::clone(kept);
    tokio::task::spawn_blocking(move || kept.with(work)).await.ok()?.ok()
}

/// How sure an answer is: the probability of its class. Outputs that are no probabilities become some
/// (softmax).
pub(crate) fn confidence(outputs: &[Tensor]) -> f32 {
    let values = outputs.first().map(Tensor::to_f32).unwrap_or_default();
    let sum: f32 = values.iter().sum();
    let distribution = values.iter().all(|v| (0.0..=1.0).contains(v)) && (sum - 1.0).abs() < 1e-2;
    Score::Max.of(&values, distribution) as f32
}

/// Stores a sample for later. The disk's time is not the request's.
pub(crate) fn keep(edge: &Arc<Edge>, question: &Question, inputs: &Arc<Inputs>) {
    let (edge, inputs) = (Arc::clone(edge), Arc::clone(inputs));
    let id = question.id.clone();
    // The large model of a cascade may make another input of it.
    let file = question.picture.as_ref().filter(|_| edge.is_cascade()).zip(edge.inputs().first());
    let picture = file.and_then(|(picture, port)| {
        WireTensor::from_elements(&port.name, vec![1], &[&picture.file]).ok()
    });
    tokio::task::spawn_blocking(move || {
        // What cannot be decoded is no sample.
        let Ok(inputs) = inputs.get() else { return };
        let ports = edge.inputs().iter().zip(inputs);
        let wire = match picture {
            Some(file) => vec![file],
            None => ports.map(|(port, t)| WireTensor::from_tensor(&port.name, t)).collect(),
        };
        let model = edge.name().to_string();
        let request = InferRequest { model, id, inputs: wire, ..Default::default() };
        let record = ModelInferRequest::from(request).encode_to_vec();
        let Some(kept) = &edge.kept else { return };
        match kept.with(|queue| queue.push(&record)) {
            Ok(true) => edge.metrics.stored.add(),
            // A broken disk is a full one to whoever wants to store.
            Ok(false) | Err(_) => edge.metrics.overflowed.add(),
        }
    });
}

/// What servers made of the oldest sample.
#[derive(Default)]
struct Oldest {
    /// Those that will never take it.
    refused: Vec<usize>,
    /// How often one failed at it.
    failures: u32,
    /// What the last one said.
    why: String,
}

impl Oldest {
    /// A server will never take it; another one may, at once.
    fn refused_by(&mut self, server: usize, why: String) -> Duration {
        self.refused.push(server);
        self.why = why;
        Duration::ZERO
    }
}

/// Forwards samples until the last one else lets `edge` go.
pub(crate) async fn forward(edge: Weak<Edge>) {
    let mut oldest = Oldest::default();
    loop {
        let pause = match edge.upgrade() {
            Some(edge) => forward_one(&edge, &mut oldest).await,
            None => return,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Forwards the oldest sample, if there is one and a server for it; how long the next may wait.
async fn forward_one(edge: &Arc<Edge>, oldest: &mut Oldest) -> Duration {
    let Some(kept) = edge.kept.clone().filter(|kept| kept.waiting() > 0) else { return FORWARD };
    let server = {
        let (now, mut state) = edge.state();
        state.servers.pick_of(now, |server| !oldest.refused.contains(&server))
    };
    // Where all that can be asked have refused it, it is in the way of those behind it.
    if server.is_none() && oldest.refused.is_empty() {
        return FORWARD;
    }
    let Some(Some(record)) = on_disk(&kept, |queue| queue.first()).await else { return FORWARD };
    let message = ModelInferRequest::decode(record.as_slice()).ok();
    let Some(request) = message.and_then(|message| InferRequest::try_from(message).ok()) else {
        oldest.why = "it cannot be read".into();
        return set_aside(edge, &kept, record, "unknown", oldest).await;
    };
    let id = request.id.clone();
    let Some(server) = server else { return set_aside(edge, &kept, record, &id, oldest).await };
    let foreign = request.model != edge.name();
    let ask = Ask {
        model: request.model,
        id: request.id,
        inputs: request.inputs,
        left: SAMPLE,
        ..Ask::default()
    };
    let answer = tokio::time::timeout(SAMPLE, edge.remotes[server].infer(ask)).await;
    match answer {
        Ok(Ok(_)) => {
            *oldest = Oldest::default();
            edge.metrics.forwarded.add();
            match on_disk(&kept, move |queue| queue.forget(&record)).await {
                Some(()) => Duration::ZERO,
                None => FORWARD,
            }
        }
        Ok(Err(Refusal::Invalid(why))) => oldest.refused_by(server, why),
        // A sample of a model that is no longer the device's: nobody will serve it again.
        Ok(Err(Refusal::Other(why))) if foreign => oldest.refused_by(server, why),
        // It has no such model yet, or another version: all samples wait for the right one.
        Ok(Err(Refusal::Other(_))) | Err(_) => FORWARD,
        Ok(Err(Refusal::Failed(why))) => {
            oldest.failures += 1;
            oldest.why = why;
            if oldest.failures >= FAILURES {
                return set_aside(edge, &kept, record, &id, oldest).await;
            }
            (FORWARD * (1 << oldest.failures.min(8))).min(PAUSE)
        }
        Ok(Err(Refusal::Unreachable(_))) => {
            let (now, mut state) = edge.state();
            state.servers.get_mut(server).breaker.failed(now);
            FORWARD
        }
    }
}

/// Sets the oldest sample aside, and says so.
async fn set_aside(
    edge: &Arc<Edge>,
    kept: &Arc<Kept>,
    record: Vec<u8>,
    id: &str,
    oldest: &mut Oldest,
) -> Duration {
    let Oldest { why, .. } = std::mem::take(oldest);
    if on_disk(kept, move |queue| queue.set_aside(&record)).await.is_none() {
        return FORWARD;
    }
    edge.metrics.set_aside.add();
    (edge.settings.tell)(&format!("sample '{id}' is set aside: no server takes it ({why})"));
    Duration::ZERO
}

//! What goes on beside requests: servers are asked whether they are ready, and samples that the device
//! was not sure of go to a server when there is time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use edgecut_collab::certify::Score;
use edgecut_graph::Tensor;
use edgecut_oip::grpc::{Message, ModelInferRequest};
use edgecut_oip::{InferRequest, WireTensor};

use crate::clock::Time;
use crate::edge::{Edge, Question, lock};
use crate::remote::{Ask, Refusal};
use crate::store::Store;

/// How often servers are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Longest time to a server's word that it is ready.
const READY: Duration = Duration::from_secs(1);

/// How often it is looked whether samples wait, and how long a server may take for one.
const FORWARD: Duration = Duration::from_millis(200);
const SAMPLE: Duration = Duration::from_secs(10);

/// Samples on disk. The disk may take its time, so that only threads which may wait touch it.
pub(crate) struct Kept {
    store: Mutex<Store>,
    waiting: AtomicUsize,
}

impl Kept {
    pub(crate) fn new(store: Store) -> Kept {
        let waiting = AtomicUsize::new(store.waiting());
        Kept { store: Mutex::new(store), waiting }
    }

    /// How many wait, without waiting for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = lock(&self.store);
        let done = work(&mut store);
        self.waiting.store(store.waiting(), Ordering::Relaxed);
        done
    }
}

/// Does `work` with what is kept, on a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(
    kept: &Arc<Kept>,
    work: impl FnOnce(&mut Store) -> std::io::Result<T> + Send + 'static,
) -> Option<T> {
    let kept = Arc::clone(kept);
    tokio::task::spawn_blocking(move || kept.with(work)).await.ok()?.ok()
}

/// Begins to watch; ends when the last one else lets `edge` go.
pub(crate) fn begin(edge: &Arc<Edge>) {
    tokio::spawn(watch(Arc::downgrade(edge)));
    if edge.kept.is_some() && !edge.remotes.is_empty() {
        tokio::spawn(forward(Arc::downgrade(edge)));
    }
}

async fn watch(edge: Weak<Edge>) {
    loop {
        {
            let Some(edge) = edge.upgrade() else { return };
            let (now, mut state) = edge.state();
            for server in state.servers.probes(now) {
                tokio::spawn(probe(Arc::downgrade(&edge), server));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn probe(edge: Weak<Edge>, server: usize) {
    let Some(remote) = edge.upgrade().map(|edge| edge.remotes[server].clone()) else { return };
    let began = std::time::Instant::now();
    let ready = remote.is_ready(READY).await;
    let elapsed = began.elapsed().as_nanos() as Time;
    let Some(edge) = edge.upgrade() else { return };
    let (now, mut state) = edge.state();
    if ready {
        state.servers.heard(now, server);
        let known = state.servers.get_mut(server);
        known.link.exchanged(now, 0, elapsed);
        known.breaker.succeeded();
    } else {
        state.servers.get_mut(server).breaker.failed(now);
        edge.metrics.probes_failed.add();
    }
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
pub(crate) fn keep(edge: &Arc<Edge>, question: &Question, inputs: &Arc<Vec<Tensor>>) {
    let (edge, inputs) = (Arc::clone(edge), Arc::clone(inputs));
    let id = question.id.clone();
    tokio::task::spawn_blocking(move || {
        let ports = edge.inputs().iter().zip(inputs.iter());
        let wire = ports.map(|(port, tensor)| WireTensor::from_tensor(&port.name, tensor));
        let model = edge.name().to_string();
        let request = InferRequest { model, id, inputs: wire.collect(), ..Default::default() };
        let record = ModelInferRequest::from(request).encode_to_vec();
        let Some(kept) = &edge.kept else { return };
        match kept.with(|store| store.push(&record)) {
            Ok(true) => edge.metrics.stored.add(),
            // A broken disk is a full one to whoever wants to store.
            Ok(false) | Err(_) => edge.metrics.overflowed.add(),
        }
    });
}

async fn forward(edge: Weak<Edge>) {
    loop {
        let forwarded = match edge.upgrade() {
            Some(edge) => forward_one(&edge).await,
            None => return,
        };
        if !forwarded {
            tokio::time::sleep(FORWARD).await;
        }
    }
}

/// Forwards the oldest sample, if there is one and no request under way; whether there may be another.
async fn forward_one(edge: &Arc<Edge>) -> bool {
    let Some(kept) = edge.kept.clone().filter(|kept| kept.waiting() > 0) else { return false };
    let server = {
        let (now, mut state) = edge.state();
        state.servers.pick(now)
    };
    let Some(server) = server else { return false };
    let Some(Some(record)) = on_disk(&kept, Store::first).await else { return false };
    let message = ModelInferRequest::decode(record.as_slice()).ok();
    let request = message.and_then(|message| InferRequest::try_from(message).ok());
    if let Some(request) = request {
        let ask = Ask {
            model: request.model,
            id: request.id,
            inputs: request.inputs,
            left: SAMPLE,
            ..Ask::default()
        };
        let answer = tokio::time::timeout(SAMPLE, edge.remotes[server].infer(ask)).await;
        match answer {
            Ok(Ok(_)) => edge.metrics.forwarded.add(),
            // It has no such model: it will never take the sample, but another server may.
            Ok(Err(Refusal::Other(_))) | Err(_) => return false,
            Ok(Err(Refusal::Unreachable(_))) => {
                let (now, mut state) = edge.state();
                state.servers.get_mut(server).breaker.failed(now);
                return false;
            }
        }
    }
    // What cannot be read is nobody's any more.
    let len = record.len();
    on_disk(&kept, move |store| store.forget_first(len)).await.is_some()
}

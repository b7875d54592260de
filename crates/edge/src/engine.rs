//! The device's processor: every half of every plan ready to run, and one thread that runs them, the
//! nearest deadline first.

use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use edgecut_collab::Halves;
use edgecut_collab::codec::Codec;
use edgecut_graph::{DType, Graph, Shape, Tensor, ValueId, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};

use crate::clock::Time;
use crate::plans::{self, Plans};
use crate::{EdgeError, Result};

/// An input or output of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: DType,
    /// Its shape for one request.
    pub shape: Vec<usize>,
}

/// A model and its halves, ready to run.
pub struct Warm {
    whole: Session,
    /// By plan; none where nothing is cut.
    halves: Vec<Option<Half>>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

struct Half {
    head: Session,
    tail: Session,
    wiring: Arc<Halves>,
    codecs: Vec<Option<Codec>>,
    crossing: Vec<Port>,
    answered: Arc<[Port]>,
}

/// What a head made.
pub struct Made {
    wiring: Arc<Halves>,
    /// What the tail answers with.
    pub answered: Arc<[Port]>,
    head: Vec<Tensor>,
    crossing: Vec<Tensor>,
    /// What is sent for each input of the tail.
    pub sent: Vec<Sent>,
}

/// A tensor on its way.
pub struct Sent {
    /// The tail's input.
    pub port: Port,
    /// How it is sent.
    pub content: Content,
}

/// How a tensor is sent.
pub enum Content {
    /// As it is.
    Plain(Tensor),
    /// Coded, with the lengths at which it may be cut off.
    Coded(Vec<u8>, Vec<usize>),
}

impl Warm {
    /// Reads and compiles everything that `plans` of `folder` names, for `threads` threads.
    ///
    /// # Errors
    /// The file that is missing, wrong, or not what the plans were written with.
    pub fn load(folder: &Path, plans: &Plans, threads: usize) -> Result<Warm> {
        let pool = Arc::new(Pool::new(threads));
        let path = plans::whole_file(folder, &plans.name);
        let (whole, _) = plans::read_model(&path)?;
        let same = |expected: &Option<String>, found: String, path: &Path| {
            let problem = "is not the file that plans.json was written with: write both again";
            let same = expected.as_ref().is_none_or(|expected| *expected == found);
            same.then_some(()).ok_or_else(|| EdgeError::file(path, problem))
        };
        let mut halves = vec![];
        for plan in &plans.plans {
            let Some(cut) = plan.cut else {
                same(&plan.digest, plans::digest(&path, &[])?, &path)?;
                halves.push(None);
                continue;
            };
            let tail_path = plans::server_file(folder, &plans.name, Some(cut));
            let (tail, codecs) = plans::read_model(&tail_path)?;
            same(&plan.digest, plans::digest(&tail_path, &codecs)?, &tail_path)?;
            let head_path = plans::head_file(folder, cut);
            let head = onnx::import(&head_path)?;
            halves.push(Some(Half::new(&whole, head, tail, codecs, &pool, &head_path)?));
        }
        let ports = |ids: &[ValueId]| ids.iter().map(|&id| port(&whole, id)).collect();
        let (inputs, outputs) = (ports(&whole.inputs), ports(&whole.outputs));
        Ok(Warm { whole: session(&whole, &pool)?, halves, inputs, outputs })
    }

    /// The small model of a cascade alone, with the names of `large` and the form of its answer.
    ///
    /// # Errors
    /// Where a graph cannot be compiled.
    pub fn small(small: &Graph, large: &Graph, plans: usize, threads: usize) -> Result<Warm> {
        let pool = Arc::new(Pool::new(threads));
        let called = |(own, other): (&ValueId, &ValueId)| Port {
            name: large.value(*other).name.clone(),
            ..port(small, *own)
        };
        Ok(Warm {
            whole: session(small, &pool)?,
            halves: (0..plans).map(|_| None).collect(),
            inputs: small.inputs.iter().zip(&large.inputs).map(called).collect(),
            outputs: large.outputs.last().map(|&id| port(large, id)).into_iter().collect(),
        })
    }

    /// The model's inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The model's outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The whole model.
    ///
    /// # Errors
    /// Where inputs do not fit.
    pub fn whole(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(self.whole.infer(inputs)?)
    }

    /// The device's part of plan `index`, a cut, coded.
    ///
    /// # Errors
    /// Where inputs do not fit, or the plan is no cut.
    pub fn head(&mut self, index: usize, inputs: &[Tensor]) -> Result<Made> {
        let half = self.half(index)?;
        let head = half.head.infer(&half.wiring.head_inputs(inputs))?;
        let crossing = half.wiring.crossing(inputs, &head);
        let mut sent = vec![];
        for ((tensor, codec), port) in crossing.iter().zip(&half.codecs).zip(&half.crossing) {
            let content = match codec {
                Some(codec) => {
                    let stream = codec.encode(tensor)?;
                    let ends = codec.ends(&stream)?;
                    Content::Coded(stream, ends)
                }
                None => Content::Plain(tensor.clone()),
            };
            sent.push(Sent { port: port.clone(), content });
        }
        let (wiring, answered) = (Arc::clone(&half.wiring), Arc::clone(&half.answered));
        Ok(Made { wiring, answered, head, crossing, sent })
    }

    /// The rest of plan `index`, a cut, computed here behind its head.
    ///
    /// # Errors
    /// As [`Warm::head`].
    pub fn rest(&mut self, index: usize, inputs: &[Tensor], made: &Made) -> Result<Vec<Tensor>> {
        let half = self.half(index)?;
        let tail = half.tail.infer(&made.crossing)?;
        Ok(made.answer(inputs, &tail))
    }

    fn half(&mut self, index: usize) -> Result<&mut Half> {
        let half = self.halves.get_mut(index).and_then(Option::as_mut);
        half.ok_or_else(|| EdgeError::Request(format!("plan {index} cuts nothing")))
    }
}

impl Made {
    /// The model's outputs, with those of the tail, wherever it was computed.
    pub fn answer(&self, inputs: &[Tensor], tail: &[Tensor]) -> Vec<Tensor> {
        self.wiring.answer(inputs, &self.head, tail)
    }
}

impl Half {
    fn new(
        whole: &Graph,
        head: Graph,
        tail: Graph,
        codecs: Vec<Option<Codec>>,
        pool: &Arc<Pool>,
        path: &Path,
    ) -> Result<Half> {
        let sessions = [session(&head, pool)?, session(&tail, pool)?];
        let crossing = tail.inputs.iter().map(|&id| port(&tail, id)).collect();
        let answered = tail.outputs.iter().map(|&id| port(&tail, id)).collect();
        let wiring = Halves::of_parts(whole, head, tail).map_err(|e| EdgeError::file(path, e))?;
        // The graphs have done their work.
        let wiring = Arc::new(Halves { head: None, tail: None, ..wiring });
        let [head, tail] = sessions;
        Ok(Half { head, tail, wiring, codecs, crossing, answered })
    }
}

fn session(graph: &Graph, pool: &Arc<Pool>) -> Result<Session> {
    Ok(Session::new(Arc::new(compile(graph, &CompileOptions::default())?), Arc::clone(pool)))
}

fn port(graph: &Graph, id: ValueId) -> Port {
    let value = graph.value(id);
    let shape: &Shape = &value.shape;
    Port { name: value.name.clone(), dtype: value.dtype, shape: shape.with_symbols(1) }
}

type Work = Box<dyn FnOnce(&mut Warm) + Send>;

struct Job {
    due: Time,
    /// Of two with the same deadline the one that came first.
    order: u64,
    planned_ns: Time,
    cancelled: Arc<AtomicBool>,
    work: Work,
}

impl PartialEq for Job {
    fn eq(&self, other: &Job) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Job) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Job) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

#[derive(Default)]
struct Queue {
    jobs: BinaryHeap<Job>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Planned time of what is queued or runs.
    backlog_ns: AtomicU64,
    order: AtomicU64,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A queue is whole after every statement that changes it.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The thread.
pub struct Engine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A job that may be cancelled; dropping it does nothing.
#[derive(Clone)]
pub struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// Nobody waits for it any more: it is not begun, if it has not been.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives none.
    pub fn start(mut warm: Warm) -> std::io::Result<Engine> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let run = move || {
            while let Some(job) = next(&own) {
                if !job.cancelled.load(Ordering::Relaxed) {
                    (job.work)(&mut warm);
                }
                own.backlog_ns.fetch_sub(job.planned_ns, Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("engine".into()).spawn(run)?;
        Ok(Engine { shared, thread: Some(thread) })
    }

    /// Runs `work`, which is planned to take `planned_ns`, before what is due after `due`.
    pub fn submit(
        &self,
        due: Time,
        planned_ns: Time,
        work: impl FnOnce(&mut Warm) + Send + 'static,
    ) -> Ticket {
        let cancelled = Arc::new(AtomicBool::new(false));
        let order = self.shared.order.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket(Arc::clone(&cancelled));
        self.shared.backlog_ns.fetch_add(planned_ns, Ordering::Relaxed);
        let job = Job { due, order, planned_ns, cancelled, work: Box::new(work) };
        self.shared.queue().jobs.push(job);
        self.shared.changed.notify_one();
        ticket
    }

    /// Planned time of everything that was submitted and is not done.
    pub fn backlog_ns(&self) -> Time {
        self.shared.backlog_ns.load(Ordering::Relaxed)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_all();
        // What it has begun it ends.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn next(shared: &Shared) -> Option<Job> {
    let mut queue = shared.queue();
    loop {
        if queue.closed {
            return None;
        }
        if let Some(job) = queue.jobs.pop() {
            return Some(job);
        }
        queue = shared.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}

/// What `work` gives, and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Time) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed().as_nanos() as Time)
}

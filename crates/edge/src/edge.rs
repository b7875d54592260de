//! The device's half in earnest: requests come in, and every one is answered by its deadline.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use edgecut_collab::partition::Placement;
use edgecut_graph::Tensor;
use edgecut_oip::{Traceparent, WireTensor};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::balance::Servers;
use crate::cascade::{self, Cascade, Small};
use crate::clock::{Clock, Monotonic, SECOND, Steady, Time};
use crate::engine::{Engine, Port, Warm, timed};
use crate::ledger::{Admission, Ledger};
use crate::metrics::Metrics;
use crate::picture::Picture;
use crate::plans::{Plan, Plans};
use crate::policy::{Candidate, Policy, Reserve};
use crate::queue::{DiskQueue, Queue};
use crate::remote::{Access, Remote};
use crate::request::Mark;
use crate::samples::Kept;
use crate::status::History;
use crate::{EdgeError, Result, drive, upkeep};

/// How long a server that has another version of a plan is not asked for it.
const SKEWED_NS: Time = 30 * SECOND;

/// Hears what somebody should know of, a line each.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// How the device's half behaves.
#[derive(Clone)]
pub struct Settings {
    /// Addresses of servers; none where there is no cloud half.
    pub servers: Vec<String>,
    /// How they are reached.
    pub access: Access,
    /// Time that a request has where it does not say.
    pub deadline: Duration,
    /// How the device's own answer begins.
    pub reserve: Reserve,
    /// The plan that every request gets, by its word, and without a reserve; to measure it alone.
    pub only: Option<String>,
    /// Threads that compute.
    pub threads: usize,
    /// Most requests under way, and most answers that are remembered by their ids.
    pub most_open: usize,
    /// See there.
    pub most_answered: usize,
    /// Where samples wait that the device was not sure of.
    pub store: Option<Keep>,
    /// Spreads the retries of many devices.
    pub seed: u64,
    /// The small model of a cascade, whose large one is that of the plans.
    pub small: Option<Small>,
    /// Hears of what is set aside, and of alarms.
    pub tell: Tell,
}

/// Samples for later.
#[derive(Clone)]
pub struct Keep {
    /// Where they wait.
    pub queue: Arc<Mutex<dyn Queue>>,
    /// Bytes there at most.
    pub most_bytes: u64,
    /// Answers of the device with a smaller probability of their class are kept.
    pub confidence: f32,
}

impl Keep {
    /// In `folder`, which holds `most_bytes` at most, what is less sure than `confidence`.
    ///
    /// # Errors
    /// Where the folder cannot be used, or another process uses it.
    pub fn in_folder(folder: &Path, most_bytes: u64, confidence: f32) -> Result<Keep> {
        let queue = DiskQueue::open(folder, most_bytes).map_err(|e| EdgeError::file(folder, e))?;
        Ok(Keep { queue: Arc::new(Mutex::new(queue)), most_bytes, confidence })
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            servers: vec![],
            access: Access::default(),
            deadline: Duration::from_millis(500),
            reserve: Reserve::AtOnce,
            only: None,
            threads: 1,
            most_open: 256,
            most_answered: 4096,
            store: None,
            seed: 0,
            small: None,
            tell: Arc::new(|_| {}),
        }
    }
}

/// What is asked of the device.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Its name; the same again gets the same answer. Empty where it has none.
    pub id: String,
    /// The model's inputs, in its order; none where a picture becomes them.
    pub inputs: Vec<Tensor>,
    /// What becomes the model's only input when the device needs it, and what a server gets where that is
    /// the plan.
    pub picture: Option<Picture>,
    /// Time until the deadline; none leaves it to the settings.
    pub left: Option<Duration>,
    /// The span that it comes from.
    pub trace: Option<Traceparent>,
}

/// The one answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it is from.
    pub mark: Mark,
    /// The model's outputs, in its order; none where it is late.
    pub outputs: Vec<Tensor>,
    /// From the question to here.
    pub elapsed: Duration,
    /// Why it is late.
    pub problem: Option<String>,
    /// Whether that is the question's fault: its picture cannot be decoded.
    pub invalid: bool,
}

/// What decisions are made from.
pub(crate) struct State {
    pub(crate) policy: Policy,
    pub(crate) servers: Servers,
    steady: Steady,
    /// Until when a server is not asked for a plan.
    skewed: HashMap<(usize, usize), Time>,
}

impl State {
    /// A server does not have plan `plan` in this version.
    pub(crate) fn skewed(&mut self, now: Time, server: usize, plan: usize) {
        self.skewed.insert((server, plan), now.saturating_add(SKEWED_NS));
    }

    /// How many plans `server` is not asked for.
    pub(crate) fn skewed_of(&self, now: Time, server: usize) -> usize {
        self.skewed.iter().filter(|((at, _), until)| *at == server && now < **until).count()
    }

    /// A server for plan `plan`, which has it in the right version as far as is known.
    pub(crate) fn pick_for(&mut self, now: Time, plan: usize) -> Option<usize> {
        let until = |server| self.skewed.get(&(server, plan));
        self.servers.pick_of(now, |server| until(server).is_none_or(|until| now >= *until))
    }

    /// The plans that `server` is not asked for, a bit each.
    pub(crate) fn without(&mut self, now: Time, server: usize) -> u64 {
        self.skewed.retain(|_, until| now < *until);
        let plans = self.skewed.keys().filter(|(at, _)| *at == server);
        plans.fold(0, |bits, (_, plan)| bits | 1 << (*plan).min(63))
    }
}

/// The device's half.
pub struct Edge {
    pub(crate) plans: Plans,
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
    pub(crate) remotes: Vec<Remote>,
    /// What is counted.
    pub metrics: Metrics,
    pub(crate) kept: Option<Arc<Kept>>,
    pub(crate) cascade: Option<Arc<Cascade>>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    state: Mutex<State>,
    pub(crate) history: Mutex<History>,
    ledger: Mutex<Ledger<Answer, oneshot::Sender<Arc<Answer>>>>,
    clock: Box<dyn Clock>,
    began: Instant,
    unnamed: crate::metrics::Counter,
}

impl Edge {
    /// Reads the plans in `folder`, compiles and runs everything once, and begins to watch the servers.
    /// Needs a runtime of tokio.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn start(folder: &Path, settings: Settings) -> Result<Arc<Edge>> {
        Edge::start_with(folder, settings, Box::new(Monotonic::default()))
    }

    /// As [`Edge::start`], with a clock for everything but deadlines, which may jump.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(
        folder: &Path,
        settings: Settings,
        clock: Box<dyn Clock>,
    ) -> Result<Arc<Edge>> {
        let mut plans = Plans::read(folder)?;
        let (mut warm, cascade) = match &settings.small {
            Some(small) => cascade::begin(folder, &mut plans, small, settings.threads)?,
            None => (Warm::load(folder, &plans, settings.threads)?, None),
        };
        // Requests bring pictures as files: nothing is left to encode.
        let times = |plan: &Plan| match plan.times.placement {
            Placement::Picture => Candidate { own_ns: 0, ..plan.times },
            _ => plan.times,
        };
        let candidates = plans.plans.iter().map(times).collect();
        let missing = || EdgeError::file(folder, "no plan is local-only");
        let mut policy = Policy::new(candidates, settings.reserve).ok_or_else(missing)?;
        if let Some(word) = &settings.only {
            let at = plans.find(word).map_err(|problem| EdgeError::file(folder, problem))?;
            if at != policy.local() && settings.servers.is_empty() {
                let problem = format!("plan '{word}' needs a server: name one with --server");
                return Err(EdgeError::file(folder, problem));
            }
            policy.fix(at);
        }
        warm_up(&mut warm, &mut policy)?;
        let remote = |url: &String| Remote::new(url, &settings.access);
        let remotes: Vec<Remote> = settings.servers.iter().map(remote).collect::<Result<_>>()?;
        let kept = settings.store.as_ref().map(|keep| Arc::new(Kept::new(Arc::clone(&keep.queue))));
        let servers = Servers::new(remotes.len(), settings.seed);
        let state = State { policy, servers, steady: Steady::default(), skewed: HashMap::new() };
        let (inputs, outputs) = (warm.inputs().to_vec(), warm.outputs().to_vec());
        let engine = Engine::start(warm).map_err(|e| EdgeError::file(folder, e))?;
        let edge = Arc::new(Edge {
            ledger: Mutex::new(Ledger::new(settings.most_open, settings.most_answered)),
            state: Mutex::new(state),
            history: Mutex::default(),
            metrics: Metrics::default(),
            unnamed: crate::metrics::Counter::default(),
            plans,
            settings,
            engine,
            remotes,
            kept,
            cascade,
            inputs,
            outputs,
            clock,
            began: Instant::now(),
        });
        upkeep::begin(&edge);
        Ok(edge)
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.plans.name
    }

    /// What may become of a request, in words.
    pub fn plans(&self) -> Vec<String> {
        let word = |plan: &Plan| match plan.times.placement {
            Placement::Split => format!("{} at {}", plan.word(), plan.sends.join(" + ")),
            _ => plan.word(),
        };
        self.plans.plans.iter().map(word).collect()
    }

    /// The model's inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The model's outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Asks, and waits for the answer, which comes by the deadline. Who stops waiting changes nothing.
    ///
    /// # Errors
    /// Where inputs do not fit or the id is too long, and where too many requests are under way.
    pub async fn ask(self: &Arc<Edge>, mut question: Question) -> Result<Arc<Answer>> {
        let arrived = Instant::now();
        if question.picture.is_none() {
            self.check(&question.inputs)?;
        }
        let picture = question.picture.is_some();
        if self.cascade.as_ref().is_some_and(|cascade| cascade.plan(picture).is_none()) {
            let problem =
                "the small and the large model make different inputs of a picture: send its file";
            return Err(EdgeError::Request(problem.into()));
        }
        if question.id.is_empty() {
            self.unnamed.add();
            question.id = format!("unnamed-{}", self.unnamed.get());
        }
        let (waiter, answer) = oneshot::channel();
        let admission = self.ledger().admit(&question.id, waiter);
        match admission {
            Admission::New => {
                tokio::spawn(drive::request(Arc::clone(self), question, arrived));
            }
            Admission::Joined => self.metrics.repeated.add(),
            Admission::Known(answer) => {
                self.metrics.repeated.add();
                return Ok(answer);
            }
            Admission::Full => {
                self.metrics.refused.add();
                return Err(EdgeError::Busy);
            }
            Admission::BadId => return Err(EdgeError::Request("id: at most 256 bytes".into())),
        }
        answer.await.map_err(|_| EdgeError::Request("the device's half is closing".into()))
    }

    /// Gives `id` its answer; false where it has one.
    pub(crate) fn answer(&self, id: &str, answer: Answer) -> bool {
        let (mark, elapsed, invalid) = (answer.mark, answer.elapsed, answer.invalid);
        let Some((waiters, answer)) = self.ledger().answer(id, answer) else { return false };
        match invalid {
            true => self.metrics.invalid.add(),
            false => self.metrics.answered(mark, elapsed.as_nanos() as Time),
        }
        for waiter in waiters {
            // Who does not wait any more may ask again.
            let _ = waiter.send(Arc::clone(&answer));
        }
        true
    }

    /// An audited request of a cascade: whether both models differ.
    pub(crate) fn observed(&self, differs: bool) {
        if let Some(alarm) = self.cascade.as_ref().and_then(|cascade| cascade.observe(differs)) {
            (self.settings.tell)(&alarm);
        }
    }

    /// Whether a certificate says which answers of the device will do.
    pub fn is_cascade(&self) -> bool {
        self.cascade.is_some()
    }

    /// Now, as the engine orders its work: no clock that may jump.
    pub(crate) fn engine_time(&self) -> Time {
        self.began.elapsed().as_nanos() as Time
    }

    /// Now, for everything but deadlines, with what decisions are made from.
    pub(crate) fn state(&self) -> (Time, MutexGuard<'_, State>) {
        let mut state = lock(&self.state);
        let now = state.steady.at(self.clock.now());
        (now, state)
    }

    /// Requests under way.
    pub(crate) fn open(&self) -> usize {
        self.ledger().open()
    }

    /// Samples that wait to be forwarded.
    pub fn waiting(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.waiting())
    }

    /// Samples that no server takes.
    pub fn aside(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.aside())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<Answer, oneshot::Sender<Arc<Answer>>>> {
        lock(&self.ledger)
    }

    fn check(&self, inputs: &[Tensor]) -> Result<()> {
        let (given, wanted) = (inputs.len(), self.inputs.len());
        if given != wanted {
            return Err(EdgeError::Request(format!("{given} inputs, the model has {wanted}")));
        }
        let fits = |(port, tensor): &(&Port, &Tensor)| {
            port.dtype == tensor.dtype() && port.shape == tensor.shape()
        };
        match self.inputs.iter().zip(inputs).find(|pair| !fits(pair)) {
            None => Ok(()),
            Some((port, tensor)) => Err(EdgeError::Request(format!(
                "input '{}' is {} {:?}, the model takes {} {:?}",
                port.name,
                tensor.dtype(),
                tensor.shape(),
                port.dtype,
                port.shape
            ))),
        }
    }
}

/// Locks what no panic leaves half-changed.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Inputs of the right form.
pub(crate) fn zeros(warm: &Warm) -> Result<Vec<Tensor>> {
    let zeros = |port: &Port| {
        let bytes = port.shape.iter().product::<usize>() * port.dtype.bytes();
        let tensor =
            WireTensor::new(&port.name, port.dtype.into(), port.shape.clone(), vec![0; bytes]);
        tensor.and_then(|tensor| tensor.to_tensor()).map_err(|e| EdgeError::Request(e.to_string()))
    };
    warm.inputs().iter().map(zeros).collect()
}

/// Runs everything, so that no request meets cold code, and sees how fast the device is beside the plans.
fn warm_up(warm: &mut Warm, policy: &mut Policy) -> Result<()> {
    const RUNS: usize = 3;
    let inputs = zeros(warm)?;
    for index in 0..policy.candidates().len() {
        if policy.candidates()[index].placement == Placement::Split {
            let made = warm.head(index, &inputs)?;
            warm.rest(index, &inputs, &made)?;
        }
    }
    let planned = policy.candidates()[policy.local()].own_ns;
    for _ in 0..RUNS {
        let (done, taken) = timed(|| warm.whole(&inputs));
        done?;
        policy.device.worked(planned, taken);
    }
    Ok(())
}

//! A device, a link that misbehaves, and servers that are killed: what answers come of it.

#![allow(dead_code)] // each program uses a part

pub mod proxy;
pub mod server;
pub mod stage;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use edgecut_collab::Halves;
use edgecut_collab::codec::Codec;
use edgecut_collab::partition::{Placement, StepTime, Transfer, Vertices};
use edgecut_edge::clock::{Clock, Monotonic, SECOND, Time};
use edgecut_edge::plans::{Cut, Plans};
use edgecut_edge::policy::{Candidate, Reserve};
use edgecut_edge::request::Mark;
use edgecut_edge::{Answer, Edge, Keep, Question, Settings};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};

use proxy::{Mode, Proxy};
use server::ServerProcess;

/// Forces the instruction set: the device computes without vectors, so that a server of the same machine
/// is faster.
pub const ISA: &str = "EDGECUT_ISA";

/// Bytes a second of a good link and of a narrow one.
const GOOD: u32 = 20_000_000;
const NARROW: u32 = 500_000;

/// Time that a request has.
pub const DEADLINE: Duration = Duration::from_millis(100);

/// How much later than its deadline an answer may be.
pub const SLACK: Duration = Duration::from_millis(5);

/// A clock that is set forward and back.
pub struct Jumping {
    clock: Monotonic,
    offset: Arc<AtomicI64>,
}

impl Clock for Jumping {
    fn now(&self) -> Time {
        let hour = 3600 * SECOND;
        (self.clock.now() + hour).saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests.
    pub requests: usize,
    /// Of them at the same time.
    pub side_by_side: usize,
    /// How long the link stays as it is.
    pub phase: Duration,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Ids that were asked.
    pub ids: usize,
    /// Answers by mark: local, split, cloud, late.
    pub marks: [usize; 4],
    /// Answers behind the deadline and its slack.
    pub behind: usize,
    /// The latest of all, after its deadline.
    pub worst: Duration,
    /// Ids that got two different answers, or none.
    pub wrong: usize,
    /// Answers of the whole model that are not the model's.
    pub differing: usize,
    /// Times that the server was killed.
    pub killed: usize,
    /// Changes of the link.
    pub phases: usize,
    /// Resident memory in bytes after a tenth of the requests and at the end.
    pub memory: [u64; 2],
    /// Samples that were stored.
    pub stored: u64,
    /// Those of them that were forwarded.
    pub forwarded: u64,
    /// Those that still wait at the end.
    pub waiting: u64,
    /// Refusals because of another version.
    pub skewed: u64,
    /// Time that it took.
    pub took: Duration,
}

/// A small network with two cuts, in `folder`. `seed` makes another version.
pub fn write_plans(folder: &Path, seed: u64) -> Plans {
    let graph = edgecut_zoo::build(
        "mobilenet-v2-s28",
        &edgecut_zoo::Options { seed, ..Default::default() },
    );
    let graph = graph.expect("an architecture of the zoo");
    let run = |graph: &Graph, inputs: &[Tensor]| session(graph).infer(inputs).expect("runs");
    let samples: Vec<Tensor> = (0..4).map(|i| picture(&graph, i)).collect();
    let cut = |part: usize| {
        let halves = Halves::of(&graph, &before(&graph, part)).expect("a prefix is closed");
        let head = halves.head.as_ref().expect("a head");
        let crossings: Vec<Vec<Tensor>> = samples
            .iter()
            .map(|input| {
                let inputs = std::slice::from_ref(input);
                halves.crossing(inputs, &run(head, &halves.head_inputs(inputs)))
            })
            .collect();
        let codec = |index: usize| {
            let tensors: Vec<Tensor> = crossings.iter().map(|c| c[index].clone()).collect();
            Some(Codec::calibrate(&tensors, 4).expect("floats"))
        };
        let codecs = (0..halves.crossing.len()).map(codec).collect();
        let own_ns = 200_000 * part as Time;
        let times = Candidate {
            placement: Placement::Split,
            own_ns,
            bytes: 6000 / part as u64,
            server_ns: 100_000,
            rest_ns: 800_000 - own_ns,
        };
        Cut { times, halves, codecs }
    };
    let whole = |placement, own_ns, bytes, server_ns, rest_ns| Candidate {
        placement,
        own_ns,
        bytes,
        server_ns,
        rest_ns,
    };
    let uncut = [
        whole(Placement::Local, 800_000, 0, 0, 0),
        whole(Placement::Raw, 0, 3136, 100_000, 800_000),
    ];
    Plans::write(folder, "net", &graph, &uncut, &[cut(1), cut(2)]).expect("written")
}

/// The nodes of the first `part` quarters of the steps of a plan: where no layer is cut apart, both
/// halves have the bits of the whole.
fn before(graph: &Graph, part: usize) -> Vec<bool> {
    let plan = compile(graph, &CompileOptions::default()).expect("compiles");
    let step = |name: &String| StepTime { name: name.clone(), ..StepTime::default() };
    let steps: Vec<StepTime> = plan.steps().iter().map(|info| step(&info.name)).collect();
    let price = |_: &Graph, _: ValueId, bytes: u64| Transfer { bytes, ..Transfer::default() };
    let (vertices, problem) = Vertices::of_steps(graph, &steps, &price).expect("a valid graph");
    let count = problem.vertices().len();
    let device: Vec<bool> = (0..count).map(|vertex| vertex < count * part / 4).collect();
    vertices.nodes(&device)
}

fn session(graph: &Graph) -> Session {
    let plan = compile(graph, &CompileOptions::default()).expect("compiles");
    Session::new(Arc::new(plan), Arc::new(Pool::new(1)))
}

/// Picture `index`.
fn picture(graph: &Graph, index: u64) -> Tensor {
    let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
    tensor(&shape, index)
}

fn tensor(shape: &[usize], index: u64) -> Tensor {
    let mut rng = Rng::keyed(&[index, 7]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
    Tensor::new(shape.to_vec(), values).expect("fits")
}

/// Different pictures of this shape.
pub fn pictures(shape: &[usize]) -> Vec<Tensor> {
    (0..PICTURES).map(|index| tensor(shape, index)).collect()
}

/// Different pictures; requests take turns with them.
const PICTURES: u64 = 16;

/// Asks `plan.requests` times while link, server, version and clock misbehave.
pub async fn run(folder: &Path, plan: Plan, spawn: impl Fn(&Path, u16) -> ServerProcess) -> Report {
    let began = Instant::now();
    write_plans(&folder.join("plans"), 1);
    write_plans(&folder.join("other"), 2);
    let right = spawn(&folder.join("plans/server"), 0);
    let wrong = spawn(&folder.join("other/server"), 0);
    let proxy = Proxy::start(right.address).await;
    let offset = Arc::new(AtomicI64::new(0));
    let clock = Jumping { clock: Monotonic::default(), offset: Arc::clone(&offset) };
    let store = Keep::in_folder(&folder.join("store"), 1 << 30, 0.2).expect("a free folder");
    let settings = Settings {
        servers: vec![format!("http://{}", proxy.address)],
        deadline: DEADLINE,
        reserve: Reserve::AtOnce,
        most_answered: 2000,
        store: Some(store),
        seed: plan.seed,
        ..Settings::default()
    };
    let edge = Edge::start_with(&folder.join("plans"), settings, Box::new(clock)).expect("starts");
    let shape = edge.inputs()[0].shape.clone();
    let pictures = pictures(&shape);
    let expected = local_answers(&folder.join("plans"), &pictures);
    let ended = Arc::new(AtomicBool::new(false));
    let disturber = tokio::spawn(disturb(Arc::clone(&ended), proxy, [right, wrong], offset, plan));
    let mut report = Report { ids: plan.requests, ..Report::default() };
    let mut rng = Rng::keyed(&[plan.seed, 3]);
    let mut open = tokio::task::JoinSet::new();
    for index in 0..plan.requests {
        while open.len() >= plan.side_by_side {
            tally(&mut report, open.join_next().await, &expected);
        }
        if index == plan.requests / 10 {
            report.memory[0] = resident();
        }
        let (edge, again) = (Arc::clone(&edge), rng.below(20) == 0);
        let picture = index as u64 % PICTURES;
        let input = pictures[picture as usize].clone();
        open.spawn(async move { ask(edge, index, input, picture, again).await });
        // Not faster than the device: it would refuse.
        tokio::time::sleep(Duration::from_micros(rng.below(2000) as u64)).await;
    }
    while let Some(done) = open.join_next().await {
        tally(&mut report, Some(done), &expected);
    }
    ended.store(true, Ordering::Relaxed);
    let (killed, phases, there) = disturber.await.expect("ends");
    (report.killed, report.phases) = (killed, phases);
    report.memory[1] = resident();
    let answered: u64 = Mark::ALL.iter().map(|&mark| edge.metrics.answers(mark)).sum();
    report.wrong += (answered as usize).abs_diff(plan.requests);
    report.skewed = edge.metrics.skewed.get();
    drained(&edge).await;
    report.stored = edge.metrics.stored.get();
    (report.forwarded, report.waiting) = (edge.metrics.forwarded.get(), edge.waiting() as u64);
    report.took = began.elapsed();
    drop(there);
    report
}

type Done = (u64, Duration, Result<Vec<Arc<Answer>>, String>);

/// Asks once, or twice with the same id.
async fn ask(edge: Arc<Edge>, index: usize, input: Tensor, picture: u64, again: bool) -> Done {
    let question =
        || Question { id: format!("r{index}"), inputs: vec![input.clone()], ..Question::default() };
    let began = Instant::now();
    let first = edge.ask(question()).await;
    let elapsed = began.elapsed();
    let mut answers = vec![];
    for answer in std::iter::once(first) {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(error) => return (picture, elapsed, Err(error.to_string())),
        }
    }
    if again {
        match edge.ask(question()).await {
            Ok(answer) => answers.push(answer),
            Err(error) => return (picture, elapsed, Err(error.to_string())),
        }
    }
    (picture, elapsed, Ok(answers))
}

fn tally(
    report: &mut Report,
    done: Option<Result<Done, tokio::task::JoinError>>,
    expected: &[Tensor],
) {
    let Some(Ok((picture, elapsed, Ok(answers)))) = done else {
        report.wrong += 1;
        return;
    };
    let first = &answers[0];
    report.wrong += usize::from(answers.iter().any(|answer| !Arc::ptr_eq(answer, first)));
    report.marks[first.mark as usize] += 1;
    let late = elapsed.saturating_sub(DEADLINE);
    report.worst = report.worst.max(late);
    report.behind += usize::from(late > SLACK);
    let known = &expected[picture as usize];
    report.differing += usize::from(match first.mark {
        Mark::Late => !first.outputs.is_empty(),
        Mark::Local | Mark::Cloud => first.outputs.first() != Some(known),
        // A codec stood between.
        Mark::Split => first.outputs.first().is_none_or(|o| o.shape() != known.shape()),
        // There is no cascade.
        Mark::Exit => true,
    });
}

/// What the model answers to `pictures`.
pub fn local_answers(folder: &Path, pictures: &[Tensor]) -> Vec<Tensor> {
    let path = edgecut_edge::plans::whole_file(folder, "net");
    let mut session = session(&edgecut_graph::onnx::import(&path).expect("a model"));
    let mut answer =
        |input: &Tensor| session.infer(std::slice::from_ref(input)).expect("runs").remove(0);
    pictures.iter().map(&mut answer).collect()
}

/// Kinds of trouble.
const KINDS: usize = 7;

/// Changes link, server and clock until the requests are done; the link is a good one then.
async fn disturb(
    done: Arc<AtomicBool>,
    proxy: Proxy,
    [mut right, wrong]: [ServerProcess; 2],
    offset: Arc<AtomicI64>,
    plan: Plan,
) -> (usize, usize, (Proxy, [ServerProcess; 2])) {
    let mut rng = Rng::keyed(&[plan.seed, 5]);
    let (mut killed, mut phases) = (0, 0);
    // Every kind of trouble comes at least once.
    while !done.load(Ordering::Relaxed) || phases < KINDS * 2 {
        phases += 1;
        // Every other phase is a good one, or a narrow one.
        if phases % 2 == 1 {
            proxy.set(Mode::Pass(if phases % 4 == 1 { GOOD } else { NARROW }));
        } else {
            match phases / 2 % KINDS {
                0 => proxy.set(Mode::Blackhole),
                1 => proxy.set(Mode::Reset),
                2 => proxy.set(Mode::HalfOpen),
                3 => proxy.set(Mode::Slow(Duration::from_millis(30))),
                4 => {
                    right.kill();
                    killed += 1;
                    tokio::time::sleep(plan.phase / 2).await;
                    right = tokio::task::spawn_blocking(move || right.again()).await.expect("runs");
                    proxy.set_server(right.address);
                }
                5 => proxy.set_server(wrong.address),
                _ => {
                    let hours = rng.below(48) as i64 - 24;
                    offset.store(hours * 3600 * SECOND as i64 / 24, Ordering::Relaxed);
                }
            }
        }
        tokio::time::sleep(plan.phase).await;
        if phases / 2 % KINDS == 5 && phases % 2 == 0 {
            proxy.set_server(right.address);
        }
    }
    proxy.set(Mode::Pass(GOOD));
    (killed, phases, (proxy, [right, wrong]))
}

/// Returns when no sample waits any more, or they wait for no reason: the link is good now.
async fn drained(edge: &Arc<Edge>) {
    let end = Instant::now() + Duration::from_secs(60);
    while edge.waiting() > 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Resident memory of this process in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

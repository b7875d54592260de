//! The agent: measures models and this machine for whoever has its pass.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use edgecut_device::DeviceProfile;
use edgecut_device::cost::Sample;
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session};
use tokio::sync::Mutex;

use super::{About, Ask, AskProfile, AskSample, Keys, Ran, Refusal};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::host::Machine;
use crate::work::loaded::Loaded;
use crate::work::nets;
use crate::work::shapes::Shapes;
use crate::work::time::{Subject, in_turn};
use crate::{files, host, interrupt, progress};

/// Largest model that is taken.
const MAX_MODEL_BYTES: usize = 1 << 30;

/// Most runs and longest time for a network of the table that may be asked for.
const MAX_RUNS: u32 = 100_000;
const MAX_SECONDS: f64 = 60.0;

struct Agent {
    /// SHA-256 of the token: comparing hashes tells nothing of how much of a guess was right.
    token: String,
    global: Global,
    folder: PathBuf,
    /// One measurement at a time: two would disturb each other.
    turn: Mutex<()>,
}

/// Serves on `listener` until Ctrl-C. Models lie in `folder` while they are measured.
pub fn serve(listener: TcpListener, keys: &Keys, folder: PathBuf, global: &Global) -> Result<()> {
    let token = files::sha256(keys.token.as_bytes());
    let global = Global { quiet: true, ..global.clone() };
    let agent = Arc::new(Agent { token, global, folder, turn: Mutex::new(()) });
    let routes = Router::new()
        .route("/v1/device", get(about))
        .route("/v1/bench", post(bench))
        .route("/v1/profile", post(profile))
        .route("/v1/sample", post(sample))
        .layer(DefaultBodyLimit::max(MAX_MODEL_BYTES))
        .layer(from_fn_with_state(Arc::clone(&agent), admit))
        .with_state(agent);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::input(format!("no threads for the server: {e}")))?;
    let fail = |e: std::io::Error| Failure::input(format!("the agent cannot serve: {e}"));
    listener.set_nonblocking(true).map_err(fail)?;
    interrupt::listen();
    runtime.block_on(async {
        let (certificate, key) = (keys.certificate.clone(), keys.key.clone());
        let tls = RustlsConfig::from_pem(certificate.into_bytes(), key.into_bytes());
        let tls = tls.await.map_err(fail)?;
        let handle = Handle::new();
        tokio::spawn(stop_when_asked(handle.clone()));
        let server = axum_server::from_tcp_rustls(listener, tls).map_err(fail)?;
        server.handle(handle).serve(routes.into_make_service()).await.map_err(fail)
    })
}

async fn stop_when_asked(handle: Handle<std::net::SocketAddr>) {
    while !interrupt::asked() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    handle.graceful_shutdown(Some(Duration::from_secs(1)));
}

/// Lets a request pass that shows the token; before its body is read.
async fn admit(State(agent): State<Arc<Agent>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let shown = shown.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if files::sha256(shown.as_bytes()) != agent.token {
        let hint = Some("use the pass that this agent wrote when it started".into());
        let refusal = Refusal { error: "the token is not this agent's".into(), hint };
        return (StatusCode::UNAUTHORIZED, Json(refusal)).into_response();
    }
    next.run(request).await
}

async fn about(State(_): State<Arc<Agent>>) -> Json<About> {
    Json(About { machine: Machine::this(host::cores()) })
}

async fn bench(State(agent): State<Arc<Agent>>, Query(ask): Query<Ask>, model: Bytes) -> Response {
    let _turn = agent.turn.lock().await;
    progress::say(&Global { quiet: false, ..agent.global.clone() }, &told(&ask, model.len()));
    let here = Arc::clone(&agent);
    answer(tokio::task::spawn_blocking(move || run(&here, &ask, &model)).await)
}

fn told(ask: &Ask, bytes: usize) -> String {
    format!("{} runs of a .{} model of {bytes} bytes", ask.runs, ask.kind)
}

async fn profile(State(agent): State<Arc<Agent>>, Query(ask): Query<AskProfile>) -> Response {
    let _turn = agent.turn.lock().await;
    progress::say(&Global { quiet: false, ..agent.global.clone() }, "a profile of this machine");
    answer(tokio::task::spawn_blocking(move || measure(&ask)).await)
}

async fn sample(
    State(agent): State<Arc<Agent>>,
    Query(ask): Query<AskSample>,
    model: Bytes,
) -> Response {
    let _turn = agent.turn.lock().await;
    let here = Arc::clone(&agent);
    answer(tokio::task::spawn_blocking(move || step_by_step(&here, &ask, &model)).await)
}

/// What the work gave, or why it failed; a panic in it is a defect and says so.
fn answer<T: serde::Serialize>(
    done: std::result::Result<Result<T>, tokio::task::JoinError>,
) -> Response {
    let refuse =
        |status, error: String, hint| (status, Json(Refusal { error, hint })).into_response();
    match done {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(failure)) => refuse(StatusCode::BAD_REQUEST, failure.message, failure.hint),
        Err(_) => {
            let hint = Some("this is a defect of edgecut: please report it with the model".into());
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal error on the device".into(), hint)
        }
    }
}

fn pool(threads: u16) -> Arc<Pool> {
    let threads = if threads == 0 { host::cores() } else { threads.min(256).into() };
    Arc::new(Pool::new(threads))
}

/// Runs the model from a file, as a user of the device would.
fn run(agent: &Agent, ask: &Ask, model: &[u8]) -> Result<Ran> {
    if !["onnx", "tflite", "ecut"].contains(&ask.kind.as_str()) {
        return Err(Failure::input(format!("kind '{}': allowed are onnx, tflite, ecut", ask.kind)));
    }
    if !(1..=MAX_RUNS).contains(&ask.runs) || ask.warmup > MAX_RUNS || ask.batch == 0 {
        return Err(Failure::input(format!("1 to {MAX_RUNS} runs of at least one picture")));
    }
    with_file(agent, &ask.kind, model, |path| run_file(agent, ask, path))
}

/// What `work` gives for a file with the model.
fn with_file<T>(
    agent: &Agent,
    kind: &str,
    model: &[u8],
    work: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let path = agent.folder.join(format!("model.{kind}"));
    files::write(&path, model)?;
    let done = work(&path);
    let _ = std::fs::remove_file(&path);
    // The name of the file here means nothing to whoever sent it.
    let place = format!("{}: ", path.display());
    done.map_err(|failure| Failure { message: failure.message.replace(&place, ""), ..failure })
}

fn step_by_step(agent: &Agent, ask: &AskSample, model: &[u8]) -> Result<Sample> {
    let time = seconds("seconds", ask.seconds)?;
    with_file(agent, "onnx", model, |path| {
        let plan = Loaded::open(path, &Shapes::default(), false)?;
        let plan = plan.plan(1, &CompileOptions::default())?;
        Ok(Sample::measure(&plan, &pool(ask.threads), time)?)
    })
}

/// How long to measure.
fn seconds(field: &str, value: f64) -> Result<Duration> {
    match (0.0..=MAX_SECONDS).contains(&value) {
        true => Ok(Duration::from_secs_f64(value)),
        false => Err(Failure::input(format!("{field}: allowed is 0 to {MAX_SECONDS} seconds"))),
    }
}

fn run_file(agent: &Agent, ask: &Ask, path: &Path) -> Result<Ran> {
    let pool = pool(ask.threads);
    let began = Instant::now();
    let loaded = Loaded::open(path, &Shapes::default(), false)?;
    let plan = loaded.plan(ask.batch.into(), &CompileOptions::default())?;
    let session = Session::new(plan, Arc::clone(&pool));
    let load_ms = began.elapsed().as_secs_f64() * 1e3;
    let mut subject = Subject::of(session)?;
    let (warmup, runs) = (ask.warmup as usize, ask.runs as usize);
    let mut times = in_turn(&agent.global, &mut [&mut subject], warmup, runs)?;
    Ok(Ran {
        machine: Machine::this(pool.threads()),
        batch: subject.batch(),
        load_ms,
        latency: times.remove(0),
        arena_bytes: subject.arena_bytes(),
        scratch_bytes: subject.scratch_bytes(pool.threads()),
        weight_bytes: subject.weight_bytes(),
        file_bytes: loaded.file_bytes(),
    })
}

/// Stops where somebody pressed Ctrl-C on the device.
struct Watch;

impl edgecut_device::Progress for Watch {
    fn net(&mut self, _: usize, _: usize, _: &str) -> edgecut_device::Result<()> {
        if interrupt::asked() { Err(edgecut_device::DeviceError::Stopped) } else { Ok(()) }
    }
}

fn measure(ask: &AskProfile) -> Result<DeviceProfile> {
    let each = seconds("each", ask.each)?;
    let parts: Vec<&str> = ask.nets.split(',').filter(|part| !part.is_empty()).collect();
    let nets = nets::named(&parts)?;
    Ok(edgecut_device::measure(&nets, &pool(ask.threads), each, &mut Watch)?)
}

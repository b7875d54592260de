//! The local program of the edge: asks `edgecut edge` about pictures, at even times or one by one.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_oip::grpc::{InferenceClient, ModelInferRequest, ModelMetadataRequest};
use edgecut_oip::{InferRequest, InferResponse, WireTensor};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::rig::network::TUNNEL;

/// Pauses between requests that come one by one: what is still on its way belongs to the one before.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// Addresses of `edgecut edge`.
    pub grpc: String,
    pub http: String,
    pub model: String,
    pub pictures: Vec<PathBuf>,
    pub requests: usize,
    /// Time between requests; none asks one by one.
    pub period: Option<Duration>,
    pub deadline: Duration,
}

/// What became of all requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub requests: Vec<One>,
    /// Bytes on the uplink, with everything that the protocols add.
    pub bytes: u64,
    /// Changes of plan, and what one costs in milliseconds, as the edge measured it.
    pub changes: f64,
    pub switch_ms: f64,
    /// Why a request was not answered, apart from deadlines.
    pub problem: Option<String>,
}

/// What became of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct One {
    /// When it was sent after the first, in milliseconds.
    pub at_ms: f64,
    pub ms: f64,
    /// local, split, cloud, late, or dropped.
    pub mark: String,
    /// Which picture.
    pub picture: usize,
    /// Bytes on the uplink meanwhile.
    pub bytes: u64,
}

/// Reads a task from the arguments, says `ready`, waits for a line, asks, and prints what it has seen.
pub fn part(task: &str) -> Result<(), String> {
    let task: Task = serde_json::from_str(task).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let seen = runtime.map_err(|e| e.to_string())?.block_on(all(task))?;
    println!("{}", serde_json::to_string(&seen).map_err(|e| e.to_string())?);
    Ok(())
}

async fn all(task: Task) -> Result<Seen, String> {
    let endpoint = Endpoint::from_shared(format!("http://{}", task.grpc));
    let channel = endpoint.map_err(|e| e.to_string())?.connect().await;
    let client = InferenceClient::new(channel.map_err(|e| format!("{}: {e}", task.grpc))?);
    let asks = Arc::new(asks(&task, client.clone()).await?);
    println!("ready");
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| e.to_string())?;
    let (began, before) = (tokio::time::Instant::now(), sent()?);
    let (mut asked, mut seen) = (JoinSet::new(), vec![]);
    for number in 0..task.requests {
        match task.period {
            Some(period) => tokio::time::sleep_until(began + period * number as u32).await,
            None => tokio::time::sleep(PAUSE).await,
        }
        let (client, asks, deadline) = (client.clone(), Arc::clone(&asks), task.deadline);
        let at_ms = began.elapsed().as_secs_f64() * 1e3;
        asked.spawn(async move { one(client, &asks, number, at_ms, deadline).await });
        if task.period.is_none() {
            seen.extend(asked.join_next().await);
        }
    }
    while let Some(last) = asked.join_next().await {
        seen.push(last);
    }
    let mut all = Seen::default();
    for outcome in seen {
        let (request, problem) = outcome.map_err(|e| e.to_string())??;
        all.requests.push(request);
        all.problem = all.problem.or(problem);
    }
    all.requests.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    all.bytes = sent()? - before;
    let metrics = metrics(&task.http).map_err(|e| format!("{}: {e}", task.http))?;
    let figure = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0.0)
    };
    all.changes = figure("edgecut_edge_plan_changes ");
    all.switch_ms = figure("edgecut_edge_switch_seconds ") * 1e3;
    Ok(all)
}

/// A request for each picture.
async fn asks(task: &Task, mut client: InferenceClient) -> Result<Vec<ModelInferRequest>, String> {
    let model = task.model.clone();
    let about = ModelMetadataRequest { name: model.clone(), version: String::new() };
    let about = client.model_metadata(about).await.map_err(|e| e.to_string())?.into_inner();
    let input = about.inputs.first().ok_or("the model has no input")?;
    let ask = |path: &PathBuf| {
        let file = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let tensor = WireTensor::from_elements(&*input.name, vec![1], &[file]);
        let inputs = vec![tensor.map_err(|e| e.to_string())?];
        Ok(InferRequest { model: model.clone(), inputs, ..InferRequest::default() }.into())
    };
    task.pictures.iter().map(ask).collect()
}

async fn one(
    mut client: InferenceClient,
    asks: &[ModelInferRequest],
    number: usize,
    at_ms: f64,
    deadline: Duration,
) -> Result<(One, Option<String>), String> {
    let picture = number % asks.len();
    let mut request = Request::new(asks[picture].clone());
    request.get_mut().id = format!("request-{number}");
    request.set_timeout(deadline);
    let (began, before) = (Instant::now(), sent()?);
    let answer = client.model_infer(request).await;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    let bytes = sent()? - before;
    let (mark, problem) = match answer.map(|a| InferResponse::try_from(a.into_inner())) {
        Ok(Ok(response)) => match response.parameters.text("edgecut_answered") {
            Ok(Some(mark)) => (mark.to_string(), None),
            _ => return Err("the edge does not say where it answered".into()),
        },
        Ok(Err(error)) => ("dropped".into(), Some(error.to_string())),
        // Whoever of client and edge looked at the clock first.
        Err(_) if began.elapsed() >= deadline => ("late".into(), None),
        Err(status) if status.code() == Code::DeadlineExceeded => ("late".into(), None),
        Err(status) => ("dropped".into(), Some(status.to_string())),
    };
    Ok((One { at_ms, ms, mark, picture, bytes }, problem))
}

/// Bytes that have left the edge.
fn sent() -> Result<u64, String> {
    let path = format!("/sys/class/net/{TUNNEL}/statistics/tx_bytes");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    text.trim().parse().map_err(|e| format!("{path}: {e}"))
}

fn metrics(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

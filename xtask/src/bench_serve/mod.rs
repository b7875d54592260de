//! `cargo xtask bench-serve`: `edgecut serve` beside other servers, at their peak and beyond it.

mod load;
mod options;
mod servers;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use edgecut_graph::{Tensor, model};
use edgecut_oip::grpc::ModelInferRequest;
use edgecut_oip::{InferRequest, InferResponse, WireTensor, names};

use crate::cli::output;
use load::Seen;
pub use options::Options;
use servers::Server;

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let ask = request(&options.model)?;
    let program = crate::program(root, options.program.as_deref())?;
    let models = repository(&options.model).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        // Servers begin where this process is.
        options.cores.iter().try_for_each(|(servers, _)| move_to(servers))?;
        let mut servers = vec![Server::edgecut(&program, options)?];
        for name in &options.others {
            servers.extend(Server::other(name, models.path(), options)?);
        }
        for server in &mut servers {
            server.ready().await?;
        }
        options.cores.iter().try_for_each(|(_, client)| move_to(client))?;
        agree(&servers, &ask).await?;
        let peaks = closed_loops(&servers, &ask, options).await?;
        open_loops(&servers, &ask, options, &peaks).await
    })
}

/// Lets all threads of this process run on these processors only.
fn move_to(cores: &str) -> Result<(), String> {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", cores, &std::process::id().to_string()]);
    output(command).map(drop)
}

/// The model as a folder of models, which other servers read.
fn repository(model: &Path) -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let version = folder.path().join("model/1");
    std::fs::create_dir_all(&version)?;
    std::fs::copy(model, version.join("model.onnx"))?;
    Ok(folder)
}

/// A picture's request.
fn request(path: &Path) -> Result<ModelInferRequest, String> {
    let graph = model::open(path).map_err(|e| e.to_string())?;
    let [input] = graph.inputs.as_slice() else {
        return Err("the model has several inputs".into());
    };
    let value = graph.value(*input);
    let shape = value.shape.with_symbols(1);
    let count: usize = shape.iter().product();
    let pixels: Vec<f32> =
        (0..count).map(|i| ((i * 37 + i / 224) % 256) as f32 / 64.0 - 2.0).collect();
    let tensor = Tensor::new(shape, pixels).map_err(|e| e.to_string())?;
    let inputs = vec![WireTensor::from_tensor(value.name.clone(), &tensor)];
    let id = "bench".into();
    Ok(InferRequest { model: "model".into(), id, inputs, ..InferRequest::default() }.into())
}

/// All servers must give nearly the same answer before anything is timed.
async fn agree(servers: &[Server], ask: &ModelInferRequest) -> Result<(), String> {
    let mut first: Option<Vec<f32>> = None;
    for server in servers {
        let answer = server.connect().await?.model_infer(ask.clone()).await;
        let answer = answer.map_err(|e| format!("{}: {e}", server.name))?.into_inner();
        let answer =
            InferResponse::try_from(answer).map_err(|e| format!("{}: {e}", server.name))?;
        let output = answer.outputs.first().ok_or(format!("{}: no output", server.name))?;
        let values = output.to_tensor().map_err(|e| e.to_string())?.to_f32();
        let Some(wanted) = &first else {
            first = Some(values);
            continue;
        };
        let largest = wanted.iter().fold(0f32, |m, v| m.max(v.abs()));
        let apart = wanted.iter().zip(&values).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        println!("{}: largest difference of outputs {:.2} %", server.name, 100.0 * apart / largest);
        if wanted.len() != values.len() || apart > 0.2 * largest {
            return Err(format!("{} computes something else", server.name));
        }
    }
    Ok(())
}

/// Each server's peak: the best rate over all numbers of connections.
async fn closed_loops(
    servers: &[Server],
    ask: &ModelInferRequest,
    options: &Options,
) -> Result<Vec<f64>, String> {
    let time = Duration::from_secs_f64(options.seconds);
    let mut peaks = vec![0f64; servers.len()];
    println!(
        "\nclosed loop\n{:<10}{:>12}{:>12}{:>10}{:>10}{:>8}",
        "server", "connections", "requests/s", "p50 ms", "p99 ms", "failed"
    );
    for &connections in &options.connections {
        let measure =
            async |server: usize| load::closed(&servers[server], ask, connections, time).await;
        let best = best_of_rounds(servers.len(), options.rounds, measure).await?;
        for ((server, seen), peak) in servers.iter().zip(&best).zip(&mut peaks) {
            *peak = peak.max(seen.rate());
            let (name, rate, failed) = (server.name, seen.rate(), seen.failed.len());
            let (p50, p99) = (seen.quantile(0.5), seen.quantile(0.99));
            println!("{name:<10}{connections:>12}{rate:>12.1}{p50:>10.2}{p99:>10.2}{failed:>8}");
        }
    }
    Ok(peaks)
}

/// The best that is seen of each server, by rate; in each round all are measured in turn.
async fn best_of_rounds(
    servers: usize,
    rounds: usize,
    measure: impl AsyncFn(usize) -> Result<Seen, String>,
) -> Result<Vec<Seen>, String> {
    let mut best: Vec<Option<Seen>> = vec![None; servers];
    for _ in 0..rounds {
        for (server, best) in best.iter_mut().enumerate() {
            let seen = measure(server).await?;
            if best.as_ref().is_none_or(|best| seen.rate() > best.rate()) {
                *best = Some(seen);
            }
        }
    }
    Ok(best.into_iter().flatten().collect())
}

async fn open_loops(
    servers: &[Server],
    ask: &ModelInferRequest,
    options: &Options,
    peaks: &[f64],
) -> Result<(), String> {
    let (time, deadline) =
        (Duration::from_secs_f64(options.seconds), Duration::from_secs_f64(options.deadline / 1e3));
    println!(
        "\nopen loop, {} times the peak, deadline {} ms\n{:<10}{:>10}{:>12}{:>12}{:>10}{:>10}{:>16}{:>10}",
        options.overload,
        options.deadline,
        "server",
        "asked/s",
        "goodput/s",
        "of peak",
        "p50 ms",
        "p99 ms",
        "refused p50 ms",
        "silent"
    );
    let mut limited = InferRequest::try_from(ask.clone()).map_err(|e| e.to_string())?;
    limited.parameters.set(names::TIMEOUT, deadline.as_micros() as i64);
    let limited = limited.into();
    let measure = async |at: usize| {
        let server = &servers[at];
        let ask = if server.name == "edgecut" { &limited } else { ask };
        load::open(server, ask, options.overload * peaks[at], time, deadline).await
    };
    let best = best_of_rounds(servers.len(), options.rounds, measure).await?;
    for ((server, peak), seen) in servers.iter().zip(peaks).zip(&best) {
        let rate = options.overload * peak;
        let refused = seen.failed.get(seen.failed.len() / 2).copied().unwrap_or(f64::NAN);
        let asked = seen.answered.len() + seen.failed.len() + seen.silent;
        let silent = 100.0 * seen.silent as f64 / asked as f64;
        let (good, share) = (seen.rate(), 100.0 * seen.rate() / peak);
        let (p50, p99) = (seen.quantile(0.5), seen.quantile(0.99));
        println!(
            "{:<10}{rate:>10.0}{good:>12.1}{share:>10.0} %{p50:>10.2}{p99:>10.2}{refused:>16.2}{silent:>8.1} %",
            server.name
        );
    }
    Ok(())
}

//! `edgecut serve`: models for other machines, by the Open Inference Protocol V2.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgecut_serve::front::{FrontOptions, Limits, TlsFiles};
use edgecut_serve::models::{Change, LoadOptions, Source};
use edgecut_serve::{HostOptions, ServeError, Server, ServerOptions};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::work::shapes::extents;
use crate::{files, interrupt, progress};

/// Options of `serve`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut serve model.onnx
  edgecut serve detector=det.onnx classifier=cls.ecut --http 0.0.0.0:8000 --grpc 0.0.0.0:8001
  edgecut serve models/ --tls-cert server.pem --tls-key server.key --client-ca devices.pem
  curl localhost:8000/v2/models/model
  curl localhost:8000/v2/models/model/infer -d @request.json

A folder holds NAME/VERSION/model.onnx (or .tflite, .ecut) with codecs of inputs (input-0.codec) and a
config.toml beside it, all of which are read again when they change: shapes, preprocess, max_batch,
max_delay_ms, max_queue, timeout_ms, priority. A model that says how pictures become its input takes
JPEG and PNG files as BYTES. Clients of Triton, KServe and MLServer work unchanged. Figures are at
/metrics (Prometheus), a live page at /. SIGTERM or Ctrl-C: not ready, finish, end.")]
pub struct Args {
    /// Model files, or one folder of models
    #[arg(required = true, value_name = "[NAME=]FILE|FOLDER")]
    models: Vec<String>,
    /// Address of REST; 'none' leaves it out
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    http: String,
    /// Address of gRPC; 'none' leaves it out
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8001")]
    grpc: String,
    /// Batches that are computed at the same time; they share the threads [default: one a thread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Most pictures that are computed together, where that is faster
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    max_batch: u16,
    /// Longest wait for a batch to fill, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    max_delay: f64,
    /// Most requests that wait for a model; more are refused (503, UNAVAILABLE)
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_queue: u32,
    /// How long a request may wait that says nothing about it, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout: Option<f64>,
    /// Wait beyond which requests are refused before they are read, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000.0)]
    max_wait: f64,
    /// Shape of an input, for models that leave height or width open
    #[arg(long = "shape", value_name = "INPUT=NxCxHxW")]
    shapes: Vec<String>,
    /// How pictures become the input, for models that do not say it: torchvision, caffe, tf, lite0,
    /// cifar, pixels
    #[arg(long, value_name = "NAME")]
    preprocess: Option<String>,
    /// How often the models' files are looked at, in milliseconds; 0 reads them once
    #[arg(long, value_name = "MS", default_value_t = 2000.0)]
    poll: f64,
    /// How long requests may take to finish when the server stops, in seconds
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    drain: f64,
    /// Certificate of the server, PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the server, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities of clients, PEM: only clients with a certificate of theirs are served
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// File of tokens, one a line, of which a request must show one (Authorization: Bearer)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Largest request in MiB (413, RESOURCE_EXHAUSTED)
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_body: u16,
    /// Most connections
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_connections: u32,
    /// Append spans of requests to this file (OTLP as JSON, one line each)
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Serves until Ctrl-C or SIGTERM.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let options = options(args, global)?;
    interrupt::listen();
    let told = &mut |change: &Change| tell(change, global);
    let server = Server::start(options, told).map_err(failure)?;
    started(&server, args.tls_cert.is_some(), global)?;
    server.run(&interrupt::asked, told);
    Ok(())
}

fn options(args: &Args, global: &Global) -> Result<ServerOptions> {
    let threads = global.threads();
    let workers = args.workers.map_or(threads, usize::from);
    let load = LoadOptions {
        workers,
        threads: (threads / workers).max(1),
        max_batch: args.max_batch.into(),
        max_delay: milliseconds("--max-delay", args.max_delay)?,
        max_queue: args.max_queue as usize,
        timeout: args.timeout.map(|ms| milliseconds("--timeout", ms)).transpose()?,
        preprocess: args.preprocess.clone(),
        shapes: shapes(&args.shapes)?,
    };
    let address = |text: &String| (text != "none").then(|| text.clone());
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    let front = FrontOptions {
        http: address(&args.http),
        grpc: address(&args.grpc),
        limits: Limits {
            connections: args.max_connections as usize,
            body_bytes: usize::from(args.max_body) << 20,
            ..Limits::default()
        },
        tls: tls.map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            clients: args.client_ca.clone(),
        }),
        tokens: args.token_file.clone(),
    };
    let poll = milliseconds("--poll", args.poll)?;
    Ok(ServerOptions {
        host: HostOptions {
            source: source(&args.models)?,
            load,
            max_wait: milliseconds("--max-wait", args.max_wait)?,
            trace: args.trace.clone(),
        },
        front,
        poll: (!poll.is_zero()).then_some(poll),
        drain: milliseconds("--drain", args.drain * 1e3)?,
    })
}

fn milliseconds(option: &str, value: f64) -> Result<Duration> {
    if !(0.0..=86_400_000.0).contains(&value) {
        return Err(Failure::input(format!("{option}: allowed is 0 to a day")));
    }
    Ok(Duration::from_secs_f64(value / 1e3))
}

/// One folder, or files with the names that they are served under.
fn source(models: &[String]) -> Result<Source> {
    if let [folder] = models
        && Path::new(folder).is_dir()
    {
        return Ok(Source::Folder(folder.into()));
    }
    let mut named: Vec<(String, PathBuf)> = vec![];
    for model in models {
        let (name, file) = match model.split_once('=') {
            Some((name, file)) => (name.to_string(), PathBuf::from(file)),
            None => {
                let file = PathBuf::from(model);
                (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), file)
            }
        };
        if file.is_dir() {
            return Err(Failure::input("is a folder").at(&file).hint("give it alone"));
        }
        if named.iter().any(|(other, _)| *other == name) {
            let hint = "say others: edgecut serve a=one/model.onnx b=two/model.onnx";
            return Err(Failure::input(format!("two models are called '{name}'")).hint(hint));
        }
        named.push((name, file));
    }
    Ok(Source::Files(named))
}

fn shapes(options: &[String]) -> Result<BTreeMap<String, Vec<usize>>> {
    let parse = |option: &String| {
        let wrong =
            || Failure::input(format!("--shape {option}: expected such as images=1x3x640x640"));
        let (name, text) = option.rsplit_once('=').ok_or_else(wrong)?;
        Ok((name.to_string(), extents(text).ok_or_else(wrong)?))
    };
    options.iter().map(parse).collect()
}

fn failure(error: ServeError) -> Failure {
    Failure::input(error.to_string())
}

fn tell(change: &Change, global: &Global) {
    progress::say(
        global,
        &match change {
            Change::Loaded { name, version } => format!("{name}, version {version}: served"),
            Change::Removed { name, version } => format!("{name}, version {version}: removed"),
            Change::Broken { name, version, error } => {
                format!("{name}, version {version}: cannot be served: {error}")
            }
        },
    );
}

/// Says where the server is, so that a script that started it can go on.
fn started(server: &Server, tls: bool, global: &Global) -> Result<()> {
    let secure = if tls { "s" } else { "" };
    let url = |kind: &str, address: Option<std::net::SocketAddr>| {
        address.map(|address| format!("{kind}{secure}://{address}"))
    };
    let (http, grpc) = (url("http", server.http()), url("grpc", server.grpc()));
    let models = server.host().shelf().all();
    if global.json {
        let models = models.iter().map(|model| {
            serde_json::json!({
                "name": model.name,
                "version": model.version,
                "digest": model.digest,
                "largest_batch": model.largest_batch(),
                "row_ms": model.estimate.of(1).as_secs_f64() * 1e3,
            })
        });
        let models: Vec<serde_json::Value> = models.collect();
        let started = serde_json::json!({ "http": http, "grpc": grpc, "models": models });
        files::print(&started.to_string());
        return Ok(());
    }
    for model in models {
        let time = model.estimate.of(1).as_secs_f64() * 1e3;
        let (name, version, batch) = (&model.name, &model.version, model.largest_batch());
        files::print(&format!(
            "{name}/{version}: {time:.2} ms a picture, batches of up to {batch}"
        ));
    }
    [http, grpc].into_iter().flatten().for_each(|url| files::print(&url));
    Ok(())
}

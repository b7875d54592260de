//! `edgecut edge`: the device's half of a split model, which answers every request by its deadline.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgecut_edge::policy::Reserve;
use edgecut_edge::remote::Access;
use edgecut_edge::{Edge, Keep, Settings, Small, plans};
use edgecut_serve::front::{Front, FrontOptions, Limits};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{Size, number_within};
use crate::work::edge::{Local, OnServer};
use crate::work::model::Model;
use crate::work::preprocessing::Preprocessing;
use crate::{files, interrupt, progress};

/// Options of `edge`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut split model.onnx --link 5,40 --server 10x --data ./flowers --out-plans plans
  edgecut serve plans/server --grpc 0.0.0.0:8001                       (on the server)
  edgecut edge plans --server http://10.0.0.5:8001 --deadline 200
  edgecut edge plans --server http://10.0.0.5:8001 --cascade cascade.json --small small.onnx
  edgecut edge plans --server https://a:8001,https://b:8001 --ca ca.pem --cert device.pem --key device.key \\
      --keep ./hard --confidence 0.6

Programs on the device ask it by the Open Inference Protocol, as they would ask a server. Each request
is computed here, there, or cut in two, by what is known of link and load; while a server works, the
device computes on, so that a dead link costs no answer. Responses say in edgecut_answered which way
it was: local, split, cloud or exit. A request that has no answer by its deadline ends with 504, or
DEADLINE_EXCEEDED. The same id again gets the same answer. A live page is at /, figures are
at /metrics.

With --cascade the small model answers first. Where it is as sure as the certificate demands, that is the
answer (exit); else a server's is (cloud), or, where none comes in time, what the device thinks (local).
edgecut_certified says whether the certificate stands behind an answer. Once audited answers differ from
the server's too often every request goes there, until edge starts again or the certificate changes.")]
pub struct Args {
    /// The folder that `edgecut split --out-plans` wrote
    #[arg(value_name = "DIR")]
    plans: PathBuf,
    /// Servers (gRPC), with commas between; without any the device is alone
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    server: Vec<String>,
    /// Time in milliseconds that a request has where it does not say so itself (parameter timeout,
    /// grpc-timeout)
    #[arg(long, value_name = "MS", default_value_t = 500.0, value_parser = deadline)]
    deadline: f64,
    /// A certificate of `edgecut cascade`: where the small model is as sure as it demands, the device answers,
    /// else a server; read again when it changes
    #[arg(long, value_name = "FILE", requires = "small", conflicts_with = "only")]
    cascade: Option<PathBuf>,
    /// The small model of the certificate
    #[arg(long, value_name = "MODEL", requires = "cascade")]
    small: Option<PathBuf>,
    /// How pictures become the small model's input, as in --preprocess of other verbs
    #[arg(long, value_name = "NAME|FILE.json", default_value = "auto", requires = "small")]
    small_preprocess: String,
    /// Share of requests that both models answer, to notice when the certificate no longer holds
    /// [default: as the certificate says]
    #[arg(long, value_name = "SHARE", requires = "cascade", value_parser = share)]
    audit: Option<f32>,
    /// Begin the device's own answer only when the server's is overdue, or must be given up: less
    /// energy, later answers where links fail
    #[arg(long)]
    save: bool,
    /// Answer every request by this plan alone, whatever link and deadline say, to measure it: local, raw
    /// (the input to the server), picture (its file) or cut-K, K from 1 on
    #[arg(long, value_name = "PLAN")]
    only: Option<String>,
    /// Address for HTTP (REST); none turns it off
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7420")]
    http: String,
    /// Address for gRPC; none turns it off
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7421")]
    grpc: String,
    /// Certificates that servers' are signed with, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The device's certificate for servers that ask for one, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// File with the token that servers know the device by
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Folder where samples wait for a server that the device was not sure of, or had no answer to; those
    /// that no server takes are set aside in its folder aside
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The same on a NATS server with JetStream: nats://USER:PASSWORD@HOST:4222 or tls://.
    /// EDGECUT_NATS_CREDENTIALS and EDGECUT_NATS_CA name files of credentials and certificates
    #[arg(long, value_name = "URL", conflicts_with = "keep")]
    nats: Option<String>,
    /// What the device's samples are called there
    #[arg(long, value_name = "NAME", default_value = "edge", requires = "nats")]
    nats_name: String,
    /// Most that waits there
    #[arg(long, value_name = "SIZE", default_value = "256MB")]
    keep_size: Size,
    /// The device is not sure where the probability of its class is below this
    #[arg(long, value_name = "SHARE", default_value_t = 0.6, value_parser = share)]
    confidence: f32,
    /// Spreads retries of many devices
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn deadline(text: &str) -> std::result::Result<f64, String> {
    number_within(text, 1.0..=600_000.0)
}

fn share(text: &str) -> std::result::Result<f32, String> {
    number_within(text, 0.0..=1.0).map(|share| share as f32)
}

/// Serves until Ctrl-C.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let small = args.small.as_deref().map(Model::load).transpose()?;
    let settings = Settings {
        servers: args.server.clone(),
        access: Access {
            ca: args.ca.clone(),
            identity: args.cert.clone().zip(args.key.clone()),
            token: args.token_file.clone(),
        },
        deadline: Duration::from_secs_f64(args.deadline / 1e3),
        reserve: if args.save { Reserve::Late } else { Reserve::AtOnce },
        only: args.only.clone(),
        threads: global.threads(),
        store: keep(args)?,
        seed: args.seed,
        small: args.cascade.clone().zip(small.as_ref()).map(|(certificate, small)| Small {
            certificate,
            model: Arc::new(small.graph.clone()),
            path: small.path.clone(),
            audit: args.audit.map(f64::from),
        }),
        tell: {
            let global = global.clone();
            Arc::new(move |line| progress::say(&global, line))
        },
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::input(format!("no threads: {e}")))?;
    interrupt::listen();
    runtime.block_on(async {
        let edge = Edge::start(&args.plans, settings)?;
        let pictures = match &small {
            Some(small) if args.small_preprocess == "auto" => small.preprocess()?,
            Some(small) => {
                Some(Preprocessing::named(&args.small_preprocess).choose(&small.card())?)
            }
            None => Model::load(&plans::whole_file(&args.plans, edge.name()))?.preprocess()?,
        };
        let listen = |address: &String| Some(address.clone()).filter(|a| a != "none");
        let options = FrontOptions {
            http: listen(&args.http),
            grpc: listen(&args.grpc),
            limits: Limits { connections: 256, ..Limits::default() },
            ..FrontOptions::default()
        };
        let local = Arc::new(Local::new(Arc::clone(&edge), pictures));
        let front = Front::start(local, &options).map_err(|e| Failure::input(e.to_string()))?;
        say(args, global, &edge, &front);
        while !interrupt::asked() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        front.stop(Duration::from_secs(2)).await;
        Ok(())
    })
}

/// Where samples wait.
fn keep(args: &Args) -> Result<Option<Keep>> {
    let (most_bytes, confidence) = (args.keep_size.0, args.confidence);
    if let Some(folder) = &args.keep {
        return Ok(Some(Keep::in_folder(folder, most_bytes, confidence)?));
    }
    let Some(url) = &args.nats else { return Ok(None) };
    let queue = Arc::new(Mutex::new(OnServer::open(url, &args.nats_name, most_bytes)?));
    Ok(Some(Keep { queue, most_bytes, confidence }))
}

/// Where it listens and what it has, one line each; as JSON where that is asked for.
fn say(args: &Args, global: &Global, edge: &Edge, front: &Front) {
    let plans = edge.plans();
    if global.json {
        let text = serde_json::json!({
            "model": edge.name(),
            "plans": plans,
            "http": front.http(),
            "grpc": front.grpc(),
            "servers": args.server,
        });
        files::print(&text.to_string());
        return;
    }
    files::print(&format!("{}: {}", edge.name(), plans.join(", ")));
    for (form, address) in [("http", front.http()), ("grpc", front.grpc())] {
        if let Some(address) = address {
            files::print(&format!("{form}://{address}"));
        }
    }
    match args.server.as_slice() {
        [] => files::print("no server: the device is alone"),
        servers => files::print(&format!("servers: {}", servers.join(", "))),
    }
}

//! `edgecut bench`: latency quantiles, throughput, memory, and where the time goes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use edgecut_runtime::Session;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::Result;
use crate::host::{self, Machine};
use crate::report::OperatorTime;
use crate::stats::Times;
use crate::work::loaded::Loaded;
use crate::work::shapes::Shapes;
use crate::work::time::{Subject, in_turn};
use crate::{files, term};

/// Options of `bench`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut bench model.onnx
  edgecut bench int8.onnx --against model.onnx --threads 1
  edgecut bench model.ecut
  edgecut bench detector.onnx --shape 1x3x640x640 --profile
  edgecut bench model.onnx --batch 8 --runs 50 --json")]
pub struct Args {
    /// The model: ONNX, TFLite, or packed (.ecut)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// Another model, run in turn with the first
    #[arg(long, value_name = "OTHER")]
    against: Option<PathBuf>,
    /// Pictures per run, where the model leaves it open
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Measured runs
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Runs before measuring
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    warmup: u32,
    /// Also the time of every step
    #[arg(long)]
    profile: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    machine: Machine,
    model: Figures,
    against: Option<Figures>,
    /// Median of the other model over median of this one.
    speedup: Option<f64>,
    /// Largest resident memory of this process, both models and their files included.
    peak_rss_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Figures {
    path: PathBuf,
    file_bytes: u64,
    batch: usize,
    /// From opening the file to a session that can run: reading and compiling it, or mapping and
    /// checking a packed one.
    load_ms: f64,
    latency: Times,
    images_per_second: f64,
    activation_bytes: u64,
    weight_bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operators: Vec<OperatorTime>,
}

/// Measures.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let pool = global.pool();
    let mut paths = vec![&args.model];
    paths.extend(&args.against);
    let mut models = Vec::new();
    let mut subjects = Vec::new();
    for path in paths {
        let began = Instant::now();
        let model = Loaded::open(path, &args.shapes, false)?;
        let session = Session::new(model.plan(args.batch.into())?, Arc::clone(&pool));
        let load_ms = began.elapsed().as_secs_f64() * 1e3;
        subjects.push(Subject::of(session).map_err(|e| e.at(path))?);
        models.push((path.clone(), model.file_bytes(), load_ms));
    }
    let mut all: Vec<&mut Subject> = subjects.iter_mut().collect();
    let times = in_turn(global, &mut all, args.warmup as usize, args.runs as usize)?;
    let mut figures = Vec::new();
    for (((path, file_bytes, load_ms), subject), latency) in
        models.into_iter().zip(&mut subjects).zip(times)
    {
        let operators =
            if args.profile { subject.profile(args.runs.min(100) as usize)? } else { vec![] };
        figures.push(Figures {
            path,
            file_bytes,
            batch: subject.batch(),
            images_per_second: 1e3 * subject.batch() as f64 / latency.median_ms.max(1e-9),
            load_ms,
            latency,
            activation_bytes: subject.activation_bytes(pool.threads()),
            weight_bytes: subject.weight_bytes(),
            operators,
        });
    }
    let mut figures = figures.into_iter();
    let Some(model) = figures.next() else { return Ok(()) };
    let against = figures.next();
    let speedup = against.as_ref().map(|a| a.latency.median_ms / model.latency.median_ms.max(1e-9));
    let machine = Machine::this(pool.threads());
    let output = Output { machine, model, against, speedup, peak_rss_bytes: host::peak_rss() };
    if global.json {
        return files::print_json(&output);
    }
    show(&output, args);
    Ok(())
}

fn show(output: &Output, args: &Args) {
    let row = |f: &Figures| {
        let t = &f.latency;
        let mut row = vec![f.path.display().to_string()];
        row.extend([t.min_ms, t.median_ms, t.p90_ms, t.p99_ms].map(term::milliseconds));
        row.push(term::count(f.images_per_second.round() as u64));
        row.push(term::milliseconds(f.load_ms));
        row.extend([f.activation_bytes, f.weight_bytes, f.file_bytes].map(term::bytes));
        row
    };
    let all = || std::iter::once(&output.model).chain(&output.against);
    let header = [
        "model",
        "min",
        "median",
        "p90",
        "p99",
        "images/s",
        "load",
        "activations",
        "weights",
        "file",
    ];
    let rows: Vec<Vec<String>> = all().map(row).collect();
    files::print(&term::table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9], &rows));
    if let (Some(speedup), Some(other)) = (output.speedup, &output.against) {
        let (times, word) =
            if speedup >= 1.0 { (speedup, "faster") } else { (1.0 / speedup, "slower") };
        let other = other.path.display();
        files::print(&format!(
            "{} is {times:.2} times {word} than {other} (medians, run in turn)",
            output.model.path.display()
        ));
    }
    for f in all().filter(|f| !f.operators.is_empty()) {
        files::print(&format!("\n{}", f.path.display()));
        files::print(&operator_table(&f.operators));
    }
    let m = &output.machine;
    let rss = output
        .peak_rss_bytes
        .map_or(String::new(), |b| format!(", process peak {}", term::bytes(b)));
    files::print(&format!(
        "batch {}, {} runs; {}, {} threads, {}{rss}",
        output.model.batch, args.runs, m.cpu, m.threads, m.isa
    ));
}

fn operator_table(operators: &[OperatorTime]) -> String {
    let row = |o: &OperatorTime| {
        let rate = o.macs as f64 / o.median_us.max(1e-9) / 1e3;
        let rate = if o.macs == 0 { String::new() } else { format!("{rate:.1}") };
        let macs = if o.macs == 0 { String::new() } else { term::short_count(o.macs) };
        vec![
            o.name.clone(),
            o.kind.clone(),
            format!("{:.1}", o.median_us),
            format!("{:.1}", o.share),
            macs,
            rate,
        ]
    };
    let rows: Vec<Vec<String>> = operators.iter().map(row).collect();
    term::table(&["step", "kind", "µs", "%", "multiply-adds", "G/s"], &[2, 3, 4, 5], &rows)
}

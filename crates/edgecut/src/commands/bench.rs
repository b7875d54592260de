//! `edgecut bench`: latency quantiles, throughput, memory, and where the time goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use edgecut_kernels::Pool;
use edgecut_kernels::roofline::Peaks;
use edgecut_runtime::{CompileOptions, Precision, Session};
use serde::Serialize;

use crate::agent::{Agent, Ask};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::host::{self, Machine};
use crate::profile::{self, Profiled, Roofs};
use crate::stats::Times;
use crate::work::loaded::Loaded;
use crate::work::precision::Compute;
use crate::work::shapes::Shapes;
use crate::work::time::{Subject, in_turn};
use crate::work::tune::{Tune, Tuned};
use crate::{files, term};

/// Options of `bench`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut bench model.onnx
  edgecut bench int8.onnx --against model.onnx --threads 1
  edgecut bench model.ecut
  edgecut bench model.onnx --agent pass.json
  edgecut bench model.onnx --precision bf16
  edgecut bench model.onnx --tune --threads 1
  edgecut bench detector.onnx --shape 1x3x640x640 --profile
  edgecut bench model.onnx --threads 1 --profile-html profile.html
  edgecut bench model.onnx --batch 8 --runs 50 --json")]
pub struct Args {
    /// The model: ONNX, TFLite, or packed (.ecut)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    tune: Tune,
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
    /// Not on this machine, but on that of this agent's pass (see edgecut agent)
    #[arg(long, value_name = "PASS", conflicts_with_all = ["against", "profile", "profile_html"])]
    agent: Option<PathBuf>,
    /// Also every step: its time, multiply-adds, bytes, and share of what this machine can do
    #[arg(long)]
    profile: bool,
    /// Write the profile of MODEL as a page: time by names, and the roofline
    #[arg(long, value_name = "FILE")]
    profile_html: Option<PathBuf>,
}

/// Most runs that are profiled.
const PROFILED: u32 = 100;

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
    /// What tuning changed, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<Tuned>,
    /// What this machine can do at most, where a profile was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    roofs: Option<Roofs>,
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
    /// Of bfloat16: largest difference to float32 on the same inputs over the largest output.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
    /// Arena and scratch.
    activation_bytes: u64,
    /// The block of inputs, outputs and everything in between.
    arena_bytes: u64,
    /// What all threads need beside it while they compute.
    scratch_bytes: u64,
    /// Packed.
    weight_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profiled>,
}

/// Measures.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(pass) = &args.agent {
        return there(pass, args, global);
    }
    if let Some(path) = &args.profile_html {
        files::check_writable(path)?;
    }
    let pool = global.pool();
    let tuner = args.tune.tuner(global, &pool);
    let options = args.compute.options(global, tuner.clone());
    let mut paths = vec![&args.model];
    paths.extend(&args.against);
    let mut models = Vec::new();
    let mut subjects = Vec::new();
    for path in paths {
        let began = Instant::now();
        let model = Loaded::open(path, &args.shapes, false)?;
        let session = Session::new(model.plan(args.batch.into(), &options)?, Arc::clone(&pool));
        let load_ms = began.elapsed().as_secs_f64() * 1e3;
        subjects.push(Subject::of(session).map_err(|e| e.at(path))?);
        models.push((path.clone(), model.file_bytes(), load_ms));
    }
    let tuned = tuner.map(|tuner| Tuned::of(&tuner, global));
    let mut all: Vec<&mut Subject> = subjects.iter_mut().collect();
    let times = in_turn(global, &mut all, args.warmup as usize, args.runs as usize)?;
    // Before the roofs are measured, which takes memory of its own.
    let peak_rss_bytes = host::peak_rss();
    let profiling = args.profile || args.profile_html.is_some();
    let roofs =
        profiling.then(|| Roofs::of(&Peaks::measure(subjects[0].plan().isa(), pool.threads())));
    let errors = match options.precision {
        Precision::F32 => vec![None; subjects.len()],
        Precision::Bf16 => errors(args, &mut subjects, &pool)?,
    };
    let mut figures = Vec::new();
    for ((((path, file_bytes, load_ms), subject), latency), error) in
        models.into_iter().zip(&mut subjects).zip(times).zip(errors)
    {
        let runs = args.runs.min(PROFILED) as usize;
        figures.push(Figures {
            path,
            file_bytes,
            batch: subject.batch(),
            images_per_second: 1e3 * subject.batch() as f64 / latency.median_ms.max(1e-9),
            load_ms,
            latency,
            error,
            activation_bytes: subject.activation_bytes(pool.threads()),
            arena_bytes: subject.arena_bytes(),
            scratch_bytes: subject.scratch_bytes(pool.threads()),
            weight_bytes: subject.weight_bytes(),
            profile: roofs.map(|roofs| subject.roofline(runs, &roofs)).transpose()?,
        });
    }
    let mut figures = figures.into_iter();
    let Some(model) = figures.next() else { return Ok(()) };
    let against = figures.next();
    let speedup = against.as_ref().map(|a| a.latency.median_ms / model.latency.median_ms.max(1e-9));
    let machine = Machine::this(pool.threads());
    let output = Output { machine, model, against, speedup, peak_rss_bytes, tuned, roofs };
    if let Some(path) = &args.profile_html {
        write_page(path, &output)?;
    }
    if global.json {
        return files::print_json(&output);
    }
    show(&output, args);
    Ok(())
}

/// Measures on another device.
fn there(pass: &Path, args: &Args, global: &Global) -> Result<()> {
    if !args.shapes.is_empty() {
        let hint = "edgecut convert --shape writes a model that needs none";
        return Err(Failure::input("--shape does not go with --agent").hint(hint));
    }
    let kind = args.model.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let (threads, batch) = (global.threads.unwrap_or(0), args.batch);
    let ask = Ask { kind, threads, batch, warmup: args.warmup, runs: args.runs };
    let ran = Agent::open(pass)?.bench(&args.model, &ask)?;
    if global.json {
        return files::print_json(&ran);
    }
    let t = &ran.latency;
    let mut row = vec![file_name(&args.model)];
    row.extend([t.min_ms, t.median_ms, t.p90_ms, t.p99_ms, ran.load_ms].map(term::milliseconds));
    let bytes = [ran.arena_bytes, ran.scratch_bytes, ran.weight_bytes, ran.file_bytes];
    row.extend(bytes.map(term::bytes));
    let header =
        ["model", "min", "median", "p90", "p99", "load", "arena", "scratch", "weights", "file"];
    files::print(&term::table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[row]));
    let machine = &ran.machine;
    files::print(&format!(
        "batch {}, {} runs; {}, {} threads, {}",
        ran.batch, t.runs, machine.cpu, machine.threads, machine.isa
    ));
    Ok(())
}

fn write_page(path: &Path, output: &Output) -> Result<()> {
    let model = &output.model;
    let (Some(profiled), Some(roofs)) = (&model.profile, &output.roofs) else { return Ok(()) };
    let head = profile::Head {
        title: &file_name(&model.path),
        latency: &model.latency,
        memory: [model.arena_bytes, model.scratch_bytes, model.weight_bytes],
        machine: &output.machine,
    };
    files::write(path, profile::page(&head, profiled, roofs).as_bytes())
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into())
}

/// What the table calls the models: a long path by its file name, unless both have the same.
fn names(output: &Output) -> Vec<String> {
    const LONG: usize = 32;
    let paths: Vec<&Path> =
        std::iter::once(&output.model).chain(&output.against).map(|f| f.path.as_path()).collect();
    let ambiguous = paths.len() == 2 && file_name(paths[0]) == file_name(paths[1]);
    let name = |path: &&Path| {
        let whole = path.display().to_string();
        if ambiguous || whole.chars().count() <= LONG { whole } else { file_name(path) }
    };
    paths.iter().map(name).collect()
}

/// How far each subject is from the same model in float32.
fn errors(args: &Args, subjects: &mut [Subject], pool: &Arc<Pool>) -> Result<Vec<Option<f64>>> {
    let mut errors = Vec::new();
    for (path, subject) in std::iter::once(&args.model).chain(&args.against).zip(subjects) {
        let plan = Loaded::open(path, &args.shapes, false)?
            .plan(args.batch.into(), &CompileOptions::default())?;
        let mut float = Subject::of(Session::new(plan, Arc::clone(pool)))?;
        errors.push(Some(subject.difference(&mut float)?));
    }
    Ok(errors)
}

fn show(output: &Output, args: &Args) {
    let names = names(output);
    let row = |(f, name): (&Figures, &String)| {
        let t = &f.latency;
        let mut row = vec![name.clone()];
        row.extend([t.min_ms, t.median_ms, t.p90_ms, t.p99_ms].map(term::milliseconds));
        row.push(term::count(f.images_per_second.round() as u64));
        row.push(term::milliseconds(f.load_ms));
        let bytes = [f.arena_bytes, f.scratch_bytes, f.weight_bytes, f.file_bytes];
        row.extend(bytes.map(term::bytes));
        row
    };
    let all = || std::iter::once(&output.model).chain(&output.against).zip(&names);
    let header = [
        "model", "min", "median", "p90", "p99", "images/s", "load", "arena", "scratch", "weights",
        "file",
    ];
    let rows: Vec<Vec<String>> = all().map(row).collect();
    files::print(&term::table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &rows));
    for (error, name) in all().filter_map(|(f, name)| Some((f.error?, name))) {
        files::print(&format!(
            "{name} in bfloat16 is within {:.2} % of its largest output in float32",
            100.0 * error
        ));
    }
    if let (Some(speedup), [this, other]) = (output.speedup, names.as_slice()) {
        let (times, word) =
            if speedup >= 1.0 { (speedup, "faster") } else { (1.0 / speedup, "slower") };
        files::print(&format!(
            "{this} is {times:.2} times {word} than {other} (medians, run in turn)"
        ));
    }
    output.tuned.iter().for_each(Tuned::show);
    for (f, name) in all().filter(|_| args.profile) {
        if let (Some(profiled), Some(roofs)) = (&f.profile, &output.roofs) {
            files::print(&format!("\n{name}"));
            files::print(&profiled.table(roofs));
        }
    }
    if let Some(path) = &args.profile_html {
        files::print(&format!("{} written", path.display()));
    }
    let m = &output.machine;
    let rss = output
        .peak_rss_bytes
        .map_or(String::new(), |b| format!(", process peak {}", term::bytes(b)));
    files::print(&format!(
        "batch {}, {} runs; {}, {} thread{}, {}{rss}",
        output.model.batch,
        args.runs,
        m.cpu,
        m.threads,
        if m.threads == 1 { "" } else { "s" },
        m.isa
    ));
}

//! edgecut and other runtimes on the same models and inputs, interleaved in one run.
//!
//! Every (runtime, model, precision, threads) is a process of its own that loads the model and
//! waits; `xtask/peers/rust/src/worker.rs` has the protocol. Rounds go over the processes, each
//! measures a short burst in its turn, so that a disturbance of the machine hits all of them alike.
//! Only one computes at a time: the others are stopped, because thread pools go on polling for a
//! while after a run.

mod edgecut;
mod options;
mod quantiser;
mod row;
mod runtime;
mod subject;
mod table;
mod worker;

use std::path::Path;

pub use options::Options;
use row::Row;
use runtime::{Runtime, Tools};
use subject::Subject;
use worker::Worker;

pub use edgecut::serve;

/// A burst lasts this long and has this many runs, whichever takes longer.
const BURST: (f64, usize) = (0.02, 5);

/// The burst before the first round, of which nothing is kept.
const WARM_UP: (f64, usize) = (0.2, 3);

/// How the numbers of a runtime are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    F32,
    Bf16,
    Int8,
}

impl Precision {
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// Largest error relative to ONNX Runtime's float32 at which a peer still counts as computing
    /// the same: rounding in another order, 8 bits of significand through some fifty layers, and
    /// quantisation of them.
    pub fn tolerance(self) -> f64 {
        match self {
            Precision::F32 => 1e-3,
            Precision::Bf16 => 0.1,
            Precision::Int8 => 0.3,
        }
    }
}

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let rows = match options.tables.is_empty() {
        true => measure_all(root, options)?,
        false => read_rows(&options.tables)?,
    };
    if options.prepare {
        return Ok(());
    }
    let table = table::render(&rows);
    if let Some(path) = &options.out {
        write(path, &table)?;
    }
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&rows).map_err(|e| e.to_string())?),
        false => print!("{table}"),
    }
    Ok(())
}

/// The rows of earlier runs; of two with the same key the later counts.
fn read_rows(files: &[std::path::PathBuf]) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = vec![];
    for path in files {
        let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| place(&e))?;
        let read: Vec<Row> = serde_json::from_str(&text).map_err(|e| place(&e))?;
        rows.retain(|old| !read.iter().any(|new| new.key() == old.key()));
        rows.extend(read);
    }
    Ok(rows)
}

/// Writes the whole file or nothing.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let unfinished = path.with_extension("tmp");
    std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Prepares everything first, so that no conversion or build runs beside a measurement.
fn measure_all(root: &Path, options: &Options) -> Result<Vec<Row>, String> {
    let tools = Tools::find(root, options.runtimes())?;
    let mut subjects = vec![];
    for &precision in &options.precisions {
        for model in &options.models {
            eprintln!("preparing {model} {}", precision.name());
            let subject = Subject::prepare(root, model, precision)?;
            subject.reference(&tools)?;
            for &runtime in options.runtimes().iter().filter(|r| r.applies(precision)) {
                // What goes wrong here is said again, in its row.
                if let Err(reason) = tools.command(runtime, &subject, 1) {
                    eprintln!("  {}: {reason}", runtime.name());
                }
            }
            subjects.push(subject);
        }
    }
    let mut rows = vec![];
    if options.prepare {
        return Ok(rows);
    }
    for subject in &subjects {
        for &threads in &options.threads {
            let plural = if threads == 1 { "" } else { "s" };
            eprintln!("{} {}, {threads} thread{plural}", subject.name, subject.precision.name());
            rows.extend(measure(&tools, subject, threads, options)?);
        }
    }
    Ok(rows)
}

/// All runtimes on one model and number of threads.
fn measure(
    tools: &Tools,
    subject: &Subject,
    threads: usize,
    options: &Options,
) -> Result<Vec<Row>, String> {
    let reference = subject.reference(tools)?;
    let start = |runtime: Runtime| -> Result<Worker, String> {
        let output = subject.output(runtime.name());
        let command = tools.command(runtime, subject, threads)?;
        let mut worker = Worker::start(command, output)?;
        worker.burst(WARM_UP)?;
        Ok(worker)
    };
    let runtimes = options.runtimes().iter().copied().filter(|r| r.applies(subject.precision));
    let runtimes: Vec<Runtime> = runtimes.collect();
    let mut workers: Vec<Result<Worker, String>> =
        runtimes.iter().map(|&runtime| start(runtime)).collect();
    let mut times = vec![vec![]; workers.len()];
    for round in 0..options.rounds {
        for turn in 0..workers.len() {
            // Backwards every other time, so that none always follows the same other.
            let index = if round % 2 == 0 { turn } else { workers.len() - 1 - turn };
            let Ok(worker) = &mut workers[index] else { continue };
            match worker.burst(BURST) {
                Ok(burst) => times[index].extend(burst),
                Err(reason) => workers[index] = Err(reason),
            }
        }
    }
    let mut rows = vec![];
    for ((&runtime, worker), times) in runtimes.iter().zip(workers).zip(times) {
        let version = tools.version(runtime, subject.precision);
        let mut row =
            Row::new(&subject.name, runtime, version.as_deref(), subject.precision, threads);
        match worker.and_then(Worker::finish) {
            Ok(end) => row.fill(times, &end, reference.as_deref(), subject.precision),
            Err(reason) => row.note = Some(reason),
        }
        rows.push(row);
    }
    Ok(rows)
}

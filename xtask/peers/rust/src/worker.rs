//! The worker's side of `cargo xtask bench-peers`; `bench_worker.py` speaks the same.
//!
//! A worker is one process with one runtime, one model and one number of threads. It loads, runs
//! once, writes what came out, and answers each line of standard input with one line of JSON:
//!
//! | it reads | it writes |
//! | --- | --- |
//! | (start) | `{"load_ms": .., "first_ms": .., "host_rss_kib": .., "arena_bytes": .. or null}` |
//! | `burst SECONDS RUNS` | the time of every run in milliseconds: `[9.51, 9.49]` |
//! | end of input | `{"rss_kib": ..}`, the peak |

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Runs at the start of a burst that are not measured: caches hold another worker's data then.
const UNMEASURED: usize = 2;

/// What a worker is to measure: `MODEL INPUT SHAPE OUTPUT THREADS`.
#[derive(Debug)]
pub struct Job {
    /// The model file.
    pub model: PathBuf,
    /// Elements of the one input, in ONNX order.
    pub input: Vec<f32>,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Where the elements of all outputs go, one output after the other: float32, little-endian.
    pub output: PathBuf,
    /// Threads to compute with.
    pub threads: usize,
}

impl Job {
    /// Reads the command line and the input; `None` where the arguments are not these.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Option<Job> {
        let mut next = || args.next();
        let (model, input, shape) = (next()?.into(), next()?, next()?);
        let bytes = std::fs::read(input).ok()?;
        let input = bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let shape: Result<Vec<usize>, _> = shape.split('x').map(str::parse).collect();
        let (output, threads) = (next()?.into(), next()?.parse().ok()?);
        Some(Job { model, input, shape: shape.ok()?, output, threads })
    }
}

/// Times `load`, then serves bursts of the run that it returns until standard input ends.
///
/// `load` returns the run, which returns all outputs, and the bytes of activation memory where
/// the runtime says so.
///
/// # Errors
/// Of `load`, of a run, or where the driver has gone.
pub fn serve<R>(
    output: &std::path::Path,
    load: impl FnOnce() -> Result<(R, Option<usize>), String>,
) -> Result<(), String>
where
    R: FnMut() -> Result<Vec<f32>, String>,
{
    let host = peak_rss_kib();
    let (loaded, load_ms) = timed(load);
    let (mut run, arena) = loaded?;
    let (first, first_ms) = timed(&mut run);
    let bytes: Vec<u8> = first?.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(output, bytes).map_err(|e| format!("{}: {e}", output.display()))?;
    let arena = arena.map_or("null".into(), |bytes| bytes.to_string());
    say(&format!(
        "{{\"load_ms\": {load_ms}, \"first_ms\": {first_ms}, \"host_rss_kib\": {host}, \
         \"arena_bytes\": {arena}}}"
    ))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let (seconds, runs) = command(&line).ok_or_else(|| format!("unknown request {line:?}"))?;
        for _ in 0..UNMEASURED {
            run()?;
        }
        let (began, mut times) = (Instant::now(), vec![]);
        while times.len() < runs || began.elapsed() < seconds {
            let (outcome, ms) = timed(&mut run);
            std::hint::black_box(outcome?);
            times.push(ms.to_string());
        }
        say(&format!("[{}]", times.join(", ")))?;
    }
    say(&format!("{{\"rss_kib\": {}}}", peak_rss_kib()))
}

/// The result of `work` and how long it took in milliseconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed().as_secs_f64() * 1e3)
}

fn command(line: &str) -> Option<(Duration, usize)> {
    let mut words = line.strip_prefix("burst ")?.split(' ');
    let seconds = Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?;
    Some((seconds, words.next()?.parse().ok()?))
}

fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())
}

/// Largest resident memory of this process so far; 0 where the system does not say.
fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

//! Chaos between a device and its server: what `cargo xtask chaos` runs.
//!
//! cargo run --release -p edgecut-edge --example chaos -- [--requests N] [--side-by-side N] [--seed N]
//!
//! Link, server, version and clock misbehave in turn while a small network answers requests of 100 ms
//! each. Ends with 1 where an id has no or two answers, an answer is wrong or more than 5 ms behind its
//! deadline, a stored sample is lost, or memory grows.

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::process::{Command, ExitCode};
use std::time::Duration;

use rig::server::{ServerProcess, serve_if_asked};
use rig::{Plan, Report, run};

/// Memory that may come on top after a tenth of the requests.
const MORE_BYTES: u64 = 32 << 20;

/// Says that this process is the device.
const DEVICE: &str = "EDGECUT_RIG_DEVICE";

fn main() -> ExitCode {
    serve_if_asked();
    if std::env::var_os(DEVICE).is_none() {
        let program = std::env::current_exe().expect("this program has a file");
        let mut device = Command::new(program);
        device.args(std::env::args_os().skip(1)).env(DEVICE, "1").env(rig::ISA, "scalar");
        let status = device.status().expect("starts");
        return ExitCode::from(status.code().map_or(1, |code| code as u8));
    }
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    let report = runtime
        .block_on(run(folder.path(), plan, |folder, port| ServerProcess::start(folder, port, &[])));
    print(&report);
    let [before, after] = report.memory;
    let kept = report.wrong == 0
        && report.differing == 0
        && report.behind == 0
        && report.stored == report.forwarded
        && after <= before + MORE_BYTES;
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(mut args: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan =
        Plan { requests: 10_000, side_by_side: 2, phase: Duration::from_millis(400), seed: 1 };
    while let Some(option) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or_else(|| format!("{option}: a number must follow"))?;
        match option.as_str() {
            "--requests" => plan.requests = value.clamp(100, 10_000_000) as usize,
            "--side-by-side" => plan.side_by_side = value.clamp(1, 200) as usize,
            "--seed" => plan.seed = value,
            other => return Err(format!("{other}: there are --requests, --side-by-side, --seed")),
        }
    }
    Ok(plan)
}

fn print(report: &Report) {
    let [local, split, cloud, late] = report.marks;
    let [before, after] = report.memory.map(|bytes| bytes as f64 / (1 << 20) as f64);
    println!("{} ids in {:.1} s, {} phases", report.ids, report.took.as_secs_f64(), report.phases);
    println!("server killed {} times; version refused {} times", report.killed, report.skewed);
    println!("answers: local {local}, split {split}, cloud {cloud}, late {late}");
    println!("without one answer: {}; wrong answers: {}", report.wrong, report.differing);
    println!(
        "more than {:?} behind the deadline: {}; the latest by {:.2} ms",
        rig::SLACK,
        report.behind,
        report.worst.as_secs_f64() * 1e3
    );
    let Report { stored, forwarded, waiting, .. } = report;
    println!("stored {stored}: {forwarded} forwarded, {waiting} still waiting");
    println!("memory after a tenth {before:.1} MiB, at the end {after:.1} MiB");
}

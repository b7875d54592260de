//! `cargo xtask rig policies`: what edgecut decides on a real link, beside what never changes and what
//! knows all.
//!
//! | file | holds |
//! | --- | --- |
//! | `ask` | the local program of the edge, a process of its own |
//! | `hosts` | both halves at work |
//! | `oracle` | what plans were measured to take, and the best of them on a known link |
//! | `rows` | figures |
//! | `charts`, `page` | the page |

mod ask;
mod charts;
mod hosts;
mod options;
mod oracle;
mod page;
mod rows;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use edgecut_collab::Trace;
use edgecut_edge::plans::Plans;

use super::network::Network;
use super::options::Link;
use super::quota::Quota;
pub use ask::part;
use ask::{Seen, Task};
use hosts::Hosts;
use options::{HELP, Options};
use oracle::{Asked, Measured};
use rows::{OfModel, OnTrace, Row, Verdict};

/// Pictures that are asked about, in turn.
const PICTURES: usize = 24;

/// Requests of a measurement that come before those that count, and rounds of pictures that do.
const WARM: usize = 6;
const ROUNDS: usize = 2;

/// Uplink of measurements beside which the link hardly counts, in bits per second.
const WIDE: u64 = 100_000_000;

/// Time of a request in a measurement.
const LONG: Duration = Duration::from_secs(10);

/// A recorded link.
pub struct Recorded {
    pub name: String,
    pub trace: Trace,
}

/// Runs the task.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    crate::with_options("rig policies", HELP, args, Options::parse, |options| run(root, options))
}

fn run(root: &Path, options: &Options) -> Result<(), String> {
    let folder = options.folder.clone().or_else(|| {
        let data = std::env::var_os("EDGECUT_DATA").unwrap_or("../shared/data".into());
        Some(root.join(data).join("traces/sabre-3g4g"))
    });
    let traces = options.traces.find(&folder.unwrap_or_default())?;
    let program = options.edgecut.clone().map_or_else(|| crate::release_build(root), Ok)?;
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let pictures = pictures(&options.data)?;
    let mut all_plans = vec![];
    for model in &options.models {
        all_plans.push(plans(&program, model, options)?);
    }
    let mut quota = Quota::new(options.quota)?;
    quota.join()?;
    let hosts = Hosts { options, program, network: Network::build(1)?, quota };
    let mut models = vec![];
    for plans in &all_plans {
        models.push(of_model(&hosts, plans, &pictures, &traces)?);
        // What was measured is there, even if the rest is cut off.
        write(options, &models)?;
    }
    drop(hosts);
    models.iter().for_each(OfModel::print);
    println!("\n{}", options.out.join("policies.html").display());
    Ok(())
}

fn write(options: &Options, models: &[OfModel]) -> Result<(), String> {
    let json = serde_json::to_vec(models).map_err(|e| e.to_string())?;
    let page = page::page(options, models).into_bytes();
    for (name, content) in [("policies.json", json), ("policies.html", page)] {
        let path = options.out.join(name);
        std::fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Some of the pictures below `folder`, evenly from all of them.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let found = files(folder, &["jpg", "jpeg"]);
    match found.is_empty() {
        true => Err(format!("--data {}: no JPEG pictures there", folder.display())),
        false => Ok(found.iter().step_by(found.len().div_ceil(PICTURES)).cloned().collect()),
    }
}

/// Files below `folder` with one of these endings, in order.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![], vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The folder of plans of a model, written unless it is there.
fn plans(program: &Path, model: &str, options: &Options) -> Result<PathBuf, String> {
    if Path::new(model).join("plans.json").exists() {
        return Ok(model.into());
    }
    let mut file = PathBuf::from(model);
    if !file.exists() {
        file = options.out.join(format!("{model}.onnx"));
        edgecut(program, &["zoo".as_ref(), model.as_ref(), "--out".as_ref(), file.as_ref()])?;
    }
    let folder = options.out.join(file.file_stem().unwrap_or_default());
    let server = options.server.clone().unwrap_or(format!("{}x", 1.0 / options.quota));
    let bits = options.bits.to_string();
    eprintln!("{model}: plans");
    edgecut(
        program,
        &[
            "split".as_ref(),
            file.as_ref(),
            "--link".as_ref(),
            // Plans are made for all links.
            "10,20".as_ref(),
            "--server".as_ref(),
            server.as_ref(),
            "--bits".as_ref(),
            bits.as_ref(),
            "--preprocess".as_ref(),
            options.preprocess.as_ref(),
            "--threads".as_ref(),
            "1".as_ref(),
            "--data".as_ref(),
            options.data.as_ref(),
            "--out-plans".as_ref(),
            folder.as_ref(),
        ],
    )?;
    slow_down(&folder, 1.0 / options.quota)?;
    Ok(folder)
}

/// Makes plans that were measured with a whole core those of a device and a server so many times as slow.
fn slow_down(folder: &Path, factor: f64) -> Result<(), String> {
    let mut plans = Plans::read(folder).map_err(|e| e.to_string())?;
    for plan in &mut plans.plans {
        for ns in [&mut plan.times.own_ns, &mut plan.times.server_ns, &mut plan.times.rest_ns] {
            *ns = (*ns as f64 * factor) as u64;
        }
    }
    let text = serde_json::to_vec_pretty(&plans).map_err(|e| e.to_string())?;
    let path = folder.join("plans.json");
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn edgecut(program: &Path, words: &[&std::ffi::OsStr]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(words).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("failed: {command:?}")),
    }
}

/// One model: its plans measured, then all policies on all traces.
fn of_model(
    hosts: &Hosts,
    folder: &Path,
    pictures: &[PathBuf],
    traces: &[Recorded],
) -> Result<OfModel, String> {
    let options = hosts.options;
    let plans = Plans::read(folder).map_err(|e| e.to_string())?;
    let server = hosts.serve(folder)?;
    let task = |requests, period, deadline| Task {
        grpc: String::new(),
        http: String::new(),
        model: String::new(),
        pictures: pictures.to_vec(),
        requests,
        period,
        deadline,
    };
    let wide = link(options, &steady(WIDE)?);
    let mut measured: Vec<Measured> = vec![];
    let mut slowdown = 1.0;
    // Local-only is the first of all plans, and says how fast the device is.
    for plan in &plans.plans {
        if plan.times.placement == edgecut_collab::partition::Placement::Raw {
            // Decoded pictures are never better than their files.
            continue;
        }
        let word = plan.word();
        eprintln!("{}: {word}", plans.name);
        let requests = WARM + ROUNDS * pictures.len();
        let task = task(requests, None, LONG);
        let seen = hosts.ask(folder, Some(&word), &wide, Duration::ZERO, task)?;
        answered(&seen, &word)?;
        let found = Measured::of(plan, &seen, WARM, WIDE as f64, slowdown);
        if word == "local" {
            slowdown = found.ms * 1e6 / plan.times.own_ns.max(1) as f64;
        }
        measured.push(found);
    }
    let local = measured.iter().find(|plan| plan.plan == "local");
    let local_ms = local.ok_or("no plan is local-only")?.ms;
    let deadline = options.deadline.unwrap_or(Duration::from_secs_f64(2.0 * local_ms / 1e3));
    let period = options.period.unwrap_or(deadline.max(Duration::from_millis(250)));
    let requests = (options.seconds.as_secs_f64() / period.as_secs_f64()).ceil() as usize;
    let mut on_traces = vec![];
    for recorded in traces {
        let asked: Vec<Asked> = (0..requests)
            .map(|number| (options.from + period * number as u32, number % pictures.len()))
            .collect();
        let deadline_ms = deadline.as_secs_f64() * 1e3;
        let cut = oracle::best_cut(&measured, &recorded.trace, &asked, deadline_ms);
        let link = link(options, &recorded.trace);
        let mut policies = vec![("local", Some("local")), ("picture", Some("picture"))];
        policies.extend(cut.map(|cut| (cut.plan.as_str(), Some(cut.plan.as_str()))));
        policies.push(("edgecut", None));
        let (mut rows, mut all) = (vec![], vec![]);
        for (name, only) in policies {
            eprintln!("{}: {} by {name}", plans.name, recorded.name);
            let task = task(requests, Some(period), deadline);
            let seen = hosts.ask(folder, only, &link, options.from, task)?;
            if let Some(problem) = &seen.problem {
                eprintln!("{}: {} by {name}: {problem}", plans.name, recorded.name);
            }
            rows.push(Row::seen(name, &seen, deadline_ms));
            all.push(seen);
        }
        // No link changes what the device alone takes: its time is that of this very run.
        let mut known = measured.clone();
        for plan in known.iter_mut().filter(|plan| plan.plan == "local") {
            plan.ms = rows[0].mean_ms;
        }
        let best = oracle::oracle(&known, &recorded.trace, &asked);
        rows.push(Row::oracle(&best, &known, &asked, deadline_ms));
        let ours = all.last().ok_or("no policy was asked")?;
        let verdict = Verdict::of(ours, &all[0], &rows, deadline_ms);
        let rate = |&(time, _): &Asked| {
            recorded.trace.bits_per_second(time.as_nanos() as u64) as f64 / 1e6
        };
        let rates: Vec<f64> = asked.iter().map(rate).collect();
        let round_trip = recorded.trace.typical().rtt_ns as f64 / 1e6;
        on_traces.push(OnTrace {
            trace: recorded.name.clone(),
            link: [rates.iter().sum::<f64>() / rates.len().max(1) as f64, round_trip],
            deadline_ms,
            rows,
            verdict,
            rates,
            seen: all,
        });
    }
    drop(server);
    Ok(OfModel { model: plans.name, plans: measured, traces: on_traces })
}

/// A measurement is one of answers.
fn answered(seen: &Seen, word: &str) -> Result<(), String> {
    let other = seen.requests.iter().find(|one| ["late", "dropped"].contains(&one.mark.as_str()));
    match (other, &seen.problem) {
        (None, _) => Ok(()),
        (Some(_), Some(problem)) => Err(format!("{word}: {problem}")),
        (Some(_), None) => Err(format!("{word}: no answer within {} s", LONG.as_secs())),
    }
}

fn steady(bits: u64) -> Result<Trace, String> {
    let row = format!(r#"[{{"duration_ms":1000,"bandwidth_kbps":{}}}]"#, bits / 1000);
    Trace::parse(row.as_bytes())
}

fn link(options: &Options, trace: &Trace) -> Link {
    let trace = trace.clone();
    Link { trace, down_bits: options.down_bits, jitter: Duration::ZERO, loss: 0.0 }
}

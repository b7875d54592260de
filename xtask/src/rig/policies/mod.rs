//! `cargo xtask rig policies`: what edgecut decides on a real link, beside what never changes and what
//! knows all.
//!
//! | file | holds |
//! | --- | --- |
//! | `ask` | the local program of the edge, a process of its own |
//! | `hosts` | both halves at work |
//! | `model` | one model: its plans measured, then all policies on all traces |
//! | `oracle` | what plans were measured to take, and the best of them on a known link |
//! | `rows` | figures |
//! | `charts`, `page` | the page |

mod ask;
mod charts;
mod hosts;
mod model;
mod options;
mod oracle;
mod page;
mod rows;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edgecut_collab::Trace;
use edgecut_edge::plans::Plans;
use edgecut_testkit::files_below;

use super::network::Network;
use super::quota::Quota;
pub use ask::part;
use hosts::Hosts;
pub use options::Options;
use rows::OfModel;

/// Pictures that are asked about, in turn.
const PICTURES: usize = 24;

/// A recorded link.
pub struct Recorded {
    pub name: String,
    pub trace: Trace,
}

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let folder = options.folder.clone().or_else(|| {
        let data = std::env::var_os("EDGECUT_DATA").unwrap_or("../shared/data".into());
        Some(root.join(data).join("traces/sabre-3g4g"))
    });
    let traces = options.traces().find(&folder.unwrap_or_default())?;
    let program = crate::program(root, options.edgecut.as_deref())?;
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
        models.push(model::run(&hosts, plans, &pictures, &traces)?);
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
    let found = files_below(folder, &["jpg", "jpeg"]);
    match found.is_empty() {
        true => Err(format!("--data {}: no JPEG pictures there", folder.display())),
        false => Ok(found.iter().step_by(found.len().div_ceil(PICTURES)).cloned().collect()),
    }
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

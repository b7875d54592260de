//! Prunes torchvision's classification models and runs them in ONNX Runtime.

use std::path::Path;
use std::process::Command;

use edgecut_compress::prune::{Bounds, Channels, Order, Ranking};
use edgecut_graph::rng::Rng;
use edgecut_graph::{cost, onnx};

/// Share of the channels of each group that goes.
const SHARE: f64 = 0.3;

/// Exports the models named (all where none is) from torchvision with seeded weights, one at a time,
/// removes a random 30 % of the channels of each group, and runs what is left in ONNX
/// Runtime. Prints a
/// line for each; fails where one that exports does not prune or run.
pub fn run(root: &Path, names: &[&str]) -> Result<(), String> {
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = root.join("xtask/peers/torchvision_models.py");
    let folder = root.join("target/prune-torchvision");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let call = |args: &[&str]| -> Result<String, String> {
        let mut command = Command::new(&python);
        let output = command.arg(&script).args(args).current_dir(&folder).output();
        let output = output.map_err(|e| format!("{python}: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        if output.status.success() {
            return Ok(text);
        }
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(error.trim().lines().last().unwrap_or("failed").to_string())
    };
    let listed = if names.is_empty() { call(&["list"])? } else { names.join("\n") };
    let (mut pruned, mut exported, mut failed) = (0, 0, vec![]);
    for name in listed.lines() {
        if let Err(problem) = call(&["export", name]) {
            println!("{name:28} not exported: {problem}");
            continue;
        }
        exported += 1;
        match prune(&folder).and_then(|what| Ok((what, call(&["run"])?))) {
            Ok((what, outcome)) => {
                pruned += 1;
                println!("{name:28} {what}  {outcome}");
            }
            Err(problem) => {
                println!("{name:28} FAILED: {problem}");
                failed.push(name.to_string());
            }
        }
    }
    println!("{pruned} of {exported} models that export are pruned and run");
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Prunes `model.onnx` in `folder` to `pruned.onnx`, and says what went.
fn prune(folder: &Path) -> Result<String, String> {
    let say = |e: edgecut_graph::GraphError| e.to_string();
    let graph = onnx::import(&folder.join("model.onnx")).map_err(say)?;
    let channels = Channels::of(&graph).map_err(say)?;
    let mut rng = Rng::new(1);
    let groups = channels.groups.iter();
    let scores: Vec<Vec<f64>> =
        groups.map(|g| g.channels.iter().map(|_| f64::from(rng.normal())).collect()).collect();
    let order = Order::new(&channels, &scores, Ranking::Layer);
    let count = (order.len() as f64 * SHARE).round() as usize;
    let plan = order.plan(&channels, count, &Bounds::default());
    let smaller = channels.apply(&plan).map_err(say)?;
    onnx::export(&smaller, &folder.join("pruned.onnx")).map_err(say)?;
    let (before, after) =
        (cost::cost(&graph, 1).map_err(say)?, cost::cost(&smaller, 1).map_err(say)?);
    if plan.len() * 4 < order.len() {
        return Err(format!("only {} of {} channels went", plan.len(), order.len()));
    }
    Ok(format!(
        "{:6} of {:6} channels, MACs {:.2}x, parameters {:.2}x",
        plan.len(),
        order.len(),
        after.macs as f64 / before.macs.max(1) as f64,
        after.parameters as f64 / before.parameters.max(1) as f64
    ))
}

//! Compares edgecut with ONNX Runtime on the same input tensors.

use std::path::Path;
use std::process::Command;

/// Runs `edgecut eval MODEL --data DATA --limit N --dump FOLDER` and gives the dumped tensors to
/// ONNX Runtime. Fails below 99.5 % equal answers.
pub fn run(root: &Path, model: &str, data: &str, rest: &[&str]) -> Result<(), String> {
    let (count, options) = match rest.split_first() {
        Some((first, options)) if first.parse::<usize>().is_ok() => (*first, options),
        _ => ("2000", rest),
    };
    let dump = root.join("target/agreement");
    let dump = dump.to_str().ok_or("the workspace path is not UTF-8")?;
    let mut eval = Command::new(env!("CARGO"));
    eval.args([
        "run",
        "--release",
        "--quiet",
        "-p",
        "edgecut",
        "--",
        "eval",
        model,
        "--data",
        data,
    ]);
    eval.args(["--limit", count, "--dump", dump]).args(options);
    finish(&mut eval)?;
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    finish(Command::new(python).arg(root.join("xtask/peers/agreement.py")).args([model, dump]))
}

fn finish(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}

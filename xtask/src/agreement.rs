//! Compares edgecut with ONNX Runtime on the same input tensors.

use std::path::Path;
use std::process::Command;

/// Compare edgecut with ONNX Runtime on the same input tensors: top-1 agreement, largest difference of logits
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cargo xtask agreement out/quickstart/int8.onnx quickstart 2000"
)]
pub struct Options {
    model: String,
    data: String,
    /// How many, 2000 unless it is a number; all else goes to `edgecut eval`
    #[arg(value_name = "N", trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs `edgecut eval MODEL --data DATA --limit N --dump FOLDER` and gives the dumped tensors to
/// ONNX Runtime. Fails below 99.5 % equal answers.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let Options { model, data, rest } = options;
    let (count, options) = match rest.split_first() {
        Some((first, options)) if first.parse::<usize>().is_ok() => (first.as_str(), options),
        _ => ("2000", &rest[..]),
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

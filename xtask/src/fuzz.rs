//! Runs the fuzz targets of `fuzz/` for a bounded time each.
//!
//! cargo-fuzz wants the nightly compiler for one flag only, the coverage instrumentation;
//! `RUSTC_BOOTSTRAP` lets the stable one take it.

use std::path::Path;
use std::process::Command;

/// Targets, each a file in `fuzz/targets` with its seeds in `fuzz/corpus`.
pub const TARGETS: [&str; 5] = ["onnx", "tflite", "state_dict", "npy", "execute"];

/// Largest input that is tried, in bytes: structure matters, not weights.
const MAX_INPUT: usize = 1 << 16;

/// Feed the readers and the executor with mutated files
///
/// Needs cargo-fuzz.
#[derive(clap::Args)]
pub struct Options {
    /// onnx, tflite, state_dict, npy (readers), execute (the executor); all without
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
    /// For each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Seconds that one input may take
    #[arg(long, value_name = "N", default_value_t = 1)]
    timeout: u64,
    /// Of no use to safe code; `address` watches the kernels under `execute`
    #[arg(long, value_name = "NAME", default_value = "none")]
    sanitizer: String,
}

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    if Command::new("cargo").args(["fuzz", "--version"]).output().is_ok_and(|o| !o.status.success())
    {
        return Err("needs cargo-fuzz: cargo install --locked cargo-fuzz".into());
    }
    let named = options.targets.iter().map(String::as_str);
    let targets = if options.targets.is_empty() { TARGETS.to_vec() } else { named.collect() };
    targets.iter().try_for_each(|target| fuzz(root, target, options))
}

/// What is found goes to `target/fuzz-corpus`, what fails to `fuzz/artifacts`.
fn fuzz(root: &Path, target: &str, options: &Options) -> Result<(), String> {
    let found = root.join("target/fuzz-corpus").join(target);
    std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
    let seeds = if target == "execute" { "onnx" } else { target };
    let status = Command::new("cargo")
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root)
        .args(["fuzz", "run", "--sanitizer", &options.sanitizer, target])
        .arg(&found)
        .arg(root.join("fuzz/corpus").join(seeds))
        .arg("--")
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-timeout={}", options.timeout))
        .arg(format!("-max_len={MAX_INPUT}"))
        .arg(format!("-dict={}", root.join("fuzz/names.dict").display()))
        .args(["-rss_limit_mb=4096", "-print_final_stats=1"])
        .status()
        .map_err(|e| format!("cargo fuzz: {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "fuzz target {target} failed; repeat with: cargo fuzz run {target} fuzz/artifacts/{target}/FILE"
        )),
    }
}

//! Runs the fuzz targets of `fuzz/` for a bounded time each.
//!
//! cargo-fuzz wants the nightly compiler for one flag only, the coverage instrumentation;
//! `RUSTC_BOOTSTRAP` lets the stable one take it.

use std::path::Path;
use std::process::Command;

/// Targets, each a file in `fuzz/targets` with its seeds in `fuzz/corpus`.
pub const TARGETS: [&str; 4] = ["onnx", "tflite", "state_dict", "execute"];

/// Largest input that is tried, in bytes: structure matters, not weights.
const MAX_INPUT: usize = 1 << 16;

/// How a target is run.
struct Options {
    /// For each target.
    seconds: u64,
    /// Seconds that one input may take.
    timeout: u64,
    /// Of no use to safe code; `address` watches the kernels under `execute`.
    sanitizer: String,
}

/// `args`: names of targets (all without), `--seconds N` (default 60), `--timeout N` (default 1),
/// `--sanitizer NAME` (default `none`).
pub fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let mut options = Options { seconds: 60, timeout: 1, sanitizer: "none".into() };
    let mut named = vec![];
    let mut rest = args.iter();
    while let Some(&arg) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |v: &str| v.parse().map_err(|_| format!("{arg} needs a number"));
        match arg {
            "--seconds" => options.seconds = number(value()?)?,
            "--timeout" => options.timeout = number(value()?)?,
            "--sanitizer" => options.sanitizer = value()?.to_string(),
            name if TARGETS.contains(&name) => named.push(name),
            other => {
                let known = TARGETS.join(", ");
                return Err(format!("no fuzz target is called '{other}'; there are {known}"));
            }
        }
    }
    if Command::new("cargo").args(["fuzz", "--version"]).output().is_ok_and(|o| !o.status.success())
    {
        return Err("needs cargo-fuzz: cargo install --locked cargo-fuzz".into());
    }
    let targets = if named.is_empty() { TARGETS.to_vec() } else { named };
    targets.iter().try_for_each(|target| fuzz(root, target, &options))
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

//! Chaos between a device and its server: builds and runs the rig of `crates/edge`.

use std::path::Path;
use std::process::Command;

/// Runs the example `chaos`, built for speed, with these options.
pub fn run(root: &Path, options: &[&str]) -> Result<(), String> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--release", "-p", "edgecut-edge", "--example", "chaos", "--"])
        .args(options)
        .current_dir(root)
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err("it did not hold, see above".into()) }
}

//! Builds the program that runs packed models and nothing else, and says how large it is.

use std::path::Path;
use std::process::Command;

/// What a runtime alone may take on a device.
const LIMIT: u64 = 2 << 20;

/// Builds `run_ecut` and checks its size.
pub fn run(root: &Path) -> Result<(), String> {
    let options = ["build", "-p", "edgecut-runtime", "--example", "run_ecut"];
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(options)
        .args(["--no-default-features", "--profile", "edge"])
        .current_dir(root)
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if !built.success() {
        return Err("the build failed, see above".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let program =
        target.join("edge/examples").join(format!("run_ecut{}", std::env::consts::EXE_SUFFIX));
    let size =
        std::fs::metadata(&program).map_err(|e| format!("{}: {e}", program.display()))?.len();
    println!("{}: {size} bytes, at most {LIMIT}", program.display());
    if size > LIMIT { Err(format!("{size} bytes are more than {LIMIT}")) } else { Ok(()) }
}

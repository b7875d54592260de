//! `cargo xtask servers`: other servers of the Open Inference Protocol, each in a virtual environment of its
//! own, as their packages exclude each other.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_testkit::OTHER_SERVERS;

/// Install other servers of the Open Inference Protocol for tests and bench-serve
///
/// Each goes into FOLDER/NAME from deploy/tail/NAME/requirements.txt; about 1.5 GB in all.
#[derive(clap::Args)]
#[command(after_help = "Example:
  cargo xtask servers ../servers --python /usr/bin/python3
  EDGECUT_SERVERS=../servers cargo test --test server others")]
pub struct Options {
    /// Name it in EDGECUT_SERVERS afterwards
    folder: PathBuf,
    /// All without
    #[arg(value_parser = OTHER_SERVERS)]
    names: Vec<String>,
    /// Python that they run on. Triton's backend loads the shared library of the same version, so that it
    /// wants the distribution's own, such as /usr/bin/python3
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    python: String,
}

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let Options { folder, names, python } = options;
    let named = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let folder = std::path::absolute(folder).map_err(|e| e.to_string())?;
    for name in OTHER_SERVERS.iter().filter(|name| named(name)) {
        let environment = folder.join(name);
        let requirements = root.join("deploy/tail").join(name).join("requirements.txt");
        must(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
        let mut pip = Command::new(environment.join("bin/python"));
        must(pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))?;
        println!("{name}: {}", environment.display());
    }
    Ok(())
}

fn must(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{status}: {command:?}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}

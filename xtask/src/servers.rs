//! `cargo xtask servers`: other servers of the Open Inference Protocol, each in a virtual environment of its
//! own, as their packages exclude each other.

use std::path::Path;
use std::process::Command;

use edgecut_testkit::OTHER_SERVERS;

const HELP: &str = "\
Usage: cargo xtask servers FOLDER [NAME...] [--python PYTHON]

Installs other servers for tests and bench-serve, each into FOLDER/NAME from deploy/tail/NAME/requirements.txt:
triton, mlserver, kserve, ray; all of them without names. About 1.5 GB. Name the folder in EDGECUT_SERVERS.

Options:
  --python PYTHON   Python that they run on (default python3). Triton's backend loads the shared library of
                    the same version, so that it wants the distribution's own, such as /usr/bin/python3

Example:
  cargo xtask servers ../servers --python /usr/bin/python3
  EDGECUT_SERVERS=../servers cargo test --test server others
";

/// Runs the task.
pub fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    if args.is_empty() || args.iter().any(|a| ["help", "--help", "-h"].contains(a)) {
        print!("{HELP}");
        return Ok(());
    }
    let (mut python, mut given) = ("python3", vec![]);
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--python" => python = args.next().ok_or("--python needs a value")?,
            option if option.starts_with('-') => return Err(format!("no option {option}")),
            _ => given.push(arg),
        }
    }
    let [folder, names @ ..] = given.as_slice() else { return Err("a folder is missing".into()) };
    if let Some(other) = names.iter().find(|name| !OTHER_SERVERS.contains(name)) {
        return Err(format!("no server '{other}', known are {}", OTHER_SERVERS.join(", ")));
    }
    let folder = std::path::absolute(folder).map_err(|e| e.to_string())?;
    for name in OTHER_SERVERS.iter().filter(|name| names.is_empty() || names.contains(name)) {
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

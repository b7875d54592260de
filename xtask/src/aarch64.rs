//! The tests of kernels and runtime on AArch64: as they are where this machine is one, else
//! compiled for it and run under an emulator.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Tests of one crate: what cargo needs to find them.
const TESTS: [&[&str]; 2] = [
    &["-p", "edgecut-kernels", "--lib"],
    &["-p", "edgecut-runtime", "--lib", "--test", "float", "--test", "session"],
];

/// Optimised just so far that instructions are chosen: an emulator gains little from more, and the
/// compiler takes its time.
const PROFILE: &str = "profile.dev.package.edgecut-kernels.opt-level=1";

/// Generated cases of a property, which take 20 times as long as on the machine itself.
const CASES: &str = "8";

/// What is needed beside this machine's own tools, and how to get it.
const HELP: &str = "skipped: needs an AArch64 toolchain: Rust's target (`rustup target add \
    aarch64-unknown-linux-gnu`, or RUSTC naming a compiler that has it, or one in \
    ~/.cache/edgecut-aarch64), a linker and an emulator (Debian: `apt install \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static`)";

/// `args` go to the test programs, for instance the part of a test's name.
pub fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let tools = if native() { None } else { Some(Tools::find()) };
    let tools = match tools {
        Some(Err(missing)) => {
            println!("{HELP}; there is no {missing}");
            return Ok(());
        }
        Some(Ok(tools)) => Some(tools),
        None => None,
    };
    for tests in TESTS {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).args(["test", "--config", PROFILE]).args(tests);
        if let Some(tools) = &tools {
            tools.configure(root, &mut cargo);
        }
        cargo.arg("--").args(args);
        let status = cargo.status().map_err(|e| format!("cargo: {e}"))?;
        if !status.success() {
            return Err(format!("the tests failed on {TARGET}: {}", tests.join(" ")));
        }
    }
    Ok(())
}

/// Whether this machine is an AArch64.
fn native() -> bool {
    cfg!(all(target_arch = "aarch64", target_os = "linux"))
}

/// `cargo args`, for AArch64 on another machine; `None` on one of these, and where tools are missing.
pub fn cargo(root: &Path, args: &[&str]) -> Option<Command> {
    if native() {
        return None;
    }
    match Tools::find() {
        Ok(tools) => {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.current_dir(root).args(args).args(["--config", PROFILE]);
            tools.configure(root, &mut cargo);
            Some(cargo)
        }
        Err(missing) => {
            println!("AArch64 {HELP}; there is no {missing}");
            None
        }
    }
}

/// What compiles, links and runs programs for AArch64 here.
struct Tools {
    rustc: OsString,
    /// Beside the compiler if that is not the usual one.
    rustdoc: Option<PathBuf>,
    linker: OsString,
    runner: OsString,
}

impl Tools {
    /// What there is, or the name of what is missing.
    fn find() -> Result<Tools, &'static str> {
        let cached = env::home_dir().map(|home| home.join(".cache/edgecut-aarch64/rustc"));
        let rustc = [env::var_os("RUSTC"), Some("rustc".into()), cached.map(Into::into)]
            .into_iter()
            .flatten()
            .find(has_target)
            .ok_or("standard library for it")?;
        let beside = Path::new(&rustc).with_file_name("rustdoc");
        let linker = env::var_os(setting("LINKER"))
            .or_else(|| first(&["aarch64-linux-gnu-gcc"]))
            .ok_or("linker")?;
        let emulator = |program: OsString| {
            let mut line = program;
            line.push(" -L /usr/aarch64-linux-gnu -cpu max");
            line
        };
        let runner = env::var_os(setting("RUNNER"))
            .or_else(|| first(&["qemu-aarch64-static", "qemu-aarch64"]).map(emulator))
            .ok_or("emulator")?;
        Ok(Tools { rustc, rustdoc: beside.is_file().then_some(beside), linker, runner })
    }

    /// Has `cargo` use these, with a folder of its own: another compiler would rebuild all of the
    /// usual one.
    fn configure(&self, root: &Path, cargo: &mut Command) {
        let target = root.join("target/aarch64-cross");
        cargo
            .args(["--target", TARGET])
            .env("RUSTC", &self.rustc)
            .env(setting("LINKER"), &self.linker)
            .env(setting("RUNNER"), &self.runner)
            .env("CARGO_TARGET_DIR", env::var_os("CARGO_TARGET_DIR").unwrap_or(target.into()))
            .env("PROPTEST_CASES", env::var_os("PROPTEST_CASES").unwrap_or(CASES.into()));
        if let Some(rustdoc) = &self.rustdoc {
            cargo.env("RUSTDOC", rustdoc);
        }
    }
}

/// Cargo's variable for a setting of the target.
fn setting(name: &str) -> String {
    format!("CARGO_TARGET_{}_{name}", TARGET.to_uppercase().replace('-', "_"))
}

/// Whether this compiler has a standard library for the target.
fn has_target(rustc: &OsString) -> bool {
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let folder = |out: Vec<u8>| PathBuf::from(String::from_utf8_lossy(&out).trim());
    let Some(folder) = asked.ok().filter(|o| o.status.success()).map(|o| folder(o.stdout)) else {
        return false;
    };
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// The first of these programs that runs.
fn first(programs: &[&str]) -> Option<OsString> {
    let runs = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    programs.iter().find(runs).map(OsString::from)
}

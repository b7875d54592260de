//! Intrinsics are instructions, not calls: one that is a function of its own in the compiled kernels
//! is called from somewhere, a closure most often, that was compiled without its instruction set.

use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

/// The newest library of the kernels beside this program, as it was linked into it.
fn kernels() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let files = std::fs::read_dir(program.parent()?).ok()?.flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ours = |path: &PathBuf| {
        name(path).starts_with("libedgecut_kernels-") && name(path).ends_with(".rlib")
    };
    let written = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    files.filter(ours).max_by_key(|path| written(path).unwrap_or(SystemTime::UNIX_EPOCH))
}

#[test]
fn no_intrinsic_is_a_call() {
    let library = kernels().expect("this program links the kernels");
    let Ok(output) =
        Command::new("nm").args(["--demangle", "--defined-only"]).arg(library).output()
    else {
        println!("skipped: needs nm");
        return;
    };
    let symbols = String::from_utf8_lossy(&output.stdout);
    assert!(symbols.contains("edgecut_kernels::"), "nm tells nothing of the library");
    let calls: Vec<&str> = symbols
        .lines()
        .filter(|line| line.contains("core_arch::") && line.contains("::_mm"))
        .collect();
    assert!(calls.is_empty(), "{}", calls.join("\n"));
}

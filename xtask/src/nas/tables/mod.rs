//! `cargo xtask nas-tables`: the search algorithms on benchmarks in which every net of a space is known.

mod bench201;
mod macro_nets;
mod options;
mod seeds;
mod table;

use std::path::Path;
use std::process::ExitCode;

use options::{HELP, Options};

/// Runs the task.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    let parse = |args: &[&str]| Options::parse(root, args);
    crate::with_options("nas-tables", HELP, args, parse, run)
}

fn run(options: &Options) -> Result<(), String> {
    if options.wants("macro") {
        macro_nets::report(options)?;
    }
    if options.wants("201") {
        bench201::report(options)?;
    }
    Ok(())
}

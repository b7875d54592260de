//! `cargo xtask nas-tables`: the search algorithms on benchmarks in which every net of a space is known.

mod bench201;
mod macro_nets;
mod options;
mod seeds;
mod table;

pub use options::Options;

/// Runs the task.
pub fn run(options: &Options) -> Result<(), String> {
    if options.wants("macro") {
        macro_nets::report(options)?;
    }
    if options.wants("201") {
        bench201::report(options)?;
    }
    Ok(())
}

//! The command `edgecut`: from data to a checked int8 model on the device.
//!
//! | module | holds |
//! | --- | --- |
//! | `cli`, `commands` | the verbs |
//! | `recipe`, `settings` | what a user can set, in a file or as options |
//! | `work` | the stages that verbs share: data, training, evaluation, timing |
//! | `agent` | measuring on another device, both sides |
//! | `inspect` | what a model holds: summary, picture, rewrites, differences |
//! | `profile` | time by step beside what the machine can do: table and page |
//! | `report` | `report.json` and the page made of it |
//! | `term`, `progress` | what a person reads in the terminal |
//! | `errors`, `files`, `host`, `stats` | exit codes, safe writing, the machine, intervals |
//!
//! Standard output carries the result (a table, or one JSON document with `--json`); everything
//! else goes to standard error.

mod agent;
mod cli;
mod commands;
mod errors;
mod files;
mod host;
mod inspect;
mod interrupt;
mod profile;
mod progress;
mod recipe;
mod report;
mod settings;
mod stats;
mod term;
mod work;

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::errors::Failure;

fn main() -> ExitCode {
    let json = std::env::args_os().any(|a| a == "--json");
    let cli = match cli::Cli::parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, json),
    };
    // No input should get this far; if one does, it ends as an error like any other.
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cli.verb.run(&cli.global)));
    let failure = match result {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::input("internal error (see above)")
            .hint("this is a defect of edgecut: please report it with the input"),
    };
    failure.print(cli.global.json);
    ExitCode::from(failure.code())
}

/// Help and version end with 0; a wrong command line ends with 2.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || !json {
        // A closed pipe is no reason to fail.
        let _ = error.print();
    } else {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        Failure::input(message).hint("see --help").print(true);
    }
    ExitCode::from(if asked { 0 } else { 2 })
}

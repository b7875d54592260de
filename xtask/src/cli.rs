//! Runs `edgecut` and other programs for tasks, and reads what they print.

use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use serde::Deserialize;

/// A process that is killed with its owner.
pub struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `edgecut eval --json` says.
#[derive(Deserialize)]
struct Scores {
    model: Score,
}

#[derive(Deserialize)]
struct Score {
    top1: Share,
}

#[derive(Deserialize)]
struct Share {
    percent: f64,
}

/// What the command prints; its progress goes to the terminal.
pub fn output(mut command: Command) -> Result<Vec<u8>, String> {
    command.stderr(Stdio::inherit());
    match command.output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(_) => Err(format!("failed: {command:?}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}

/// Top-1 accuracy in percent, as `eval`, a command of `edgecut eval MODEL --data D`, says it.
pub fn top1(mut eval: Command) -> Result<f64, String> {
    eval.arg("--json");
    let scores: Scores = serde_json::from_slice(&output(eval)?).map_err(|e| e.to_string())?;
    Ok(scores.model.top1.percent)
}

/// An option that is a number above 0.
pub fn above_0<N: FromStr + PartialOrd + Default>(text: &str) -> Result<N, String> {
    let number = text.parse().ok().filter(|number| *number > N::default());
    number.ok_or_else(|| "not a number above 0".to_string())
}

/// An option that is a number of a range.
pub fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("not from {least} to {most}"))
}

/// Options as from a command line.
#[cfg(test)]
pub fn parsed<A: clap::Args>(args: &[&str]) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("task").no_binary_name(true));
    A::from_arg_matches(&command.try_get_matches_from(args)?)
}

//! ONNX's own tests against both executors: the reference interpreter and the runtime. The manifest
//! `xtask/conformance.txt` says what is expected of each, and is wrong in either direction where a
//! listed pass fails, or anything else passes.

mod execute;
mod manifest;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use edgecut_kernels::Pool;
use serde::Serialize;

use execute::{Outcome, execute};
use manifest::{Manifest, Status};
use suite::{Case, PEER};

const MANIFEST: &str = "xtask/conformance.txt";

/// Run ONNX's own tests on the interpreter and the runtime, and check xtask/conformance.txt
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask conformance node/test_resize")]
pub struct Options {
    /// Of the names of the tests to run; all without
    #[arg(value_name = "PART")]
    parts: Vec<String>,
    /// Write xtask/conformance.txt anew
    #[arg(long)]
    update: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let parts = &options.parts;
    let path = root.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{MANIFEST}: {e}"))?;
    let manifest = Manifest::parse(&text)?;
    let Some(mut cases) = suite::cases(root) else {
        return Err(format!("needs the Python package onnx=={} (EDGECUT_PYTHON)", suite::VERSION));
    };
    cases.retain(|c| parts.is_empty() || parts.iter().any(|part| c.name.contains(part.as_str())));
    let peer = cases.iter().any(|c| c.suite() == PEER);
    if !peer && parts.is_empty() {
        println!("skipped: the suite {PEER} needs the Python package onnxruntime");
    }
    let outcomes = quietly(|| outcomes(&cases));
    if options.update {
        if !parts.is_empty() || !peer {
            return Err("--update needs all tests".into());
        }
        let next = manifest.updated(&outcomes)?;
        std::fs::write(&path, next.text()).map_err(|e| format!("{MANIFEST}: {e}"))?;
        println!("{MANIFEST}: {} tests", next.tests.len());
        return Ok(());
    }
    let report = Report::new(&manifest, &cases, &outcomes, parts.is_empty());
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?),
        false => report.show(),
    }
    match report.problems.is_empty() {
        true => Ok(()),
        false => Err(report.problems.join("\n")),
    }
}

/// Without the messages of panics, which are part of the outcomes.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = work();
    std::panic::set_hook(hook);
    result
}

fn outcomes(cases: &[Case]) -> Vec<(String, Outcome)> {
    let pool = Arc::new(Pool::new(1));
    cases.iter().map(|case| (case.name.clone(), execute(case, &pool))).collect()
}

/// Numbers of tests.
#[derive(Clone, Copy, Default, Serialize)]
struct Count {
    passed: usize,
    unsupported: usize,
    differs: usize,
    wrong: usize,
}

impl Count {
    fn add(&mut self, status: Option<&Status>, fine: bool) {
        match status {
            Some(Status::Pass) if fine => self.passed += 1,
            Some(Status::Unsupported(_)) if fine => self.unsupported += 1,
            Some(Status::Differs(_)) if fine => self.differs += 1,
            _ => self.wrong += 1,
        }
    }

    fn total(&self) -> usize {
        self.passed + self.unsupported + self.differs + self.wrong
    }
}

#[derive(Serialize)]
struct Report {
    /// Expanded functions are a suite of their own.
    suites: BTreeMap<String, Count>,
    /// The tests of `node` by operator, without expanded functions.
    operators: BTreeMap<String, Count>,
    /// Of those the ones that use only operators of vision.
    vision: Count,
    /// Tests that pass because import computes them, such as those of Shape and Range.
    computed_at_import: usize,
    /// Where the manifest is wrong.
    problems: Vec<String>,
}

impl Report {
    fn new(
        manifest: &Manifest,
        cases: &[Case],
        outcomes: &[(String, Outcome)],
        complete: bool,
    ) -> Report {
        let mut report = Report {
            suites: BTreeMap::new(),
            operators: BTreeMap::new(),
            vision: Count::default(),
            computed_at_import: 0,
            problems: vec![],
        };
        for (case, (name, outcome)) in cases.iter().zip(outcomes) {
            report.computed_at_import += usize::from(*outcome == Outcome::Passed(0));
            let problem = manifest.problem(name, outcome);
            let (status, fine) = (manifest.tests.get(name), problem.is_none());
            report.problems.extend(problem);
            let suffix = if case.is_expanded() { " (expanded)" } else { "" };
            let suite = format!("{}{suffix}", case.suite());
            report.suites.entry(suite).or_default().add(status, fine);
            if case.suite() == "node" && !case.is_expanded() {
                let operators = operators(case);
                if operators.iter().all(|op| manifest.field(op).is_none()) {
                    report.vision.add(status, fine);
                }
                let names = operators.into_iter().collect::<Vec<_>>().join("+");
                report.operators.entry(names).or_default().add(status, fine);
            }
        }
        if complete {
            let known: BTreeSet<&String> = outcomes.iter().map(|(name, _)| name).collect();
            let run: BTreeSet<&str> = cases.iter().map(Case::suite).collect();
            let suite = |name: &str| name.split('/').next().is_some_and(|s| run.contains(s));
            let gone = manifest.tests.keys().filter(|name| suite(name) && !known.contains(name));
            report.problems.extend(gone.map(|name| format!("{name}: listed, but no such test")));
        }
        report
    }

    fn show(&self) {
        println!("{:<32} passed unsupported differs wrong  all", "suite");
        let row = |name: &str, c: &Count| {
            let Count { passed, unsupported, differs, wrong } = c;
            let all = c.total();
            println!("{name:<32} {passed:>6} {unsupported:>11} {differs:>7} {wrong:>5} {all:>4}");
        };
        self.suites.iter().for_each(|(name, count)| row(name, count));
        row("node, operators of vision", &self.vision);
        println!("{} tests pass because import computes them", self.computed_at_import);
        println!("\nnode, by operator (expanded functions apart)");
        let whole = |c: &Count| c.passed == c.total();
        self.operators.iter().filter(|(_, c)| !whole(c)).for_each(|(name, c)| row(name, c));
        let rest = self.operators.iter().filter(|(_, c)| whole(c));
        let rest: Vec<String> = rest.map(|(name, c)| format!("{name} {}", c.passed)).collect();
        println!("\nall tests of these pass: {}", rest.join(", "));
    }
}

/// The operators that a test uses.
fn operators(case: &Case) -> BTreeSet<String> {
    let graph = case.model().ok().and_then(|model| model.graph);
    let nodes = graph.into_iter().flat_map(|graph| graph.node);
    nodes.map(|node| node.op_type().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    /// The same as `cargo xtask conformance`.
    #[test]
    fn the_manifest_is_right() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        if suite::cases(&root).is_none() {
            println!("skipped: needs the Python package onnx=={}", suite::VERSION);
            return;
        }
        let all = parsed(&[]).expect("no options");
        run(&root, &all).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

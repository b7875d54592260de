//! With a measure that says what the test wants.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use edgecut_graph::{Builder, Graph, Tensor, Window};
use edgecut_kernels::{Isa, Pool};
use edgecut_testkit::random_inputs;
use edgecut_zoo::{Options, build};

use super::cache::hash;
use super::measure::Measure;
use super::{Tuner, TuningReport};
use crate::compile::compile;
use crate::fuse::{Part, Run};
use crate::{CompileOptions, Plan, Precision, Result, Session};

/// Nanoseconds for a run and its parts.
type Say = fn(&Run, &[Part]) -> u64;

struct Fake(Say);

impl Measure for Fake {
    fn times(&mut self, run: &Run, _: Isa, splits: &[&[Part]]) -> Result<Vec<u64>> {
        Ok(splits.iter().map(|split| (self.0)(run, split)).collect())
    }
}

/// The fewer steps the better.
fn fewest(_: &Run, parts: &[Part]) -> u64 {
    100 * parts.len() as u64
}

/// The more steps the better.
fn most(_: &Run, parts: &[Part]) -> u64 {
    10_000 / parts.len() as u64
}

/// Something else for every chain.
fn arbitrary(_: &Run, parts: &[Part]) -> u64 {
    parts.iter().map(|part| 100 + hash(&format!("{part:?}")) % 1000).sum()
}

/// As `arbitrary` where rows are concerned; and chains rather than single steps.
fn rows(run: &Run, parts: &[Part]) -> u64 {
    parts.len() as u64 * 1000 + arbitrary(run, parts)
}

fn unexpected(_: &Run, _: &[Part]) -> u64 {
    panic!("measured what was known");
}

fn tuner(say: Say, threads: usize, cache: Option<PathBuf>) -> Arc<Tuner> {
    Arc::new(Tuner::with(Arc::new(Pool::new(threads)), cache, Box::new(Fake(say))))
}

fn options(tuner: &Arc<Tuner>) -> CompileOptions {
    CompileOptions { tuner: Some(Arc::clone(tuner)), ..CompileOptions::default() }
}

fn outputs(plan: &Arc<Plan>, inputs: &[Tensor], threads: usize) -> Vec<Tensor> {
    let mut session = Session::new(Arc::clone(plan), Arc::new(Pool::new(threads)));
    session.infer(inputs).unwrap()
}

fn net(name: &str) -> Graph {
    let options = Options { resolution: Some(96), classes: Some(10), ..Options::default() };
    build(name, &options).unwrap()
}

/// Steps and the chains among them.
fn form(plan: &Plan) -> Vec<(&str, &str)> {
    plan.steps().iter().map(|s| (&*s.name, &*s.kind)).collect()
}

#[test]
fn every_split_gives_the_same_bits() {
    for name in ["mobilenet-v2", "mobilenet-v3-small", "shufflenet-v2-1.0", "squeezenet-1.1"] {
        let graph = net(name);
        let inputs = random_inputs(&graph, 1, 7);
        let rule = Arc::new(compile(&graph, &CompileOptions::default()).unwrap());
        let expected = outputs(&rule, &inputs, 1);
        let steps = [fewest as Say, most, arbitrary, rows].map(|say| {
            let tuner = tuner(say, 1, None);
            let plan = Arc::new(compile(&graph, &options(&tuner)).unwrap());
            plan.check().unwrap();
            for threads in [1, 2] {
                assert_eq!(outputs(&plan, &inputs, threads), expected, "{name}");
            }
            plan.steps.len()
        });
        let [fewest, most, ..] = steps;
        let rule = rule.steps.len();
        let differ = fewest < most && (fewest..=most).contains(&rule);
        assert!(differ, "{name}: {rule} by rule, {steps:?}");
    }
}

#[test]
fn in_bfloat16_too() {
    let graph = net("mobilenet-v2");
    let inputs = random_inputs(&graph, 1, 7);
    let options = CompileOptions { precision: Precision::Bf16, ..CompileOptions::default() };
    let expected = outputs(&Arc::new(compile(&graph, &options).unwrap()), &inputs, 1);
    for say in [fewest as Say, most, arbitrary] {
        let options = CompileOptions { tuner: Some(tuner(say, 2, None)), ..options.clone() };
        let plan = Arc::new(compile(&graph, &options).unwrap());
        assert_eq!(outputs(&plan, &inputs, 2), expected);
    }
}

/// A tensor that is concatenated and also read by a layer in between: its ring would be read before
/// it is whole.
#[test]
fn concatenations_with_their_own_readers() {
    let mut b = Builder::new("dense", 1);
    let x = b.input("x", [1.into(), 3.into(), 64.into(), 64.into()]);
    let mut x = b.conv(x, "stem", 32, Window::same(3, 1), 1, false).unwrap();
    for i in 0..3 {
        let y = b.conv(x, &format!("squeeze{i}"), 16, Window::same(1, 1), 1, false).unwrap();
        let y = b.conv(y, &format!("grow{i}"), 16, Window::same(3, 1), 1, false).unwrap();
        x = b.concat(&[x, y], 1).unwrap();
    }
    let y = b.conv(x, "last", 8, Window::same(1, 1), 1, false).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let inputs = random_inputs(&graph, 1, 3);
    let rule = Arc::new(compile(&graph, &CompileOptions::default()).unwrap());
    for say in [fewest as Say, most, arbitrary] {
        let plan = Arc::new(compile(&graph, &options(&tuner(say, 1, None))).unwrap());
        assert_eq!(outputs(&plan, &inputs, 2), outputs(&rule, &inputs, 1));
    }
}

#[test]
fn no_clear_winner_leaves_the_rule() {
    let graph = net("mobilenet-v2");
    let rule = compile(&graph, &CompileOptions::default()).unwrap();
    let tuner = tuner(|_, _| 1000, 1, None);
    let plan = compile(&graph, &options(&tuner)).unwrap();
    assert_eq!(form(&plan), form(&rule));
    assert_eq!(tuner.report().changes, []);
}

#[test]
fn what_was_found_is_not_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.txt");
    let graph = net("mobilenet-v3-small");
    let first = tuner(arbitrary, 1, Some(path.clone()));
    let expected = compile(&graph, &options(&first)).unwrap();
    let found = first.report();
    assert!(found.measured > 0 && found.known == 0 && !found.changes.is_empty());

    let second = tuner(unexpected, 1, Some(path.clone()));
    let plan = compile(&graph, &options(&second)).unwrap();
    assert_eq!(form(&plan), form(&expected));
    let known = second.report();
    let without_times = |report: &TuningReport| {
        let change = |c: &super::TuningChange| [&c.layers, &c.rule, &c.tuned].map(String::clone);
        report.changes.iter().map(change).collect::<Vec<_>>()
    };
    assert_eq!(without_times(&known), without_times(&found));
    assert!(known.measured == 0 && known.known > 0);

    let other_threads = tuner(arbitrary, 2, Some(path));
    compile(&graph, &options(&other_threads)).unwrap();
    assert_eq!(other_threads.report().known, 0);
}

#[test]
fn parts_that_do_not_fit_the_layers_are_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.txt");
    let graph = net("mobilenet-v2");
    let first = tuner(arbitrary, 1, Some(path.clone()));
    let expected = compile(&graph, &options(&first)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for parts in
        ["", "1:0", "0:0", "2:0", "99:2", "2:18446744073709551615", "18446744073709551615:1"]
    {
        let lines = text.lines().map(|line| match line.split_once(' ') {
            Some((key, _)) if key.len() == 16 => format!("{key} {parts}\n"),
            _ => format!("{line}\n"),
        });
        fs::write(&path, lines.collect::<String>()).unwrap();
        let tuner = tuner(arbitrary, 1, Some(path.clone()));
        let plan = compile(&graph, &options(&tuner)).unwrap();
        assert_eq!(form(&plan), form(&expected), "{parts}");
        assert_eq!(tuner.report().known, first.report().known, "{parts}");
    }
}

/// The real measure, on layers small enough for a test.
#[test]
fn times_are_times() {
    let graph = net("mobilenet-v3-small");
    let inputs = random_inputs(&graph, 1, 7);
    let steps = Arc::new(std::sync::Mutex::new(vec![]));
    let heard = Arc::clone(&steps);
    let tuner = Tuner::new(Arc::new(Pool::new(2))).with_cache(None);
    let tuner = tuner.on_progress(move |done, all| heard.lock().unwrap().push((done, all)));
    let tuner = Arc::new(tuner);
    let plan = Arc::new(compile(&graph, &options(&tuner)).unwrap());
    let rule = Arc::new(compile(&graph, &CompileOptions::default()).unwrap());
    assert_eq!(outputs(&plan, &inputs, 2), outputs(&rule, &inputs, 2));
    let report = tuner.report();
    assert!(report.seconds > 0.0 && report.measured > 0);
    assert!(report.changes.iter().all(|c| c.speedup.is_some_and(|s| s > 1.03)));
    let steps = steps.lock().unwrap();
    assert!(
        steps.is_sorted_by_key(|(done, _)| *done) && steps.iter().all(|(done, all)| done <= all)
    );
}

//! One test on both executors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use edgecut_graph::onnx::Template;
use edgecut_graph::onnx::proto::*;
use edgecut_graph::{DType, Graph, GraphError, Tensor, interpret};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};

use super::suite::{Case, PEER, stored, tensor};

/// What became of a test.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Both executors compute what is expected, in so many nodes; 0 where import computed it.
    Passed(usize),
    /// Import refuses the model, with this reason.
    Refused(String),
    /// An executor computes something else, fails or panics.
    Failed(String),
}

/// Runs all data sets of a test. A panic anywhere is a failure.
pub fn execute(case: &Case, pool: &Arc<Pool>) -> Outcome {
    let attempt = catch_unwind(AssertUnwindSafe(|| attempt(case, pool)));
    let outcome = attempt.unwrap_or_else(|panic| Err(Outcome::Failed(message(&*panic))));
    outcome.map_or_else(|outcome| outcome, Outcome::Passed)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

fn attempt(case: &Case, pool: &Arc<Pool>) -> Result<usize, Outcome> {
    let model = case.model().map_err(Outcome::Failed)?;
    refused(Template::from_bytes("test", &model.encode_to_vec()))?;
    // Quantised results of ONNX Runtime, which rounds sums in float32, may be one step away.
    let slack = if case.suite() == PEER { 1 } else { 0 };
    let mut nodes = 0;
    for set in case.data_sets() {
        let (graph, inputs) = prepared(&model, &set)?;
        let outputs: Vec<&ValueInfoProto> = model.graph.iter().flat_map(|g| &g.output).collect();
        let expected = stored(&set, "output", &outputs).map_err(Outcome::Failed)?;
        let expected: Vec<Tensor> =
            expected.iter().map(|t| refused(tensor(t))).collect::<Result<_, _>>()?;
        let interpreted = interpret::run(&graph, &inputs).map_err(|e| e.to_string());
        checked("interpreter", interpreted, &expected, slack)?;
        checked("runtime", compiled(&graph, &inputs, pool), &expected, slack)?;
        nodes += graph.nodes.len();
    }
    Ok(nodes)
}

fn compiled(graph: &Graph, inputs: &[Tensor], pool: &Arc<Pool>) -> Result<Vec<Tensor>, String> {
    let plan = compile(graph, &CompileOptions::default()).map_err(|e| e.to_string())?;
    Session::new(Arc::new(plan), pool.clone()).infer(inputs).map_err(|e| e.to_string())
}

fn refused<T>(result: Result<T, GraphError>) -> Result<T, Outcome> {
    result.map_err(|error| Outcome::Refused(reason(&error)))
}

/// Why import refuses, without names of nodes and lists of operators.
fn reason(error: &GraphError) -> String {
    match error.root() {
        GraphError::Unsupported { op, reason, .. } if reason.starts_with("supported operators") => {
            format!("operator {op}")
        }
        GraphError::Unsupported { op, domain, reason, .. } => {
            let dot = if domain.is_empty() { "" } else { "." };
            format!("{domain}{dot}{op}: {reason}")
        }
        GraphError::Node { op, problem, .. } => format!("{op}: {problem}"),
        other => other.to_string(),
    }
}

/// The graph of `model` for a data set, and its inputs. They are inputs of the graph where import
/// accepts that. Otherwise those are stored in the model that real models store: first the
/// integers and booleans behind the first one (shapes, axes, bounds), then all behind the first
/// one, then all. The reason of the last attempt that had an input is the reason of the test.
fn prepared(model: &ModelProto, set: &Path) -> Result<(Graph, Vec<Tensor>), Outcome> {
    let infos = free_inputs(model);
    let given = stored(set, "input", &infos).map_err(Outcome::Failed)?;
    let tensors: Vec<Tensor> =
        given.iter().map(|t| refused(tensor(t))).collect::<Result<_, _>>()?;
    let whole = |t: &Tensor| t.dtype() != DType::F32;
    let stores: [&dyn Fn(usize) -> bool; 4] =
        [&|_| false, &|i| i > 0 && whole(&tensors[i]), &|i| i > 0, &|_| true];
    let mut reason = None;
    for store in stores {
        let mut model = model.clone();
        let (mut shapes, mut inputs) = (vec![], vec![]);
        for (i, (info, tensor)) in infos.iter().zip(&tensors).enumerate() {
            if store(i) {
                let constant = TensorProto { name: info.name.clone(), ..given[i].clone() };
                model.graph.get_or_insert_default().initializer.push(constant);
            } else {
                shapes.push((info.name(), tensor.shape().to_vec()));
                inputs.push(tensor.clone());
            }
        }
        let template = Template::from_bytes("test", &model.encode_to_vec());
        match refused(template.and_then(|template| template.graph(&shapes))) {
            Ok(graph) => return Ok((graph, inputs)),
            Err(refusal) if reason.is_none() || !inputs.is_empty() => reason = Some(refusal),
            Err(_) => {}
        }
    }
    Err(reason.unwrap_or_else(|| Outcome::Failed("no way to run it".into())))
}

/// Inputs that have no initializer.
fn free_inputs(model: &ModelProto) -> Vec<&ValueInfoProto> {
    let Some(graph) = &model.graph else { return vec![] };
    let constant = |name: &str| graph.initializer.iter().any(|t| t.name() == name);
    graph.input.iter().filter(|info| !constant(info.name())).collect()
}

fn checked(
    executor: &str,
    results: Result<Vec<Tensor>, String>,
    expected: &[Tensor],
    slack: u64,
) -> Result<(), Outcome> {
    let fail = |problem: String| Err(Outcome::Failed(format!("{executor}: {problem}")));
    let results = match results {
        Ok(results) if results.len() >= expected.len() => results,
        Ok(results) => return fail(format!("{} outputs of {}", results.len(), expected.len())),
        Err(problem) => return fail(problem),
    };
    for (index, (result, expected)) in results.iter().zip(expected).enumerate() {
        if let Some(difference) = difference(result, expected, slack) {
            return fail(format!("output {index}: {difference}"));
        }
    }
    Ok(())
}

/// What differs, beyond the tolerances of ONNX's own runner: `1e-7 + 1e-3 * |expected|` for
/// floats, and `slack` for integers.
fn difference(result: &Tensor, expected: &Tensor, slack: u64) -> Option<String> {
    let (a, b) = (result, expected);
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        let (at, bt) = (a.dtype(), b.dtype());
        return Some(format!("{at} {:?}, expected {bt} {:?}", a.shape(), b.shape()));
    }
    if a.dtype() != DType::F32 {
        let (a, b) = (a.to_i64().ok()?, b.to_i64().ok()?);
        let at = (0..a.len()).find(|&i| a[i].abs_diff(b[i]) > slack)?;
        return Some(format!("element {at} is {}, expected {}", a[at], b[at]));
    }
    let (a, b) = (a.to_f32(), b.to_f32());
    let near = |x: f32, y: f32| {
        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-7 + 1e-3 * y.abs()
    };
    let at = (0..a.len()).find(|&i| !near(a[i], b[i]))?;
    Some(format!("element {at} is {}, expected {}", a[at], b[at]))
}

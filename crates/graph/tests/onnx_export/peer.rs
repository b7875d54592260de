//! `onnx.checker` and ONNX Runtime on many small models at once.

use std::collections::BTreeMap;

use edgecut_graph::{Data, Graph, Tensor, interpret, onnx};
use edgecut_testkit::{Python, max_abs_diff};

const SCRIPT: &str = include_str!("../peers/onnx_cases.py");

/// A graph and inputs for it.
pub struct Question {
    pub name: String,
    pub graph: Graph,
    pub inputs: Vec<Tensor>,
}

/// Exports every graph, fails where one is not valid ONNX or where ONNX Runtime computes something
/// else than the interpreter, and returns the names of those that it has no kernel for. `tolerance`
/// is relative to the largest magnitude of an output; integers are exact, but for few steps of 8
/// bits in whole networks. `None` without Python.
pub fn compare(questions: &[Question], tolerance: f32) -> Option<Vec<&str>> {
    let python = Python::with(&["onnx", "onnxruntime"])?;
    let results = answers(&python, questions);
    let (mut missing, mut wrong) = (vec![], vec![]);
    for (index, question) in questions.iter().enumerate() {
        if let Some(reason) = results.get(&format!("missing{index}")) {
            let reason = String::from_utf8_lossy(reason.u8s().unwrap()).into_owned();
            println!("{}: {reason}", question.name);
            missing.push(question.name.as_str());
            continue;
        }
        let own = interpret::run(&question.graph, &question.inputs).unwrap();
        for (j, own) in own.iter().enumerate() {
            let theirs = &results[&format!("y{index}_{j}")];
            let difference = max_abs_diff(own, theirs);
            if own.dtype() != theirs.dtype() || difference > allowed(question, own, tolerance) {
                wrong.push(format!("{} output {j}: {difference}", question.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} outputs:\n{}", wrong.len(), wrong.join("\n"));
    Some(missing)
}

/// In a network of 8-bit integers, sums in another order may put a number on the other side of a
/// rounding, and the next layers add such steps up.
fn allowed(question: &Question, own: &Tensor, tolerance: f32) -> f32 {
    match own.data() {
        Data::F32(values) => {
            let finite = values.iter().map(|v| v.abs()).filter(|v| v.is_finite());
            tolerance * finite.fold(1.0, f32::max)
        }
        Data::U8(_) | Data::I8(_) if question.graph.nodes.len() > 9 => 3.0,
        _ => 0.0,
    }
}

fn answers(python: &Python, questions: &[Question]) -> BTreeMap<String, Tensor> {
    let mut files = vec![];
    for (index, question) in questions.iter().enumerate() {
        let bytes = onnx::to_bytes(&question.graph);
        let bytes = bytes.unwrap_or_else(|e| panic!("{}: {e}", question.name));
        files.push((format!("m{index}"), Tensor::vector(bytes)));
        for (j, input) in question.inputs.iter().enumerate() {
            files.push((format!("x{index}_{j}"), input.clone()));
        }
    }
    let files: Vec<(&str, &Tensor)> = files.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let count = questions.len().to_string();
    python.run(SCRIPT, &[&count], &files).unwrap_or_else(|e| panic!("{e}"))
}

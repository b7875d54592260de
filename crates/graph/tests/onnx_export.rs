//! Every operator and attribute, exported: valid for `onnx.checker`, and the same in ONNX Runtime.

use std::collections::BTreeMap;

use edgecut_graph::{Data, Tensor, interpret, onnx};
use edgecut_testkit::{OperatorCase, Python, max_abs_diff, operator_cases};

const SCRIPT: &str = include_str!("peers/onnx_cases.py");

/// What ONNX allows and ONNX Runtime 1.32 does not run, by name of the case.
const WITHOUT_KERNEL: &[&str] = &[
    "Relu int64",
    "Where bool",
    "LRN even",
    "Trilu uint8",
    "Trilu int8",
    "DepthToSpace int32 Dcr",
    "DepthToSpace int32 Crd",
    "SpaceToDepth int32",
    "DepthToSpace int64 Dcr",
    "DepthToSpace int64 Crd",
    "SpaceToDepth int64",
    "DepthToSpace bool Dcr",
    "DepthToSpace bool Crd",
    "SpaceToDepth bool",
    "Resize int64",
    "Resize bool",
];

#[test]
fn every_operator_agrees_with_onnx_runtime() {
    let Some(python) = Python::with(&["onnx", "onnxruntime"]) else { return };
    let cases = operator_cases();
    let results = python_results(&python, &cases);
    let mut missing = vec![];
    let mut wrong = vec![];
    for (index, case) in cases.iter().enumerate() {
        if let Some(reason) = results.get(&format!("missing{index}")) {
            let reason = String::from_utf8_lossy(reason.u8s().unwrap()).into_owned();
            println!("{}: {reason}", case.name);
            missing.push(case.name.as_str());
            continue;
        }
        let own = interpret::run(&case.graph, &case.inputs).unwrap();
        for (j, own) in own.iter().enumerate() {
            let theirs = &results[&format!("y{index}_{j}")];
            let finite = own.to_f32().into_iter().filter(|v| v.is_finite());
            let scale = finite.map(f32::abs).fold(1.0, f32::max);
            let difference = max_abs_diff(own, theirs) / scale;
            if own.dtype() != theirs.dtype() || difference > tolerance(own) {
                wrong.push(format!("{} output {j}: {difference}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} outputs:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(missing, WITHOUT_KERNEL, "cases that ONNX Runtime lacks");
}

fn tolerance(own: &Tensor) -> f32 {
    if matches!(own.data(), Data::F32(_)) { 1e-5 } else { 0.0 }
}

fn python_results(python: &Python, cases: &[OperatorCase]) -> BTreeMap<String, Tensor> {
    let mut files = vec![];
    for (index, case) in cases.iter().enumerate() {
        let bytes = onnx::to_bytes(&case.graph).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        files.push((format!("m{index}"), Tensor::vector(bytes)));
        for (j, input) in case.inputs.iter().enumerate() {
            files.push((format!("x{index}_{j}"), input.clone()));
        }
    }
    let files: Vec<(&str, &Tensor)> = files.iter().map(|(n, t)| (n.as_str(), t)).collect();
    python.run(SCRIPT, &[&cases.len().to_string()], &files).unwrap_or_else(|e| panic!("{e}"))
}

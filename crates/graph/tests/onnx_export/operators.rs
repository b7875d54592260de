//! Every operator and attribute, exported.

use edgecut_testkit::operator_cases;

use crate::peer::{Question, compare};

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
    let questions: Vec<Question> = operator_cases()
        .into_iter()
        .map(|case| Question { name: case.name, graph: case.graph, inputs: case.inputs })
        .collect();
    let Some(missing) = compare(&questions, 1e-5) else { return };
    assert_eq!(missing, WITHOUT_KERNEL, "cases that ONNX Runtime lacks");
}

//! Operators of TensorFlow Lite files in the runtime, against LiteRT.

use std::sync::Arc;

use edgecut_graph::tflite::from_bytes;
use edgecut_graph::{DType, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_testkit::{LiteRt, LiteRtCase, largest_step, relative_error};

fn agrees(own: &Tensor, expected: &Tensor) -> bool {
    if (own.shape(), own.dtype()) != (expected.shape(), expected.dtype()) {
        return false;
    }
    match own.dtype() {
        DType::F32 => relative_error(own, expected) <= 1e-5,
        dtype => largest_step(own, expected) <= i64::from(dtype.is_quantised()),
    }
}

fn check(case: &LiteRtCase, pool: &Arc<Pool>) -> Result<(), String> {
    let graph = from_bytes("case", &case.model).map_err(|e| e.to_string())?;
    let plan = compile(&graph, &CompileOptions::default()).map_err(|e| e.to_string())?;
    let mut session = Session::new(Arc::new(plan), pool.clone());
    let own = session.infer(&case.inputs).map_err(|e| e.to_string())?;
    let same =
        own.len() == case.outputs.len() && own.iter().zip(&case.outputs).all(|(a, b)| agrees(a, b));
    same.then_some(()).ok_or_else(|| "differs".into())
}

fn check_all(kind: &str) {
    let Some(litert) = LiteRt::find() else { return };
    let pool = Arc::new(Pool::new(2));
    let cases = litert.operators(kind).unwrap_or_else(|e| panic!("{e}"));
    let wrong =
        cases.iter().filter_map(|c| check(c, &pool).err().map(|e| format!("{}: {e}", c.name)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn float_operators() {
    check_all("float");
}

#[test]
fn integer_operators() {
    check_all("integer");
}
